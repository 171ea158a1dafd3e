//! Targets of iptables → their words in `iptables -S`. Pure.

use std::net::IpAddr;

use super::{
    super::{NatRange, Range, Target},
    values::{quoted, reject_of_iptables},
};

pub(super) fn of_iptables(target: &Target) -> String {
    match target {
        Target::Reject(reject) => format!("-j REJECT --reject-with {}", reject_of_iptables(*reject)),
        Target::Mark { value, mask } => format!("-j MARK --set-xmark {value:#x}/{mask:#x}"),
        Target::ConnectionMark { mode, value, mask, packet_mask, shifted } => {
            let text = match mode {
                0 => format!("--set-xmark {value:#x}/{mask:#x}"),
                1 => format!("--save-mark --nfmask {packet_mask:#x} --ctmask {mask:#x}"),
                _ => format!("--restore-mark --nfmask {packet_mask:#x} --ctmask {mask:#x}"),
            };
            format!("-j CONNMARK {text}{}", if *shifted { " [shift]" } else { "" })
        }
        Target::Dnat(range) => format!("-j DNAT --to-destination {}{}", place(range), how(range)),
        Target::Snat(range) => format!("-j SNAT --to-source {}{}", place(range), how(range)),
        Target::Masquerade(range) => format!("-j MASQUERADE{}{}", to_ports(range), how(range)),
        Target::Redirect(range) => format!("-j REDIRECT{}{}", to_ports(range), how(range)),
        Target::Netmap(range) => format!("-j NETMAP --to {}", netmap(range)),
        Target::Log { prefix, level } => {
            let prefix =
                if prefix.is_empty() { String::new() } else { format!(" --log-prefix {}", quoted(prefix)) };
            let level = if *level == 4 { String::new() } else { format!(" --log-level {level}") };
            format!("-j LOG{prefix}{level}")
        }
        Target::Other { name, .. } => format!("-j {name}"),
    }
}

fn span<T: PartialEq + std::fmt::Display>(range: Range<T>) -> String {
    if range.first == range.last {
        return range.first.to_string();
    }
    format!("{}-{}", range.first, range.last)
}

fn place(range: &NatRange) -> String {
    let addresses = match range.addresses {
        Some(addresses) if addresses.first.is_ipv6() && range.ports.is_some() => {
            format!("[{}]", span(addresses))
        }
        Some(addresses) => span(addresses),
        None => String::new(),
    };
    let ports = range.ports.map_or_else(String::new, |ports| format!(":{}", span(ports)));
    format!("{addresses}{ports}")
}

fn to_ports(range: &NatRange) -> String {
    range.ports.map_or_else(String::new, |ports| format!(" --to-ports {}", span(ports)))
}

/// `NF_NAT_RANGE_…`.
fn how(range: &NatRange) -> String {
    const RANDOM: u32 = 1 << 2;
    const PERSISTENT: u32 = 1 << 3;
    const FULLY: u32 = 1 << 4;
    [(RANDOM, " --random"), (FULLY, " --random-fully"), (PERSISTENT, " --persistent")]
        .iter()
        .filter(|(flag, _)| range.flags & flag != 0)
        .map(|(_, word)| *word)
        .collect()
}

fn netmap(range: &NatRange) -> String {
    let Some(Range { first, last }) = range.addresses else { return "?".into() };
    let host_bits = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => u128::from(first.to_bits() ^ last.to_bits()),
        (IpAddr::V6(first), IpAddr::V6(last)) => first.to_bits() ^ last.to_bits(),
        _ => return "?".into(),
    };
    let length = if first.is_ipv6() { 128 } else { 32 };
    format!("{first}/{}", length - (u128::BITS - host_bits.leading_zeros()))
}
