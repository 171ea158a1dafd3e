//! The map of made-up hosts: what hangs where, what flows where, what is folded, and that no name gets out of hand.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    made_up::{Site, crowded, small},
    *,
};
use crate::report::{EdgeRole, Nat, NodeKind, Path, Reporter, RoleName, Verdict};

fn node<'a>(map: &'a MapDocument, id: &str) -> &'a MapNode {
    map.nodes.iter().find(|node| *node.id == *id).unwrap_or_else(|| panic!("no {id}: {:?}", map.nodes))
}

fn edge<'a>(map: &'a MapDocument, from: &str, to: &str) -> &'a MapEdge {
    let found = map.edges.iter().find(|edge| *edge.from == *from && *edge.to == *to);
    found.unwrap_or_else(|| panic!("no {from} - {to} in {:?}", pairs(map)))
}

fn pairs(map: &MapDocument) -> Vec<(&str, &str)> {
    map.edges.iter().map(|edge| (&*edge.from, &*edge.to)).collect()
}

fn parent(map: &MapDocument, id: &str) -> String {
    node(map, id).parent.as_deref().unwrap_or("-").to_owned()
}

/// What holds of every map.
fn holds_together(map: &MapDocument) {
    let ids: BTreeSet<_> = map.nodes.iter().map(|node| &*node.id).collect();
    assert_eq!(ids.len(), map.nodes.len(), "every id once");
    for node in &map.nodes {
        assert!(node.parent.as_deref().is_none_or(|parent| ids.contains(parent)), "{node:?}");
    }
    let mut met = BTreeSet::new();
    for edge in &map.edges {
        assert!(ids.contains(&*edge.from) && ids.contains(&*edge.to), "{edge:?}");
        assert!(met.insert((&edge.from, &edge.to)), "twice: {edge:?}");
        assert!(edge.from == edge.to || !met.contains(&(&edge.to, &edge.from)), "both ways: {edge:?}");
        assert_eq!(
            edge.from == edge.to,
            edge.role == EdgeRole::Loopback && *edge.to == *"host" && *edge.from == *"host"
        );
    }
}

#[test]
fn everybody_hangs_where_they_are_attached_even_without_traffic() {
    let mut report = small();
    report.flows.clear();
    let map = build(&report);
    holds_together(&map);
    for (id, kind, hangs_in) in [
        ("host", NodeKind::Host, "-"),
        ("bridge/docker0", NodeKind::Bridge, "host"),
        ("uplink/up0", NodeKind::Uplink, "host"),
        ("overlay/vx100", NodeKind::Overlay, "host"),
        ("container/web", NodeKind::Container, "bridge/docker0"),
        ("vm/db", NodeKind::Vm, "bridge/virbr0"),
        ("container/hostnet", NodeKind::Container, "host"),
        ("container/none", NodeKind::Container, "host"),
        ("container/lan", NodeKind::Container, "uplink/up0"),
        ("external", NodeKind::External, "-"),
    ] {
        assert_eq!((node(&map, id).kind, &*parent(&map, id)), (kind, hangs_in), "{id}");
    }
    for (from, to, role, interface) in [
        ("container/web", "bridge/docker0", EdgeRole::Veth, Some("veth11")),
        ("vm/db", "bridge/virbr0", EdgeRole::Tap, Some("tap0")),
        ("container/hostnet", "host", EdgeRole::Loopback, None),
        ("container/lan", "uplink/up0", EdgeRole::Macvlan, None),
        ("overlay/vx100", "uplink/up0", EdgeRole::Overlay, None),
        ("uplink/up0", "external", EdgeRole::Uplink, None),
    ] {
        let edge = edge(&map, from, to);
        assert_eq!((edge.role, edge.interface.as_deref()), (role, interface), "{from} - {to}");
        assert_eq!((edge.bits_per_second, edge.flows, edge.verdict), (0.0, 0, Verdict::Unknown));
    }
    assert!(!pairs(&map).iter().any(|(from, _)| *from == "container/none"), "it is attached to nothing");
}

