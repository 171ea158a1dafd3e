//! What a node translates, as kube-proxy and Docker set it up: Services by address and by the nodes' port, a published
//! port, and masquerade for who leaves the cluster. By iptables or by nft, the same for both families.

use std::{fs, path::Path};

use anyhow::Result;

use super::{
    Rules,
    addresses::{FAMILIES, Family, PORT, PUBLISHED, SERVICES, container, tunnel},
    flannel::CONTAINERS,
};
use crate::{netns::Stack, process::run};

/// On packets that are to have the node's address.
const MARK: &str = "0x4000";

/// A destination that is translated.
struct Translated {
    /// Its address, or `None` for any of the node's.
    address: Option<String>,
    port: u16,
    to: String,
    /// Whether the sender gets the node's address as well.
    hides: bool,
}

/// Sets the rules of a node.
pub(super) fn set(node: &Stack, number: usize, rules: Rules) -> Result<()> {
    for family in FAMILIES {
        let (text, program): (_, &[&str]) = match (rules, family) {
            (Rules::Iptables, Family::V4) => (iptables(number, family), &["iptables-restore"]),
            (Rules::Iptables, Family::V6) => (iptables(number, family), &["ip6tables-restore"]),
            (Rules::Nft, _) => (nft(number, family), &["nft", "-f"]),
        };
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), text)?;
        let path: &Path = file.path();
        run(node.command(program[0], &program[1..]).arg(path))?;
    }
    Ok(())
}

fn translated(number: usize, family: Family) -> Vec<Translated> {
    let at = |address: std::net::IpAddr| std::net::SocketAddr::new(address, PORT).to_string();
    let mut all = Vec::new();
    for (_, own, node_port, pod) in SERVICES {
        let to = at(pod.of(family));
        let address = Some(own.of(family).to_string());
        all.push(Translated { address, port: 80, to: to.clone(), hides: false });
        all.push(Translated { address: None, port: node_port, to, hides: true });
    }
    if number == 1 {
        let to = at(container(2).of(family));
        all.push(Translated { address: None, port: PUBLISHED, to, hides: false });
    }
    all
}

/// The pods of all nodes, those of this one, and the containers of the first.
fn networks(number: usize, family: Family) -> [String; 3] {
    let (pods, own) = if family == Family::V4 { (16, 24) } else { (32, 64) };
    let first = |both: super::addresses::Both| both.of(family);
    [
        format!("{}/{pods}", if family == Family::V4 { "10.71.0.0" } else { "fd00:71::" }),
        format!("{}/{own}", first(tunnel(number))),
        format!("{}/{own}", first(container(0))),
    ]
}

fn iptables(number: usize, family: Family) -> String {
    let mut text = "*nat\n:SERVICES - [0:0]\n-A PREROUTING -j SERVICES\n-A OUTPUT -j SERVICES\n".to_owned();
    for one in translated(number, family) {
        let to = one.address.map_or("-m addrtype --dst-type LOCAL".to_owned(), |own| format!("-d {own}"));
        let rule = format!("-A SERVICES -p tcp {to} --dport {}", one.port);
        if one.hides {
            text.push_str(&format!("{rule} -j MARK --or-mark {MARK}\n"));
        }
        text.push_str(&format!("{rule} -j DNAT --to-destination {}\n", one.to));
    }
    let [pods, own, containers] = networks(number, family);
    text.push_str(&format!("-A POSTROUTING -m mark --mark {MARK}/{MARK} -j MASQUERADE\n"));
    text.push_str(&format!("-A POSTROUTING -s {pods} -d {pods} -j RETURN\n"));
    text.push_str(&format!("-A POSTROUTING -s {own} -o eth0 -j MASQUERADE\n"));
    if number == 1 {
        text.push_str(&format!("-A POSTROUTING -s {containers} ! -o {CONTAINERS} -j MASQUERADE\n"));
    }
    text.push_str("COMMIT\n");
    text
}

fn nft(number: usize, family: Family) -> String {
    let ip = if family == Family::V4 { "ip" } else { "ip6" };
    let mut services = String::new();
    for one in translated(number, family) {
        let to = one.address.map_or("fib daddr type local".to_owned(), |own| format!("{ip} daddr {own}"));
        let mark = if one.hides { format!("meta mark set {MARK} ") } else { String::new() };
        services.push_str(&format!("    {to} tcp dport {} {mark}dnat to {}\n", one.port, one.to));
    }
    let [pods, own, containers] = networks(number, family);
    let more = if number == 1 {
        format!("    {ip} saddr {containers} oifname != \"{CONTAINERS}\" masquerade\n")
    } else {
        String::new()
    };
    format!(
        "table {ip} cluster {{\n  chain services {{\n{services}  }}\n  \
         chain prerouting {{ type nat hook prerouting priority dstnat; jump services; }}\n  \
         chain output {{ type nat hook output priority -100; jump services; }}\n  \
         chain postrouting {{ type nat hook postrouting priority srcnat;\n    \
         meta mark & {MARK} == {MARK} masquerade\n    \
         {ip} saddr {pods} {ip} daddr {pods} return\n    \
         {ip} saddr {own} oifname \"eth0\" masquerade\n{more}  }}\n}}\n"
    )
}
