//! The rows: who speaks with whom, and what each node's agent is to say of it.

use anyhow::{Result, bail};
use netobs_tests::{
    cluster::{
        Between,
        addresses::{FAMILIES, PUBLISHED},
        judge::{self, ACROSS, Promise},
        talk::{Protocol, Spoken, Talk, To},
    },
    suite::Case,
};

use super::{
    scene::{Happened, Scene},
    together,
};

/// Who opens, what is addressed, and what is promised of the flow on each node it crosses.
type Row = (&'static str, To, Vec<Promise>);

/// A promise in the order of its fields: node, source, destination, path, NAT, via, reporter.
const fn says(
    node: usize,
    (source, destination): (&'static str, &'static str),
    path: &'static str,
    (nat, via): (&'static str, &'static str),
    reporter: &'static str,
) -> Promise {
    Promise { node, source, destination, path, nat, via, reporter }
}

const DIRECT: (&str, &str) = ("none", "direct");
const NODE_PORT: (&str, &str) = ("both", "node_port");
const CLUSTER_IP: (&str, &str) = ("dnat", "cluster_ip");
const A: &str = "pod/lab/a";
const B: &str = "pod/lab/b";
const C: &str = "pod/lab/c";
const D: &str = "pod/lab/d";

pub(super) fn host_to_pod() -> Vec<Row> {
    vec![
        ("n1", To::At("a"), vec![says(1, ("host", A), "host_direct", DIRECT, "source")]),
        ("n2", To::At("c"), vec![says(2, ("host", C), "host_direct", DIRECT, "source")]),
    ]
}

pub(super) fn pod_to_host() -> Vec<Row> {
    vec![
        ("a", To::At("br0"), vec![says(1, (A, "host"), "host_direct", DIRECT, "source")]),
        ("a", To::At("n1"), vec![says(1, (A, "host"), "host_direct", DIRECT, "source")]),
        ("c", To::At("n2"), vec![says(2, (C, "host"), "host_direct", DIRECT, "source")]),
    ]
}

pub(super) fn pods_of_one_node() -> Vec<Row> {
    vec![
        ("b", To::At("a"), vec![says(1, (B, A), "bridge", DIRECT, "source")]),
        ("d", To::At("c"), vec![says(2, (D, C), "routed_local", DIRECT, "source")]),
    ]
}

pub(super) fn pods_of_two_nodes() -> Vec<Row> {
    vec![
        ("a", To::At("c"), across(1, (A, A), (C, C), DIRECT)),
        ("d", To::At("a"), across(2, (D, D), (A, A), DIRECT)),
    ]
}

/// From one node to the other: the first translates, if anybody does. Names as the first and the second know them.
fn across(
    from: usize,
    sources: (&'static str, &'static str),
    destinations: (&'static str, &'static str),
    first: (&'static str, &'static str),
) -> Vec<Promise> {
    let reporter = if sources.0 == "external" { "transit" } else { "source" };
    vec![
        says(from, (sources.0, destinations.0), ACROSS, first, reporter),
        says(3 - from, (sources.1, destinations.1), ACROSS, DIRECT, "destination"),
    ]
}

pub(super) fn node_port_to_the_other_node() -> Vec<Row> {
    vec![
        ("client", To::Port("n1", 30_080), across(1, ("external", "node/n1"), (C, C), NODE_PORT)),
        ("client", To::Port("n2", 30_081), across(2, ("external", "node/n2"), (A, A), NODE_PORT)),
    ]
}

pub(super) fn node_port_to_an_own_pod() -> Vec<Row> {
    vec![
        (
            "client",
            To::Port("n1", 30_081),
            vec![says(1, ("external", A), "uplink", NODE_PORT, "destination")],
        ),
        (
            "client",
            To::Port("n2", 30_080),
            vec![says(2, ("external", C), "uplink", NODE_PORT, "destination")],
        ),
    ]
}

pub(super) fn cluster_ip_from_a_pod() -> Vec<Row> {
    vec![
        ("a", To::Service("front"), across(1, (A, A), (C, C), CLUSTER_IP)),
        ("d", To::Service("back"), across(2, (D, D), (A, A), CLUSTER_IP)),
    ]
}

pub(super) fn cluster_ip_on_one_node() -> Vec<Row> {
    vec![
        ("b", To::Service("back"), vec![says(1, (B, A), "routed_local", CLUSTER_IP, "source")]),
        ("d", To::Service("front"), vec![says(2, (D, C), "routed_local", CLUSTER_IP, "source")]),
    ]
}

pub(super) fn cluster_ip_from_the_host() -> Vec<Row> {
    vec![
        ("n1", To::Service("front"), across(1, ("host", "node/n1"), (C, C), CLUSTER_IP)),
        ("n2", To::Service("back"), across(2, ("host", "node/n2"), (A, A), CLUSTER_IP)),
    ]
}

pub(super) fn hairpin() -> Vec<Row> {
    vec![
        ("b", To::Port("n1", 30_081), vec![says(1, (B, A), "routed_local", NODE_PORT, "source")]),
        ("d", To::Port("n2", 30_080), vec![says(2, (D, C), "routed_local", NODE_PORT, "source")]),
    ]
}

pub(super) fn pod_to_outside() -> Vec<Row> {
    let masquerade = ("snat", "direct");
    vec![
        ("a", To::At("client"), vec![says(1, (A, "external"), "uplink", masquerade, "source")]),
        ("c", To::At("client"), vec![says(2, (C, "external"), "uplink", masquerade, "source")]),
    ]
}

pub(super) fn container_behind_the_host() -> Vec<Row> {
    let (out, published) = (("snat", "direct"), ("dnat", "published_port"));
    vec![
        ("w", To::At("client"), vec![says(1, ("container/w", "external"), "uplink", out, "source")]),
        (
            "client",
            To::Port("n1", PUBLISHED),
            vec![says(1, ("external", "container/w"), "uplink", published, "destination")],
        ),
    ]
}

pub(super) fn macvlan() -> Vec<Row> {
    let of = |ends| vec![says(1, ends, "macvlan", DIRECT, "source")];
    vec![
        ("m", To::At("client"), of(("container/m", "external"))),
        ("m", To::At("o"), of(("container/m", "container/o"))),
        ("client", To::At("o"), vec![says(1, ("external", "container/o"), "macvlan", DIRECT, "destination")]),
    ]
}

pub(super) fn machine() -> Vec<Row> {
    const VM: &str = "vm/vm";
    vec![
        ("vm", To::At("a"), vec![says(1, (VM, A), "bridge", DIRECT, "source")]),
        ("vm", To::At("c"), across(1, (VM, "pods/n1"), (C, C), DIRECT)),
        ("vm", To::At("client"), vec![says(1, (VM, "external"), "uplink", ("snat", "direct"), "source")]),
    ]
}

pub(super) fn loopback() -> Vec<Row> {
    let own = |node| vec![says(node, ("host", "host"), "loopback", DIRECT, "source")];
    vec![("n1", To::Loopback, own(1)), ("n1", To::At("n1"), own(1)), ("n2", To::At("n2"), own(2))]
}

pub(super) fn hosts() -> Vec<Row> {
    let node = |number, ends, reporter| says(number, ends, "routed_remote", DIRECT, reporter);
    let both = vec![node(1, ("host", "node/n2"), "source"), node(2, ("node/n1", "host"), "destination")];
    vec![
        ("n1", To::At("n2"), both),
        ("n1", To::At("client"), vec![says(1, ("host", "external"), "uplink", DIRECT, "source")]),
        ("client", To::At("n2"), vec![says(2, ("external", "host"), "uplink", DIRECT, "destination")]),
    ]
}

type Check = fn(&Scene) -> Result<()>;

/// The rows whose way depends on both at once, who translates and how the nodes are joined, as one case: the quiet
/// moments around it are what takes time.
pub(crate) fn translated() -> Vec<Case<Scene>> {
    let check: Check = |scene| {
        let services = [
            node_port_to_the_other_node(),
            node_port_to_an_own_pod(),
            cluster_ip_from_a_pod(),
            cluster_ip_from_the_host(),
            cluster_ip_on_one_node(),
            hairpin(),
        ];
        let hidden = [pod_to_outside(), container_behind_the_host()];
        tcp(scene, &[&services[..], &hidden].concat())
    };
    vec![Case { name: "every_translation", check }]
}

/// Every row as a case, then all of them together.
pub(crate) fn cases() -> Vec<Case<Scene>> {
    let case = |name, check: Check| Case { name, check };
    vec![
        case("host_and_pod", |scene| tcp(scene, &[host_to_pod(), pod_to_host()])),
        case("pods_of_one_node", |scene| tcp(scene, &[pods_of_one_node()])),
        case("pods_of_two_nodes", |scene| tcp(scene, &[pods_of_two_nodes()])),
        case("datagrams_and_echoes", |scene| {
            judged(scene, &[pods_of_one_node(), pods_of_two_nodes()], &[Protocol::Udp, Protocol::Icmp])
        }),
        case("node_ports", |scene| tcp(scene, &[node_port_to_the_other_node(), node_port_to_an_own_pod()])),
        case("cluster_ips", |scene| tcp(scene, &[cluster_ip_from_a_pod(), cluster_ip_from_the_host()])),
        case("services_of_one_node", |scene| tcp(scene, &[cluster_ip_on_one_node(), hairpin()])),
        case("masquerade_and_published_port", |scene| {
            tcp(scene, &[pod_to_outside(), container_behind_the_host()])
        }),
        case("macvlan", |scene| tcp(scene, &[macvlan()])),
        case("machine", |scene| tcp(scene, &[machine()])),
        case("hosts", |scene| tcp(scene, &[loopback(), hosts()])),
        case("both_addresses_find_the_flow", together::both_addresses_find_the_flow),
        case("masqueraded_connections_are_each_containers_own", together::masqueraded_connections),
        case("the_cluster_counts_each_flow_once", together::counted_once),
    ]
}

/// Connections over both families.
fn tcp(scene: &Scene, rows: &[Vec<Row>]) -> Result<()> {
    judged(scene, rows, &[Protocol::Tcp])
}

/// Each row over both families.
pub(super) fn talks(rows: &[Row], protocols: &[Protocol]) -> Vec<(Talk, Vec<Promise>)> {
    let mut talks = Vec::new();
    for &protocol in protocols {
        for family in FAMILIES {
            let of_family =
                |(client, to, promises): &Row| (Talk { client, to: *to, family, protocol }, promises.clone());
            talks.extend(rows.iter().map(of_family));
        }
    }
    talks
}

fn judged(scene: &Scene, rows: &[Vec<Row>], protocols: &[Protocol]) -> Result<()> {
    let talks = talks(&rows.concat(), protocols);
    let happened = scene.speak(&talks.iter().map(|(talk, _)| *talk).collect::<Vec<_>>())?;
    let mut wrong = String::new();
    if let Err(error) = happened.must_be_exact() {
        wrong.push_str(&format!("{error:#}\n"));
    }
    for (spoken, (_, promises)) in happened.done.iter().zip(&talks) {
        if let Err(error) = one(scene.between, &happened, spoken, promises) {
            wrong.push_str(&format!("  {}:\n{error:#}\n", spoken.talk));
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{:?}:\n{wrong}", scene.between) }
}

/// One conversation on both nodes.
fn one(
    between: Between,
    happened: &Happened<Vec<Spoken>>,
    spoken: &Spoken,
    promises: &[Promise],
) -> Result<()> {
    let mut wrong = String::new();
    for node in [1, 2] {
        let ways = spoken.ways(&happened.seen[node - 1]);
        if std::env::var_os("NETOBS_PRINT_WAYS").is_some() && !ways.forward.is_empty() {
            eprintln!("{between:?}, {}, node n{node}:\n{ways}", spoken.talk);
        }
        let promise = promises.iter().find(|promise| promise.node == node);
        let (Some(promise), false) = (promise, ways.forward.is_empty()) else {
            if promise.is_some() || !ways.forward.is_empty() {
                wrong.push_str(&format!("    node n{node} is promised {promise:?}, the tracer saw\n{ways}"));
            }
            continue;
        };
        let found = judge::find(happened.intervals[node - 1].flows(), spoken, &ways);
        let judged = found.and_then(|flow| judge::compare(flow, (spoken, &ways), promise, between));
        if let Err(error) = judged {
            wrong.push_str(&format!("{error:#}\n"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{wrong}") }
}
