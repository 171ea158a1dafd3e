//! Numbers and bytes → the words of `iptables` and `nft`. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::{Reject, family};

pub(super) fn family(number: u8) -> String {
    match number {
        family::INET => "inet".into(),
        family::IPV4 => "ip".into(),
        family::ARP => "arp".into(),
        family::NETDEV => "netdev".into(),
        family::BRIDGE => "bridge".into(),
        family::IPV6 => "ip6".into(),
        other => format!("family {other}"),
    }
}

/// /etc/protocols, as far as firewalls speak of them.
pub(super) fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".into(),
        2 => "igmp".into(),
        4 => "ipencap".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        33 => "dccp".into(),
        41 => "ipv6".into(),
        47 => "gre".into(),
        50 => "esp".into(),
        51 => "ah".into(),
        58 => "ipv6-icmp".into(),
        89 => "ospf".into(),
        103 => "pim".into(),
        112 => "vrrp".into(),
        132 => "sctp".into(),
        136 => "udplite".into(),
        other => other.to_string(),
    }
}

/// An address from its first bytes.
pub(super) fn address(bytes: &[u8], ipv6: bool) -> IpAddr {
    let mut all = [0; 16];
    for (to, from) in all.iter_mut().zip(bytes) {
        *to = *from;
    }
    match (ipv6, all.first_chunk::<4>()) {
        (false, Some(first)) => IpAddr::V4(Ipv4Addr::from(*first)),
        _ => IpAddr::V6(Ipv6Addr::from(all)),
    }
}

/// The length of a prefix, if the mask is one.
pub(super) fn prefix_length(mask: &[u8]) -> Option<u32> {
    let full = mask.iter().take_while(|byte| **byte == u8::MAX).count();
    let ones = mask.iter().map(|byte| byte.count_ones()).sum();
    let partly = mask.get(full).map_or(0, |byte| byte.leading_ones());
    (u32::try_from(full).ok()? * 8 + partly == ones).then_some(ones)
}

pub(super) fn short(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_be_bytes)
}

/// In the host's order.
pub(super) fn word(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"))
}

/// The name of an interface, and whether it is only how the name begins.
pub(super) fn name(bytes: &[u8]) -> (String, bool) {
    let end = bytes.iter().position(|byte| *byte == 0);
    let name = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    (String::from_utf8_lossy(name).into_owned(), end.is_none())
}

const FLAGS: &[(u8, &str)] =
    &[(1, "FIN"), (2, "SYN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG"), (64, "ECE"), (128, "CWR")];

/// Flags of TCP, with commas.
pub(super) fn flags(bits: u8) -> String {
    if bits == 0x3f {
        return "ALL".into();
    }
    let names: Vec<&str> = FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "NONE".into() } else { names.join(",") }
}

/// What `--reject-with` takes.
pub(super) fn reject_of_iptables(reject: Reject) -> String {
    let word = match reject {
        Reject::TcpReset => "tcp-reset",
        Reject::Icmp(0) => "icmp-net-unreachable",
        Reject::Icmp(1) => "icmp-host-unreachable",
        Reject::Icmp(2) => "icmp-proto-unreachable",
        Reject::Icmp(3) => "icmp-port-unreachable",
        Reject::Icmp(9) => "icmp-net-prohibited",
        Reject::Icmp(10) => "icmp-host-prohibited",
        Reject::Icmp(13) => "icmp-admin-prohibited",
        Reject::Icmp6(0) => "icmp6-no-route",
        Reject::Icmp6(1) => "icmp6-adm-prohibited",
        Reject::Icmp6(3) => "icmp6-addr-unreachable",
        Reject::Icmp6(4) => "icmp6-port-unreachable",
        Reject::Icmp6(5) => "icmp6-policy-fail",
        Reject::Icmp6(6) => "icmp6-reject-route",
        other => return format!("[{other:?}]"),
    };
    word.into()
}

/// What follows `reject` in nft's words: nothing for what it does by default in a table of this family.
pub(super) fn reject_of_nft(reject: Reject, family: u8, ipv6: bool) -> String {
    let named = |kind: &str, names: &[(u8, &str)], code: u8| {
        let name = names.iter().find(|(number, _)| *number == code);
        format!(" with {kind} {}", name.map_or_else(|| code.to_string(), |(_, name)| (*name).to_owned()))
    };
    const V4: &[(u8, &str)] = &[
        (0, "net-unreachable"),
        (1, "host-unreachable"),
        (2, "prot-unreachable"),
        (3, "port-unreachable"),
        (9, "net-prohibited"),
        (10, "host-prohibited"),
        (13, "admin-prohibited"),
    ];
    const V6: &[(u8, &str)] = &[
        (0, "no-route"),
        (1, "admin-prohibited"),
        (3, "addr-unreachable"),
        (4, "port-unreachable"),
        (5, "policy-fail"),
        (6, "reject-route"),
    ];
    const EITHER: &[(u8, &str)] =
        &[(0, "no-route"), (1, "port-unreachable"), (2, "host-unreachable"), (3, "admin-prohibited")];
    match reject {
        Reject::TcpReset => " with tcp reset".into(),
        Reject::Either(1) => String::new(),
        Reject::Icmp(3) if family == family::IPV4 => String::new(),
        Reject::Icmp6(4) if family == family::IPV6 => String::new(),
        Reject::Icmp(code) if ipv6 => named("icmpv6", V6, code),
        Reject::Icmp(code) => named("icmp", V4, code),
        Reject::Icmp6(code) => named("icmpv6", V6, code),
        Reject::Either(code) => named("icmpx", EITHER, code),
        Reject::Other(number) => format!(" [{number}]"),
    }
}

/// As `iptables` writes words of others: bare if nothing in them means something to a shell.
pub(super) fn quoted(text: &str) -> String {
    let bare = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    if !text.is_empty() && text.chars().all(bare) {
        return text.to_owned();
    }
    let escaped = text.chars().fold(String::new(), |mut text, character| {
        if "\"\\'".contains(character) {
            text.push('\\');
        }
        text.push(character);
        text
    });
    format!("\"{escaped}\"")
}
