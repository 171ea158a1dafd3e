//! Faults of the firewall, each with the rule that must be named.

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    docker_site::{LONELY, WEB},
    endpoint,
    explained::{self, Expected, Undo, change},
    netns,
    place::Place,
    site::{NODE, UPLINK},
    stage::Stage,
};

use crate::{ask, bridge_of, explained as explains, lonely, web};

/// A rule at the head of a chain, while the value lives.
fn rule(stage: &Stage, table: &str, chain: &str, rule: &str) -> Result<Undo> {
    explained::rule(&stage.site.site.node(), table, chain, rule)
}

/// The packets a rule of a chain has taken, by a word that stands in it.
fn taken(stage: &Stage, chain: &str, word: &str) -> Result<u64> {
    explained::taken(&stage.site.site.node(), chain, word)
}

pub(crate) fn isolated(stage: &Stage) -> Result<()> {
    let address = stage.site.address(WEB)?;
    let bridge = bridge_of(stage, LONELY)?;
    let expected = Expected {
        cause: "firewall_drop",
        verdicts: &["dropped"],
        observed: "netfilter_drop",
        configured: "DOCKER-ISOLATION-STAGE-2",
        last_hop: Some((&bridge, "ingress")),
    };
    explains(stage, &stage.place(LONELY)?, [&lonely(), &web(7210)], &format!("{address}:7210"), &expected)
}

pub(crate) fn rejected(stage: &Stage) -> Result<()> {
    let address = stage.site.address(WEB)?;
    let bridge = bridge_of(stage, LONELY)?;
    let words = format!("-d {address} -p tcp --dport 7211 -j REJECT --reject-with icmp-admin-prohibited");
    let _rule = rule(stage, "filter", "DOCKER-USER", &words)?;
    let expected = Expected {
        cause: "firewall_reject",
        verdicts: &["unreachable"],
        observed: "the sender was told",
        configured: "-j REJECT --reject-with icmp-admin-prohibited",
        last_hop: Some((&bridge, "ingress")),
    };
    explains(stage, &stage.place(LONELY)?, [&lonely(), &web(7211)], &format!("{address}:7211"), &expected)?;
    ensure!(taken(stage, "DOCKER-USER", "7211")? > 0);
    Ok(())
}

pub(crate) fn kept_in(stage: &Stage) -> Result<()> {
    let address = stage.site.address(WEB)?;
    let _rule = rule(stage, "filter", "OUTPUT", &format!("-d {address} -p tcp --dport 7212 -j DROP"))?;
    let expected = Expected {
        cause: "firewall_drop",
        verdicts: &["dropped"],
        observed: "netfilter_drop",
        configured: "chain OUTPUT",
        last_hop: None,
    };
    explains(stage, &stage.node(), ["host", &web(7212)], &format!("{address}:7212"), &expected)
}

/// What Docker's policy does to the bridge of somebody else's machines.
pub(crate) fn bridged(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    endpoint::bridge(&node, "vmbr0", "10.79.0.1/24")?;
    let _bridge = Undo::new(&node, "ip link del vmbr0");
    let [one, other] = [("vm1", "10.79.0.2/24"), ("vm2", "10.79.0.3/24")].map(|(name, address)| {
        let space = netns::unique(name);
        endpoint::on_bridge(&node, &space, name, "vmbr0", address, None)
    });
    let (one, other) = (one?, other?);
    let before = node.run("sysctl -n net.bridge.bridge-nf-call-iptables")?;
    let _calls = change(
        &node,
        "sysctl -qw net.bridge.bridge-nf-call-iptables=1",
        &format!("sysctl -qw net.bridge.bridge-nf-call-iptables={}", before.trim()),
    )?;
    // Docker sets it where it was the one to let the host forward; here the lab was.
    let _policy = change(&node, "iptables -w -P FORWARD DROP", "iptables -w -P FORWARD ACCEPT")?;
    let expected = Expected {
        cause: "bridge_netfilter",
        verdicts: &["dropped"],
        observed: "netfilter_drop",
        configured: "-P FORWARD DROP",
        last_hop: Some(("vm1", "ingress")),
    };
    let from = Place::Stack(one.stack());
    explains(stage, &from, ["10.79.0.2", "10.79.0.3:7213"], "10.79.0.3:7213", &expected)?;
    drop(other);
    Ok(())
}