#[test]
fn a_flow_counts_once_at_each_pair_of_neighbours() {
    let map = build(&small());
    let rate = |from, to| edge(&map, from, to).bits_per_second;
    assert_eq!(rate("container/web", "bridge/docker0"), 12_300_000.0 + 1_500.0 + 1_500.0);
    assert_eq!(rate("container/plain", "bridge/docker0"), 12_300_000.0 + 450_000.0);
    assert_eq!(rate("host", "bridge/docker0"), 1_500.0);
    assert_eq!(edge(&map, "container/web", "bridge/docker0").flows, 3);
}

#[test]
fn a_translation_stands_where_two_hops_differ() {
    let map = build(&small());
    assert_eq!(edge(&map, "bridge/docker0", "nat").bits_per_second, 450_000.0 + 1_500.0);
    assert_eq!(edge(&map, "nat", "uplink/up0").role, EdgeRole::Nat);
    assert_eq!(edge(&map, "uplink/up0", "external").bits_per_second, 450_000.0 + 1_500.0);
    assert_eq!(edge(&map, "bridge/docker0", "uplink/up0").flows, 1, "to the other node as it is");
}

#[test]
fn a_hairpin_goes_to_the_translation_and_back() {
    let mut site = Site::new();
    site.bridge(3, "docker0");
    site.container("a", 10, Some(3));
    site.container("b", 11, Some(3));
    site.flow("container/a", "container/b", Path::Bridge, &[10, 11]).translated(Nat::Both, 1);
    let map = build(&site.0);
    let expected = [
        ("bridge/docker0", "nat"),
        ("container/a", "bridge/docker0"),
        ("container/b", "bridge/docker0"),
        ("uplink/up0", "external"),
    ];
    assert_eq!(pairs(&map), expected);
    assert_eq!(edge(&map, "bridge/docker0", "nat").bits_per_second, 1_500.0, "once");
}

#[test]
fn a_translation_no_hop_shows_stands_beside_the_hosts_socket_or_before_the_uplink() {
    let mut site = Site::new();
    site.bridge(3, "cni0");
    site.container("a", 10, Some(3));
    site.flow("host", "container/a", Path::HostDirect, &[3, 10]).nat = Nat::Dnat;
    assert!(pairs(&build(&site.0)).contains(&("host", "nat")));
    site.0.flows.clear();
    site.flow("container/a", "external", Path::Uplink, &[2]).nat = Nat::Snat;
    let map = build(&site.0);
    assert!(pairs(&map).contains(&("bridge/cni0", "nat")) && pairs(&map).contains(&("nat", "uplink/up0")));
    site.0.flows.clear();
    site.flow("external", "container/a", Path::Uplink, &[2]).nat = Nat::Dnat;
    assert_eq!(pairs(&build(&site.0)), pairs(&map), "the same way back");
}

#[test]
fn an_encapsulation_is_no_translation() {
    let mut site = Site::new();
    site.bridge(3, "cni0");
    site.link(6, "vx100", "vxlan", Some(RoleName::Overlay), Some(3)).lower = Some(2);
    site.container("a", 10, Some(3));
    site.flow("container/a", "pod/shop/far", Path::Overlay, &[10, 3, 6, 2]).wrapped(3).nat = Nat::Snat;
    let there = build(&site.0);
    for (from, to) in [("bridge/cni0", "nat"), ("nat", "overlay/vx100"), ("overlay/vx100", "uplink/up0")] {
        assert_eq!(edge(&there, from, to).flows, 1);
    }
    assert_eq!(edge(&there, "uplink/up0", "pod/shop/far").role, EdgeRole::Uplink);
    assert_eq!(edge(&there, "bridge/cni0", "overlay/vx100").flows, 0, "a port of it, without traffic");
    site.0.flows.clear();
    let back = site.flow("pod/shop/far", "container/a", Path::Overlay, &[2, 6, 3, 10]).wrapped(0);
    (back.nat, back.reporter) = (Nat::Dnat, Reporter::Destination);
    assert_eq!(pairs(&build(&site.0)), pairs(&there), "the same way back");
}

