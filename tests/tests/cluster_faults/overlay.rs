//! What becomes of packets between pods of two nodes when those that carry them are dropped, or do not fit.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    cluster::{
        UPLINK,
        addresses::{Family, NODES, PORT},
        overlay,
    },
    explained::{self, Expected, change, explained, rule},
    process::{Background, SHORT, run_within},
    traffic,
};
use serde_json::Value;

use crate::{A, C, Scene};

/// The device that encapsulates.
const DEVICE: &str = "vx100";

/// A connection from pod `a` to a port of pod `c` that sends so much.
fn attempt(scene: &Scene, port: u16, bytes: &str) -> Result<[String; 4]> {
    let to = format!("{}:{port}", scene.cluster.address("c", Family::V4)?);
    Ok(["tcp-connect".into(), to, "--bytes".into(), bytes.into()])
}

/// Tries, and asks a node's agent, counted from 1.
fn asked(scene: &Scene, node: usize, (port, bytes): (u16, &str), expected: &Expected<'_>) -> Result<Value> {
    let words = attempt(scene, port, bytes)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ends = [A, &format!("{C}:{port}")];
    explained(&scene.agents[node - 1], (&scene.cluster.place("a")?, &words), ends, expected)
}

/// Before anything is injected: what is large passes as well.
pub(crate) fn no_fault(scene: &Scene) -> Result<()> {
    send(scene, "200000")?;
    for agent in &scene.agents {
        explained::faultless(agent, A, &format!("{C}:{PORT}"))?;
    }
    Ok(())
}

fn send(scene: &Scene, bytes: &str) -> Result<()> {
    let words = attempt(scene, PORT, bytes)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    run_within(&mut scene.cluster.place("a")?.traffic(&words)?, SHORT)?;
    Ok(())
}

/// The uplink became smaller than the overlay's device was made for.
pub(crate) fn too_large_below(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(1);
    let [smaller, before] = [1_400, 1_500].map(|mtu| format!("ip link set {UPLINK} mtu {mtu}"));
    let [whole, cut] = ["set", "unset"].map(|df| format!("ip link set {DEVICE} type vxlan id 100 df {df}"));
    let _mtu = change(&node, &smaller, &before)?;
    let _df = change(&node, &whole, &cut)?;
    let _told = rule(&node, "filter", "OUTPUT", "-p icmp -j DROP")?;
    send(scene, "100").context("what is small passes")?;
    let expected = Expected {
        cause: "overlay_mtu",
        verdicts: &["one_way"],
        observed: "segments went into vx100 and did not leave by eth0, where",
        configured: "vx100 has an MTU of 1450, which with 50 bytes around it does not fit the 1400 of eth0; \
                     outer packets may not be cut (df set)",
        last_hop: Some((DEVICE, "egress")),
    };
    // Over IPv6 nothing is cut, whatever the device is set to, and the host forwards no more than has once passed.
    let _told = change(
        &node,
        "ip6tables -w -I OUTPUT -p icmpv6 --icmpv6-type packet-too-big -j DROP",
        "ip6tables -w -D OUTPUT -p icmpv6 --icmpv6-type packet-too-big -j DROP",
    )?;
    let to = SocketAddr::new(scene.cluster.address("c", Family::V6)?, 7_406).to_string();
    let _server = traffic::tcp_server(&scene.cluster.place("c")?, "[::]:7406")?;
    let log = tempfile::NamedTempFile::new()?;
    let words = ["tcp-connect", &to, "--bytes", "50000"];
    let meanwhile = Background::start(&mut scene.cluster.place("a")?.traffic(&words)?, log.path())?;
    let answer = asked(scene, 1, (PORT, "50000"), &expected)?;
    ensure!(answer["causes"][0]["confidence"] == "certain", "{answer:#}");
    ensure!(answer["expected_next_hop"]["interface"] == UPLINK, "{answer:#}");
    let expected = Expected {
        observed: "segments went into vx6 and did not leave by eth0, where",
        configured: "vx6 has an MTU of 1430, which with 70 bytes around it does not fit the 1400 of eth0; \
                     outer packets are not cut (IPv6)",
        last_hop: Some(("br0", "ingress")),
        ..expected
    };
    explained::told(&scene.agents[0], [A, &to], &expected)?;
    drop(meanwhile);
    Ok(())
}

