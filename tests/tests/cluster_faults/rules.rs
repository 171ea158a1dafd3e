//! What becomes of packets that the rules of kube-proxy and of NetworkPolicies keep.

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    cluster::{
        UPLINK,
        addresses::{Family, NODES},
    },
    explained::{Expected, change, explained},
    netns::Stack,
};
use serde_json::Value;

use crate::{A, B, C, D, Scene};

/// Rules for as long as the value lives: nobody else of the cluster has any in these tables.
struct Loaded<'a> {
    stack: &'a Stack,
    undo: &'static str,
}

impl<'a> Loaded<'a> {
    fn new(stack: &'a Stack, program: &str, rules: &str) -> Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), rules)?;
        let path = file.path().display();
        let (load, undo) = match program {
            "nft" => (format!("nft -f {path}"), "nft delete table ip kube-proxy"),
            _ => (format!("iptables-restore {path}"), "nft delete table ip filter"),
        };
        stack.run(&load).with_context(|| rules.to_owned())?;
        Ok(Self { stack, undo })
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.stack.run(self.undo) {
            eprintln!("{error:#}");
        }
    }
}

/// As kube-proxy writes them for Services without endpoints, and without endpoints on this node where only those may
/// answer (`externalTrafficPolicy: Local`).
const SERVICES: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment \"shop/api:http has no endpoints\" -m addrtype --dst-type LOCAL -m tcp --dport 30091 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment \"shop/db:sql has no local endpoints\" -m addrtype --dst-type LOCAL -m tcp --dport 30092 -j DROP
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block incoming localnet connections\" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
";

/// The same in the mode that uses nftables (Kubernetes 1.31).
const SERVICES_OF_NFT: &str = "\
table ip kube-proxy {
  set nodeport-ips {
    type ipv4_addr
    elements = { 198.51.100.2 }
  }
  map no-endpoint-services {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.99 . tcp . 80 comment \"shop/api:http\" : goto reject-chain }
  }
  map no-endpoint-nodeports {
    type inet_proto . inet_service : verdict
    elements = { tcp . 30093 comment \"shop/api:http\" : goto reject-chain, tcp . 30094 comment \"shop/db:sql\" : drop }
  }
  chain filter-forward {
    type filter hook forward priority filter; policy accept;
    ct state new jump service-endpoints-check
  }
  chain filter-input {
    type filter hook input priority filter; policy accept;
    ct state new jump nodeport-endpoints-check
    ct state new jump service-endpoints-check
  }
  chain nodeport-endpoints-check {
    ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
  }
  chain service-endpoints-check {
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
  }
  chain reject-chain {
    reject
  }
}
";

/// As kube-router writes them: what no policy has marked is rejected, on one bridge too.
const KUBE_ROUTER: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-NWPLCY-A - [0:0]
:KUBE-POD-FW-A - [0:0]
:KUBE-ROUTER-FORWARD - [0:0]
-A FORWARD -m comment --comment \"kube-router netpol\" -j KUBE-ROUTER-FORWARD
-A KUBE-ROUTER-FORWARD -d 10.71.1.2/32 -m comment --comment \"rule to jump traffic destined to POD name:a namespace: lab to chain KUBE-POD-FW-A\" -j KUBE-POD-FW-A
-A KUBE-ROUTER-FORWARD -d 10.71.1.2/32 -m physdev --physdev-is-bridged -m comment --comment \"rule to jump traffic destined to POD name:a namespace: lab to chain KUBE-POD-FW-A\" -j KUBE-POD-FW-A
-A KUBE-POD-FW-A -m comment --comment \"rule for stateful firewall for pod\" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-POD-FW-A -m comment --comment \"run through nw policy web\" -j KUBE-NWPLCY-A
-A KUBE-POD-FW-A -m comment --comment \"rule to REJECT traffic destined for POD name:a namespace: lab\" -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable
-A KUBE-NWPLCY-A -p tcp -m comment --comment \"rule to ACCEPT traffic from source pods\" -m tcp --dport 80 -j MARK --set-xmark 0x10000/0x10000
COMMIT
";