#[test]
fn the_worst_verdict_is_told() {
    let map = build(&small());
    assert_eq!(edge(&map, "container/lonely", "bridge/br-backend").verdict, Verdict::Refused);
    assert_eq!(edge(&map, "bridge/br-backend", "bridge/virbr0").verdict, Verdict::Refused);
    assert_eq!(
        edge(&map, "container/web", "bridge/docker0").verdict,
        Verdict::Degraded,
        "worse than reachable"
    );
    assert_eq!(edge(&map, "container/plain", "bridge/docker0").verdict, Verdict::Reachable);
}

#[test]
fn the_hosts_own_stack_talks_to_itself_and_by_its_containers() {
    let map = build(&small());
    assert_eq!(edge(&map, "host", "host").role, EdgeRole::Loopback);
    assert_eq!(edge(&map, "container/hostnet", "host").bits_per_second, 1_500.0);
    assert_eq!(edge(&map, "host", "uplink/up0").bits_per_second, 1_500.0);
    assert_eq!(node(&map, "external/dns").name.as_ref(), "dns");
    assert_eq!(edge(&map, "uplink/up0", "external/dns").role, EdgeRole::Uplink);
}

#[test]
fn an_endpoint_without_a_bridge_hangs_on_the_host() {
    let mut site = Site::new();
    site.container("routed", 10, None);
    site.flow("container/routed", "external", Path::Uplink, &[10, 2]);
    let map = build(&site.0);
    assert_eq!(edge(&map, "container/routed", "host").role, EdgeRole::Veth);
    assert_eq!(edge(&map, "host", "uplink/up0").flows, 1);
}

#[test]
fn a_bridge_that_is_the_way_out_is_both() {
    let mut site = Site::new();
    site.0.links.pop();
    site.link(3, "br0", "bridge", Some(RoleName::Uplink), None);
    site.link(10, "tap0", "tap", Some(RoleName::Tap), Some(3));
    site.endpoint("vm/db", &[10], Some("bridge"));
    site.flow("vm/db", "external", Path::Uplink, &[10, 3]);
    let map = build(&site.0);
    assert_eq!(node(&map, "bridge/br0").kind, NodeKind::Bridge);
    assert_eq!(edge(&map, "vm/db", "bridge/br0").role, EdgeRole::Tap);
    assert_eq!(edge(&map, "bridge/br0", "external").role, EdgeRole::Uplink);
}

#[test]
fn another_card_is_drawn_where_somebody_hangs_on_it() {
    let mut site = Site::new();
    site.link(7, "eth1", "physical", None, None);
    site.link(8, "eth2", "physical", None, None);
    site.link(9, "mvt0", "macvtap", Some(RoleName::Macvlan), None).lower = Some(7);
    site.endpoint("vm/db", &[9], Some("macvtap"));
    let map = build(&site.0);
    assert_eq!(node(&map, "device/eth1").kind, NodeKind::Device);
    assert_eq!(edge(&map, "vm/db", "device/eth1").interface.as_deref(), Some("mvt0"));
    assert!(!map.nodes.iter().any(|node| *node.id == *"device/eth2"));
}

#[test]
fn whoever_is_elsewhere_hangs_nowhere_and_a_group_is_nobody() {
    let mut site = Site::new();
    site.container("a", 10, None);
    site.flow("container/a", "pod/shop/cart", Path::RoutedRemote, &[10, 2]);
    site.flow("container/a", "group", Path::Unknown, &[10]).destination.address =
        "224.0.0.251".parse().unwrap();
    site.flow("container/gone", "container/a", Path::RoutedLocal, &[10]);
    site.flow("pod/shop/far", "container/a", Path::RoutedRemote, &[2, 10]).reporter = Reporter::Destination;
    let from_nowhere = site.flow("external", "group", Path::Uplink, &[10]);
    from_nowhere.source.address = "::".parse().unwrap();
    let map = build(&site.0);
    let pod = node(&map, "pod/shop/cart");
    assert_eq!((&*pod.name, pod.namespace.as_deref(), &pod.parent), ("cart", Some("shop"), &None));
    assert_eq!(parent(&map, "pod/shop/far"), "-");
    assert_eq!(parent(&map, "container/gone"), "host", "it was here a moment ago");
    assert!(!map.nodes.iter().any(|node| *node.id == *"group"));
    assert_eq!(edge(&map, "container/a", "host").flows, 4);
    assert!(!pairs(&map).contains(&("host", "external")), "an address of one segment is not outside");
}

