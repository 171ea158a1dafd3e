//! Many conversations at once: each counted once in the cluster, each found by all its addresses, each attributed to
//! whose it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use anyhow::{Context, Result, bail, ensure};
use netobs_tests::{
    agent::whole,
    cluster::{
        UPLINK,
        addresses::{Family, NODES, PORT},
        container_id, judge,
        talk::{Protocol, Spoken},
    },
    flows::{self, Flow},
    interval::Interval,
    tracer::TracedHop,
    traffic,
};

use super::{
    rows,
    scene::{Happened, Scene},
};

/// Whatever address and port it had at any hook, by it the flow is found.
pub(super) fn both_addresses_find_the_flow(scene: &Scene) -> Result<()> {
    let rows = [
        rows::container_behind_the_host(),
        rows::node_port_to_the_other_node(),
        rows::cluster_ip_from_a_pod(),
        rows::hairpin(),
    ];
    let talks: Vec<_> = rows::talks(&rows.concat(), &[Protocol::Tcp]).into_iter().map(|one| one.0).collect();
    let happened = scene.speak(&talks)?;
    let mut wrong = Vec::new();
    for spoken in &happened.done {
        for node in [0, 1] {
            let ways = spoken.ways(&happened.seen[node]);
            if ways.forward.is_empty() {
                continue;
            }
            let flow = judge::find(happened.intervals[node].flows(), spoken, &ways)?;
            let tuples = ways.forward.iter().map(|hop| hop.tuple);
            let sides = tuples.flat_map(|tuple| [tuple.source, tuple.destination]).chain([spoken.target]);
            // The node beyond knows nothing of what the first one translated.
            let sides = sides.filter(|side| ways.forward.iter().any(|hop| has(&hop.tuple, *side)));
            for side in sides.collect::<BTreeSet<SocketAddr>>() {
                let found =
                    flows::read(&scene.agents[node].query(&["flows", "--address", &side.to_string()])?)?;
                if !found.iter().any(|one| one.id == flow.id) {
                    wrong.push(format!("n{}: {side} does not find {}", node + 1, flow.brief()));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

fn has(tuple: &netobs_tests::tracer::frame::Tuple, side: SocketAddr) -> bool {
    tuple.source == side || tuple.destination == side
}

/// Two containers with the same few ports to choose from, one server, one address for both: where both choose the same
/// port, only conntrack knows whose it became.
pub(super) fn masqueraded_connections(scene: &Scene) -> Result<()> {
    const EACH: u32 = 100;
    let names = ["w", "x"];
    for name in names {
        scene.cluster.place(name)?.stack()?.sysctl("net/ipv4/ip_local_port_range", "40000 40149")?;
    }
    let target = SocketAddr::new(scene.cluster.address("client", Family::V4)?, PORT);
    let connect = |name: &'static str| -> Result<Vec<u16>> {
        traffic::connect(&scene.cluster.place(name)?, &target.to_string(), EACH, 100)
    };
    let happened = scene.around(|| {
        let [one, other] = std::thread::scope(|scope| {
            let both = names.map(|name| scope.spawn(move || connect(name)));
            both.map(|one| one.join().unwrap_or_else(|_| bail!("a panic")))
        });
        Ok([one?, other?])
    })?;
    let intervals = &happened.intervals;
    let before: BTreeSet<_> = intervals[0].before.flows.iter().map(|flow| flow.id.to_string()).collect();
    let became = translations(scene, target)?;
    let new = |flow: &&Flow| flow.addressed() == target.to_string() && !before.contains(&flow.id.to_string());
    let listed = intervals[0].flows().iter().filter(new).count();
    ensure!(listed == 2 * EACH as usize, "{listed} flows to {target}");
    let mut wrong = Vec::new();
    for (name, ports) in names.into_iter().zip(&happened.done) {
        let address = scene.cluster.address(name, Family::V4)?;
        let id = format!("container/{}", &container_id(name)[..12]);
        for &port in ports {
            let own = SocketAddr::new(address, port);
            let flow = flows::only(intervals[0].flows(), &format!("{own}"), |flow| {
                flow.source.port == Some(port)
                    && flow.source.address.as_deref() == Some(&address.to_string())
                    && new(&flow)
            })?;
            let became = became.get(&own).with_context(|| format!("conntrack does not know {own}"))?;
            let uplink = flow.hops.iter().find(|hop| hop.role == "uplink" && hop.direction == "forward");
            let seen = uplink.map(|hop| hop.source.clone()).unwrap_or_default();
            let is = (flow.source.endpoint.as_deref(), flow.nat.as_str(), seen);
            if is != (Some(&*id), "snat", became.to_string()) {
                wrong.push(format!("{own} became {became}: {}", flow.brief()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    happened.must_be_exact()
}

/// What conntrack of the first node says each sender became, of connections to a server.
fn translations(scene: &Scene, target: SocketAddr) -> Result<BTreeMap<SocketAddr, SocketAddr>> {
    let list = format!("conntrack -L -p tcp --orig-dst {} --orig-port-dst {}", target.ip(), target.port());
    let table = scene.cluster.node(1).run(&list)?;
    let line = |line: &str| -> Option<(SocketAddr, SocketAddr)> {
        let all = |key: &str| -> Vec<&str> {
            line.split_whitespace().filter_map(|word| word.strip_prefix(key)).collect()
        };
        let (sources, ports) = (all("src="), all("sport="));
        let (destinations, replied) = (all("dst="), all("dport="));
        let own = SocketAddr::new(sources.first()?.parse().ok()?, ports.first()?.parse().ok()?);
        let became = SocketAddr::new(destinations.get(1)?.parse().ok()?, replied.get(1)?.parse().ok()?);
        Some((own, became))
    };
    let found: BTreeMap<_, _> = table.lines().filter_map(line).collect();
    ensure!(found.values().all(|one| one.ip() == NODES[0].v4), "{table}");
    let changed = found.iter().filter(|(own, became)| own.port() != became.port()).count();
    ensure!(changed > 0, "no two connections wanted the same port: nothing is proved");
    Ok(found)
}

/// All rows in one run: every interface adds up on both nodes, and what reports of `source`, with the others where the
/// sender is external, is each packet once.
pub(super) fn counted_once(scene: &Scene) -> Result<()> {
    let rows = [
        rows::host_to_pod(),
        rows::pod_to_host(),
        rows::pods_of_one_node(),
        rows::pods_of_two_nodes(),
        rows::node_port_to_the_other_node(),
        rows::node_port_to_an_own_pod(),
        rows::cluster_ip_from_a_pod(),
        rows::cluster_ip_on_one_node(),
        rows::cluster_ip_from_the_host(),
        rows::hairpin(),
        rows::pod_to_outside(),
        rows::container_behind_the_host(),
        rows::macvlan(),
        rows::machine(),
        rows::hosts(),
    ];
    let talks: Vec<_> = rows::talks(&rows.concat(), &[Protocol::Tcp]).into_iter().map(|one| one.0).collect();
    let happened = scene.speak(&talks)?;
    let mut wrong = String::new();
    if let Err(error) = happened.must_be_exact() {
        wrong.push_str(&format!("{error:#}\n"));
    }
    let counted: [i128; 2] =
        ["packets", "bytes"].map(|unit| happened.intervals.iter().map(|one| total(one, unit)).sum());
    let sent = sent(&happened)?;
    if counted != sent {
        wrong.push_str(&format!("the cluster counted {counted:?} packets and bytes, {sent:?} were sent\n"));
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{:?}:\n{wrong}", scene.between) }
}

/// A node's part of the cluster's total, by the labels.
fn total(interval: &Interval, unit: &str) -> i128 {
    let growth = interval.scrape_after.since(&interval.scrape_before, &format!("netobs_path_{unit}_total"));
    let counts = growth.into_iter().filter(|(labels, _)| {
        let is = |label: &str, value: &str| labels.get(label).is_some_and(|own| own == value);
        let sender = if is("direction", "reply") { "destination_kind" } else { "source_kind" };
        let once = is("reporter", "source") || is(sender, "external");
        once && is("protocol", "tcp") && !is("path", "loopback")
    });
    counts.map(|(_, value)| whole(value)).sum()
}

/// Packets and bytes of all conversations, both directions, as a tracer saw them where they are to be counted.
fn sent(happened: &Happened<Vec<Spoken>>) -> Result<[i128; 2]> {
    let mut sum = [0; 2];
    for spoken in &happened.done {
        let [one, other] = [0, 1].map(|node| spoken.ways(&happened.seen[node]));
        for ways in [[&one.forward, &other.forward], [&one.reply, &other.reply]] {
            let hop = counting(ways).with_context(|| format!("{} was not seen", spoken.talk))?;
            sum[0] += i128::from(hop.carried.packets);
            sum[1] += i128::from(hop.carried.bytes);
        }
    }
    Ok(sum)
}

/// Of one direction's ways through both nodes: at the sender's node, where it leaves the sender's own interface; what
/// the node made itself, where it leaves the node, with what encapsulates it there, or comes to its receiver; what is
/// from outside, where it enters.
fn counting(ways: [&Vec<TracedHop>; 2]) -> Option<&TracedHop> {
    let enters = |hops: &Vec<TracedHop>| hops[0].ingress && hops[0].interface == UPLINK;
    let crossed = || ways.into_iter().filter(|hops| !hops.is_empty());
    let senders = crossed().find(|hops| !enters(hops));
    let hops = senders.or_else(|| crossed().find(|hops| hops[0].outer.is_none()))?;
    let first = hops.first()?;
    if !first.ingress && first.came_by == 0 { hops.last() } else { Some(first) }
}