/// As Calico writes them: what no policy has accepted is dropped before the pod's interface.
const CALICO: &str = "\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:cali-FORWARD - [0:0]
:cali-pi-web - [0:0]
:cali-to-wl-dispatch - [0:0]
:cali-tw-vc - [0:0]
-A FORWARD -m comment --comment \"cali:wUHhoiAYhphO9Mso\" -j cali-FORWARD
-A cali-FORWARD -o v+ -m comment --comment \"cali:NOSxoaGx\" -j cali-to-wl-dispatch
-A cali-to-wl-dispatch -o vc -m comment --comment \"cali:zTj6P0TI\" -g cali-tw-vc
-A cali-pi-web -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x10000/0x10000
-A cali-tw-vc -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-tw-vc -j MARK --set-xmark 0x0/0x30000
-A cali-tw-vc -m mark --mark 0x0/0x20000 -j cali-pi-web
-A cali-tw-vc -m comment --comment \"Return if policy accepted\" -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-tw-vc -m comment --comment \"Drop if no policies passed packet\" -m mark --mark 0x0/0x20000 -j DROP
COMMIT
";

/// Somebody outside addresses a port of the first node.
fn from_outside(scene: &Scene, port: u16, verdicts: &[&str], configured: &str) -> Result<Value> {
    let to = format!("{}:{port}", NODES[0].v4);
    let expected = Expected {
        cause: "service_without_endpoints",
        verdicts,
        observed: "netfilter_drop",
        configured,
        last_hop: Some((UPLINK, "ingress")),
    };
    let attempt = ["tcp-connect", &to];
    explained(&scene.agents[0], (&scene.cluster.place("client")?, &attempt), ["external", &to], &expected)
}

pub(crate) fn no_endpoints(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(1);
    let _rules = Loaded::new(&node, "iptables", SERVICES)?;
    from_outside(scene, 30_091, &["refused"], "shop/api:http has no endpoints")?;
    Ok(())
}

pub(crate) fn no_local_endpoints(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(1);
    let _rules = Loaded::new(&node, "iptables", SERVICES)?;
    from_outside(scene, 30_092, &["dropped"], "shop/db:sql has no local endpoints")?;
    Ok(())
}

pub(crate) fn no_endpoints_of_nft(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(1);
    let _rules = Loaded::new(&node, "nft", SERVICES_OF_NFT)?;
    from_outside(scene, 30_093, &["refused"], "filter-input → nodeport-endpoints-check → reject-chain")?;
    from_outside(scene, 30_094, &["dropped"], "vmap @no-endpoint-nodeports")?;
    Ok(())
}

/// One pod addresses another one of its node.
fn denied(
    scene: &Scene,
    node: usize,
    [from, to]: [&str; 2],
    ends: [&str; 2],
    expected: &Expected<'_>,
) -> Result<()> {
    let to = format!("{}:7409", scene.cluster.address(to, Family::V4)?);
    let ends = [ends[0], &format!("{}:7409", ends[1])];
    let attempt = ["tcp-connect", &to];
    let agent = &scene.agents[node - 1];
    let answer = explained(agent, (&scene.cluster.place(from)?, &attempt), ends, expected)?;
    ensure!(answer["causes"][0]["confidence"] == "certain", "{answer:#}");
    Ok(())
}

pub(crate) fn kube_router(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(1);
    let before = node.run("sysctl -n net.bridge.bridge-nf-call-iptables")?;
    let [on, back] =
        ["1", before.trim()].map(|to| format!("sysctl -qw net.bridge.bridge-nf-call-iptables={to}"));
    let _calls = change(&node, &on, &back)?;
    let _rules = Loaded::new(&node, "iptables", KUBE_ROUTER)?;
    let expected = Expected {
        cause: "network_policy",
        verdicts: &["refused"],
        observed: "netfilter_drop",
        configured: "chain FORWARD → KUBE-ROUTER-FORWARD → KUBE-POD-FW-A, of this host, which took ",
        last_hop: Some(("vb", "ingress")),
    };
    denied(scene, 1, ["b", "a"], [B, A], &expected)
}

pub(crate) fn calico(scene: &Scene) -> Result<()> {
    let node = scene.cluster.node(2);
    let _rules = Loaded::new(&node, "iptables", CALICO)?;
    let expected = Expected {
        cause: "network_policy",
        verdicts: &["dropped"],
        observed: "netfilter_drop",
        configured: "chain FORWARD → cali-FORWARD → cali-to-wl-dispatch → cali-tw-vc, of this host, which took ",
        last_hop: Some(("vd", "ingress")),
    };
    denied(scene, 2, ["d", "c"], [D, C], &expected)
}