#[test]
fn a_report_of_nothing_is_a_host() {
    let report = crate::report::Report::empty("alpha".into(), jiff::Timestamp::UNIX_EPOCH);
    let map = build(&report);
    assert_eq!(map.nodes.len(), 1);
    assert!(mermaid(&map).contains("this host") && dot(&map).contains("this host"));
}

fn everybody(map: &MapDocument) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for node in &map.nodes {
        let own = std::slice::from_ref(&node.id);
        for id in if node.kind == NodeKind::Group { &node.members } else { own } {
            *found.entry(id.to_string()).or_default() += 1;
        }
    }
    found
}

#[test]
fn a_hundred_endpoints_become_a_picture_and_nobody_is_left_out() {
    let report = crowded();
    let map = build(&report);
    let folded = fold(map.clone());
    holds_together(&folded);
    assert!(folded.nodes.len() < 40, "{}", folded.nodes.len());
    assert_eq!(everybody(&folded), everybody(&map));
    assert!(everybody(&folded).values().all(|times| *times == 1));
    let quiet = node(&folded, "group/quiet/bridge/br-shop");
    assert_eq!((&*quiet.name, quiet.parent.as_deref()), ("33 quiet", Some("bridge/br-shop")));
    let total = |map: &MapDocument| map.edges.iter().map(|edge| edge.bits_per_second).sum::<f64>();
    assert!((total(&folded) - total(&map)).abs() < 1.0, "no rate is lost");
}

#[test]
fn who_does_not_work_is_never_folded_as_quiet() {
    let mut report = crowded();
    std::sync::Arc::make_mut(&mut report.flows[4]).verdict = Verdict::Refused;
    std::sync::Arc::make_mut(&mut report.flows[4]).at_rate(0.0);
    let folded = fold(build(&report));
    let refused: Vec<_> = folded.edges.iter().filter(|edge| edge.verdict == Verdict::Refused).collect();
    assert!(!refused.is_empty() && !refused.iter().any(|edge| edge.from.starts_with("group/quiet")));
}

#[test]
fn a_few_endpoints_are_drawn_as_they_are() {
    let map = build(&small());
    assert_eq!(fold(map.clone()), map);
}

#[test]
fn a_hundred_networks_and_a_hundred_nodes_become_a_picture_too() {
    let mut site = Site::new();
    for number in 0..100_u32 {
        site.bridge(100 + number, &format!("br{number}"));
        for one in 0..3 {
            site.container(&format!("c{number}-{one}"), 1_000 + number * 10 + one, Some(100 + number));
        }
    }
    for number in 0..100_u32 {
        let (here, next) = (format!("container/c{number}-0"), format!("container/c{}-1", (number + 1) % 100));
        let seen =
            [1_000 + number * 10, 100 + number, 100 + (number + 1) % 100, 1_001 + (number + 1) % 100 * 10];
        site.flow(&here, &next, Path::RoutedLocal, &seen).at_rate(f64::from(number));
        site.flow(&here, &format!("node/n{number}"), Path::RoutedRemote, &[seen[0], seen[1], 2]);
    }
    let map = build(&site.0);
    let folded = fold(map.clone());
    holds_together(&folded);
    assert!(folded.nodes.len() < 40, "{}", folded.nodes.len());
    assert_eq!(everybody(&folded), everybody(&map));
    assert!(folded.nodes.iter().any(|node| *node.id == *"uplink/up0"), "the way out stays");
}

#[test]
fn a_picture_of_a_hundred_endpoints() {
    let map = fold(build(&crowded()));
    insta::assert_snapshot!("mermaid_crowded", mermaid(&map));
    insta::assert_snapshot!("dot_crowded", dot(&map));
}

#[test]
fn a_bridge_nothing_leaves_stands_in_front_of_the_uplink_all_the_same() {
    let mut site = Site::new();
    site.bridge(3, "docker0");
    site.container("a", 10, Some(3));
    let map = build(&site.0);
    assert_eq!(mermaid(&map).matches(" ~~~ ").count(), 1, "{}", mermaid(&map));
    site.flow("container/a", "external", Path::Uplink, &[10, 3, 2]);
    assert!(!mermaid(&build(&site.0)).contains("~~~"));
}