/// The pods' interfaces are larger than the overlay's device, which says so to nobody.
pub(crate) fn too_large_above(scene: &Scene) -> Result<()> {
    let [one, other] = [scene.cluster.node(1), scene.cluster.node(2)];
    let [source, destination] = [scene.cluster.place("a")?.stack()?, scene.cluster.place("c")?.stack()?];
    let links = [(&one, "br0"), (&one, "va"), (&source, "eth0"), (&other, "vc"), (&destination, "eth0")];
    let larger = links.map(|(stack, link)| {
        let [larger, before] = [1_500, 1_400].map(|mtu| format!("ip link set {link} mtu {mtu}"));
        change(stack, &larger, &before)
    });
    let _larger = larger.into_iter().collect::<Result<Vec<_>>>()?;
    let _told = rule(&one, "filter", "OUTPUT", "-p icmp -j DROP")?;
    let _server = traffic::tcp_server(&scene.cluster.place("c")?, "0.0.0.0:7402")?;
    let expected = Expected {
        cause: "overlay_mtu",
        verdicts: &["one_way"],
        observed: "pkt_too_big",
        configured: "vx100 has an MTU of 1450, and va, behind which the sender is, one of 1500",
        last_hop: Some(("br0", "ingress")),
    };
    asked(scene, 1, (7_402, "50000"), &expected)?;
    Ok(())
}

fn rule_at(chain: &str) -> String {
    format!("-A {chain} -p udp -m udp --dport {} -j DROP", overlay::PORT)
}

pub(crate) fn kept_in(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(1);
    let _rule = rule(&node, "filter", "OUTPUT", &format!("-p udp --dport {} -j DROP", overlay::PORT))?;
    let observed = format!("from {} to {}, which carry others", NODES[0].v4, NODES[1].v4);
    let expected = Expected {
        cause: "underlay_blocked",
        verdicts: &["unanswered"],
        observed: &observed,
        configured: &rule_at("OUTPUT"),
        last_hop: Some((DEVICE, "egress")),
    };
    asked(scene, 1, (7_403, "100"), &expected)?;
    Ok(())
}

pub(crate) fn kept_out(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(1);
    // As most firewalls begin: what carries others is never an answer.
    let _rule = rule(&node, "filter", "INPUT", &format!("-p udp --dport {} -j DROP", overlay::PORT))?;
    let _answers = rule(&node, "filter", "INPUT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")?;
    let _server = traffic::tcp_server(&scene.cluster.place("c")?, "0.0.0.0:7404")?;
    let observed = format!("from {} to {}, which carry others", NODES[1].v4, NODES[0].v4);
    let expected = Expected {
        cause: "underlay_blocked",
        verdicts: &["one_way"],
        observed: &observed,
        configured: &rule_at("INPUT"),
        last_hop: Some((UPLINK, "ingress")),
    };
    asked(scene, 1, (7_404, "100"), &expected)?;
    // The node of the server sends answers, and knows no more than that.
    let observed = format!("of the answer to {}, inside packets", scene.cluster.address("a", Family::V4)?);
    let there = Expected {
        cause: "beyond_this_host",
        observed: &observed,
        configured: &format!("the way to {} leads by {UPLINK}", NODES[0].v4),
        last_hop: Some((UPLINK, "egress")),
        ..expected
    };
    explained::told(&scene.agents[1], [A, &format!("{C}:7404")], &there)?;
    Ok(())
}

pub(crate) fn kept_out_there(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(2);
    let _rule = rule(&node, "filter", "INPUT", &format!("-p udp --dport {} -j DROP", overlay::PORT))?;
    let inside = format!("inside packets from {} to {}, left by {UPLINK}", NODES[0].v4, NODES[1].v4);
    let expected = Expected {
        cause: "beyond_this_host",
        verdicts: &["unanswered"],
        observed: &inside,
        configured: &format!("the way to {} leads by {UPLINK}", NODES[1].v4),
        last_hop: Some((UPLINK, "egress")),
    };
    asked(scene, 1, (7_405, "100"), &expected)?;
    // There the rule is known.
    let observed = format!("from {} to {}, which carry others", NODES[0].v4, NODES[1].v4);
    let there = Expected {
        cause: "underlay_blocked",
        observed: &observed,
        configured: &rule_at("INPUT"),
        last_hop: Some((UPLINK, "ingress")),
        ..expected
    };
    explained::told(&scene.agents[1], [A, &format!("{C}:7405")], &there)?;
    Ok(())
}
