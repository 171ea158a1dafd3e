//! The kernel settings that decide whether packets pass → their values by dotted name, of the calling thread's network
//! namespace. Blocking: a small file for each.

use std::collections::BTreeMap;

use super::sysctl;

/// Settings of the whole stack.
const GLOBAL: [&str; 8] = [
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.accept_local",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.netfilter.nf_conntrack_max",
    "net.ipv4.icmp_ratelimit",
];
/// Settings of each interface, by family.
const OF_INTERFACES: [(&str, &str); 4] =
    [("ipv4", "rp_filter"), ("ipv4", "forwarding"), ("ipv4", "proxy_arp"), ("ipv6", "forwarding")];

/// All that there are, of these interfaces too.
#[must_use]
pub fn read<'a>(interfaces: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> =
        GLOBAL.iter().filter_map(|name| Some(((*name).to_owned(), sysctl::read(name)?))).collect();
    for interface in interfaces {
        for (family, setting) in OF_INTERFACES {
            if let Some(value) = sysctl::of_interface(family, interface, setting) {
                found.insert(format!("net.{family}.conf.{interface}.{setting}"), value);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_stack_and_of_interfaces_are_read() {
        let found = read(["lo", "no.such0"].into_iter());
        assert!(found.contains_key("net.ipv4.ip_forward"));
        assert!(found.contains_key("net.ipv4.conf.lo.rp_filter"));
        assert!(!found.keys().any(|name| name.contains("no.such0")));
    }
}