#[test]
fn pictures_of_a_small_host() {
    let map = build(&small());
    insta::assert_snapshot!("mermaid_small", mermaid(&map));
    insta::assert_snapshot!("dot_small", dot(&map));
}

#[test]
fn the_order_in_which_things_are_found_does_not_matter() {
    let report = crowded();
    let mut other = report.clone();
    other.endpoints.reverse();
    other.links.reverse();
    let (one, two) = (fold(build(&report)), fold(build(&other)));
    assert_eq!((mermaid(&one), dot(&one)), (mermaid(&two), dot(&two)));
}

#[test]
fn a_document_that_leads_in_circles_is_drawn_without_them() {
    let mut map = build(&small());
    for node in map.nodes.iter_mut().filter(|node| node.kind == NodeKind::Bridge) {
        node.parent = Some(node.id.clone());
    }
    assert!(mermaid(&map).starts_with("flowchart LR\n"));
    assert!(dot(&map).ends_with("}\n"));
}

/// Every line of a mermaid picture has one of few shapes, whatever the names are.
fn is_mermaid(line: &str) -> bool {
    let words = ["flowchart LR", "end"];
    let line = line.trim_start();
    let quotes = line.matches('"').count();
    let safe = |text: &str| {
        text.chars().all(|one| one.is_alphanumeric() || " .-/…×,#;".contains(one)) && !text.contains("  ;")
    };
    let label = |text: &str| text.split("<br/>").all(safe);
    match quotes {
        0 => {
            words.contains(&line)
                || ["class ", "classDef ", "linkStyle ", "n"].iter().any(|word| line.starts_with(word))
        }
        2 => line.split('"').nth(1).is_some_and(|text| !text.is_empty() && label(text)),
        _ => false,
    }
}

/// Quotes of a dot picture come in pairs on each line, so none ends a string early.
fn is_dot(line: &str) -> bool {
    let mut inside = false;
    let mut characters = line.chars();
    while let Some(one) = characters.next() {
        match one {
            '\\' if inside => drop(characters.next()),
            '"' => inside = !inside,
            _ => {}
        }
    }
    !inside
}

fn named(name: &str) -> MapDocument {
    let mut report = small();
    for endpoint in &mut report.endpoints {
        endpoint.name = name.into();
    }
    for link in &mut report.links {
        link.name = format!("{name}{}", link.ifindex).into();
    }
    build(&report)
}

#[test]
fn hostile_names_stay_names() {
    let long = "x".repeat(65_536);
    let names = [
        "\"]; click n1 \"javascript:alert(1)\"",
        "end",
        "a\nb --> c",
        "}}\n%%{init: {}}%%",
        "exe.\u{202e}gpj",
        "1. list",
        "`code` **bold** <img src=x onerror=alert(1)>",
        "\\\" -- n2; }",
        "&quot;&#34;#quot;",
        "",
        &long,
    ];
    for name in names {
        let map = named(name);
        let (mermaid, dot) = (mermaid(&map), dot(&map));
        for line in mermaid.lines() {
            assert!(is_mermaid(line), "{name}: {line}");
            assert!(line.len() < 600, "{line}");
        }
        assert!(dot.lines().all(is_dot), "{name}: {dot}");
        assert!(!mermaid.contains('\u{202e}') && !dot.contains('\u{202e}'));
    }
}

proptest! {
    #[test]
    fn any_name_leaves_the_shape_of_a_picture_alone(name in any::<String>()) {
        let plain = named("plain");
        let map = named(&name);
        let (text, other) = (mermaid(&map), mermaid(&plain));
        prop_assert!(text.lines().all(is_mermaid), "{}", text);
        prop_assert_eq!(text.lines().count(), other.lines().count());
        let (text, other) = (dot(&map), dot(&plain));
        prop_assert!(text.lines().all(is_dot), "{}", text);
        prop_assert_eq!(text.lines().count(), other.lines().count());
    }
}