/// What is published is dropped behind its translation, and a rule before that is for what the packet is not for yet.
pub(crate) fn published(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let address = stage.site.address(WEB)?;
    let _translates = change(
        &node,
        &format!(
            "iptables -w -t nat -I PREROUTING -d {NODE} -p tcp --dport 7216 -j DNAT --to-destination {address}:7216"
        ),
        &format!(
            "iptables -w -t nat -D PREROUTING -d {NODE} -p tcp --dport 7216 -j DNAT --to-destination {address}:7216"
        ),
    )?;
    let _innocent = rule(stage, "raw", "PREROUTING", &format!("-d {address} -p tcp --dport 7216 -j DROP"))?;
    let _guilty =
        rule(stage, "filter", "DOCKER-USER", "-p tcp --dport 7216 -m conntrack --ctstate DNAT -j DROP")?;
    let expected = Expected {
        cause: "firewall_drop",
        verdicts: &["dropped"],
        observed: "netfilter_drop",
        configured: "-m conntrack --ctstate DNAT -j DROP",
        last_hop: Some((UPLINK, "ingress")),
    };
    let to = format!("{NODE}:7216");
    explains(stage, &stage.outside(), ["external", &web(7216)], &to, &expected)
}

/// A rule of the bridge itself, and a policy for routed packets that is not asked.
pub(crate) fn frames(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let (web_port, plain) = (stage.veth(WEB)?, stage.site.address("plain")?);
    let calls = "net.bridge.bridge-nf-call-iptables";
    let before = node.run(&format!("sysctl -n {calls}"))?;
    let _calls =
        change(&node, &format!("sysctl -qw {calls}=0"), &format!("sysctl -qw {calls}={}", before.trim()))?;
    let _policy = change(&node, "iptables -w -P FORWARD DROP", "iptables -w -P FORWARD ACCEPT")?;
    let _table =
        change(&node, "nft add table bridge netobs_frames", "nft delete table bridge netobs_frames")?;
    node.run("nft add chain bridge netobs_frames guard { type filter hook forward priority 0 ; }")?;
    node.run(&format!(
        "nft add rule bridge netobs_frames guard iifname {web_port} tcp dport 7217 counter drop"
    ))?;
    let expected = Expected {
        cause: "firewall_drop",
        verdicts: &["dropped"],
        observed: "netfilter_drop",
        configured: "tcp dport 7217",
        last_hop: Some((&web_port, "ingress")),
    };
    let asked = ["container/web", "container/plain:7217"];
    explains(stage, &stage.place(WEB)?, asked, &format!("{plain}:7217"), &expected)
}

pub(crate) fn policy(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let address = stage.site.address(WEB)?;
    let bridge = bridge_of(stage, LONELY)?;
    // As kube-router builds it: a chain for the pod, one for the policy, and what no policy marked is dropped.
    let _policy = change(&node, "iptables -w -N KUBE-NWPLCY-ALLOW", "iptables -w -X KUBE-NWPLCY-ALLOW")?;
    let _pod = change(&node, "iptables -w -N KUBE-POD-FW-WEB", "iptables -w -X KUBE-POD-FW-WEB")?;
    let _allows =
        rule(stage, "filter", "KUBE-NWPLCY-ALLOW", "-s 10.78.0.99/32 -j MARK --set-xmark 0x10000/0x10000")?;
    let _denies = rule(stage, "filter", "KUBE-POD-FW-WEB", "-m mark ! --mark 0x10000/0x10000 -j DROP")?;
    let _asks = rule(stage, "filter", "KUBE-POD-FW-WEB", "-j KUBE-NWPLCY-ALLOW")?;
    let _leads = rule(stage, "filter", "FORWARD", &format!("-d {address}/32 -j KUBE-POD-FW-WEB"))?;
    let expected = Expected {
        cause: "network_policy",
        verdicts: &["dropped"],
        observed: "netfilter_drop",
        configured: "FORWARD → KUBE-POD-FW-WEB",
        last_hop: Some((&bridge, "ingress")),
    };
    explains(stage, &stage.place(LONELY)?, [&lonely(), &web(7214)], &format!("{address}:7214"), &expected)?;
    // The counter that is named is the rule's.
    let count = taken(stage, "KUBE-POD-FW-WEB", "DROP")?;
    let (_, answer) = ask(stage, &lonely(), &web(7214))?;
    let configured = answer["causes"][0]["configured"].as_str().context("nothing configured")?;
    ensure!(configured.contains(&format!("took {count} packet")), "{configured}, and the rule has {count}");
    Ok(())
}
