//! Conditions of iptables as nftables keeps them → plain values. Pure.
//!
//! The layouts are part of the kernel's interface: include/uapi/linux/netfilter/xt_*.h and
//! include/uapi/linux/netfilter_ipv4/ip_tables.h (`struct ipt_icmp`), Linux 6.18. Numbers are in the host's order.

use std::net::IpAddr;

use super::super::attributes::{number, of_kind, text};
use crate::host::facts::firewall::{
    AddressTypes, Addresses, Connection, Interface, Match, Physdev, Ports, TcpFlags, family,
};

/// The words of `-m comment`.
pub(super) fn comment(data: &[u8]) -> Option<String> {
    of_kind(data, 1).map(text).filter(|name| name == "comment")?;
    of_kind(data, 3).map(text)
}

/// `None` where not even the name can be read.
pub(super) fn condition(family: u8, data: &[u8]) -> Option<Match> {
    let name = of_kind(data, 1).map(text)?;
    let revision = number(data, 2).unwrap_or_default();
    let info = Info(of_kind(data, 3).unwrap_or_default());
    let found = match (name.as_str(), revision) {
        ("tcp", 0) => tcp(info),
        ("udp", 0) => udp(info),
        ("icmp" | "icmp6", 0) => icmp(info, name == "icmp6"),
        ("multiport", 1) => multiport(info),
        ("conntrack", 1..=3) => conntrack(info, revision),
        ("state", 0) => state(info),
        ("comment", _) => Some(Match::Comment),
        ("mark", 1) => mark(info).map(|(value, mask, inverted)| Match::Mark { value, mask, inverted }),
        ("connmark", 1) => {
            mark(info).map(|(value, mask, inverted)| Match::ConnectionMark { value, mask, inverted })
        }
        ("addrtype", 0 | 1) => address_types(info, revision),
        ("physdev", 0) => physdev(info),
        ("set", 1..=4) => set(info),
        ("statistic", 0) => statistic(info),
        ("iprange", 1) => address_range(info, family),
        ("limit", 0) => {
            info.word(0).zip(info.word(4)).map(|(average, burst)| Match::Limit { average, burst })
        }
        _ => None,
    };
    Some(found.unwrap_or(Match::Other { name, revision }))
}

/// The bytes of a structure.
#[derive(Clone, Copy)]
pub(super) struct Info<'a>(pub(super) &'a [u8]);

impl Info<'_> {
    pub(super) fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    pub(super) fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(super) fn short(self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_ne_bytes)
    }

    pub(super) fn word(self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_ne_bytes)
    }

    /// `union nf_inet_addr`.
    pub(super) fn address(self, at: usize, family: u8) -> Option<IpAddr> {
        if family == family::IPV6 {
            self.bytes::<16>(at).map(IpAddr::from)
        } else {
            self.bytes::<4>(at).map(IpAddr::from)
        }
    }

    fn ports(self, at: usize, inverted: bool) -> Option<Ports> {
        Some(Ports { first: self.short(at)?, last: self.short(at + 2)?, inverted })
    }
}

fn tcp(info: Info<'_>) -> Option<Match> {
    let inverted = info.byte(11)?;
    let (option, mask, set) = (info.byte(8)?, info.byte(9)?, info.byte(10)?);
    let flags = (mask != 0).then_some(TcpFlags { mask, set, inverted: inverted & 4 != 0 });
    Some(Match::Tcp {
        source: info.ports(0, inverted & 1 != 0)?,
        destination: info.ports(4, inverted & 2 != 0)?,
        flags,
        option: (option != 0).then_some((option, inverted & 8 == 0)),
    })
}

fn udp(info: Info<'_>) -> Option<Match> {
    let inverted = info.byte(8)?;
    Some(Match::Udp {
        source: info.ports(0, inverted & 1 != 0)?,
        destination: info.ports(4, inverted & 2 != 0)?,
    })
}

fn icmp(info: Info<'_>, ipv6: bool) -> Option<Match> {
    let inverted = info.byte(3)? & 1 != 0;
    Some(Match::Icmp { ipv6, kind: info.byte(0)?, codes: (info.byte(1)?, info.byte(2)?), inverted })
}

fn multiport(info: Info<'_>) -> Option<Match> {
    /// `XT_MULTI_PORTS`.
    const MOST: usize = 15;
    let (side, count) = (info.byte(0)?, usize::from(info.byte(1)?));
    let mut ports = Vec::new();
    let mut at = 0;
    while at < count.min(MOST) {
        let first = info.short(2 + 2 * at)?;
        // A port so marked begins a range, and the next one ends it.
        if info.byte(32 + at)? != 0 && at + 1 < count {
            ports.push((first, info.short(2 + 2 * (at + 1))?));
            at += 2;
        } else {
            ports.push((first, first));
            at += 1;
        }
    }
    let inverted = info.byte(47)? != 0;
    let (source, destination) = match side {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return None,
    };
    Some(Match::Multiport { source, destination, ports, inverted })
}

fn conntrack(info: Info<'_>, revision: u32) -> Option<Match> {
    const STATE: u16 = 1;
    const STATUS: u16 = 1 << 6;
    const DIRECTION: u16 = 1 << 12;
    const IS_STATE: u16 = 1 << 13;
    let (looked_at, inverted) = (info.short(146)?, info.short(148)?);
    let (states, status) = if revision == 1 {
        (u16::from(info.byte(150)?), u16::from(info.byte(151)?))
    } else {
        (info.short(150)?, info.short(152)?)
    };
    let of = |flag, mask| (looked_at & flag != 0).then_some((mask, inverted & flag != 0));
    Some(Match::Connection(Connection {
        states: of(STATE, states),
        status: of(STATUS, status),
        original: (looked_at & DIRECTION != 0).then_some(inverted & DIRECTION == 0),
        more: looked_at & !(STATE | STATUS | DIRECTION | IS_STATE) != 0,
        is_state: looked_at & IS_STATE != 0,
    }))
}

fn state(info: Info<'_>) -> Option<Match> {
    let states = u16::try_from(info.word(0)?).ok()?;
    // Here the bit of untracked packets stands right behind the kernel's five states, there behind SNAT and DNAT.
    let untracked = if states & 1 << 6 != 0 { 1 << 8 } else { 0 };
    let states = (states & 0x3f) | untracked;
    Some(Match::Connection(Connection {
        states: Some((states, false)),
        is_state: true,
        ..Connection::default()
    }))
}

fn mark(info: Info<'_>) -> Option<(u32, u32, bool)> {
    Some((info.word(0)?, info.word(4)?, info.byte(8)? != 0))
}

fn address_types(info: Info<'_>, revision: u32) -> Option<Match> {
    let (source, destination) = (info.short(0)?, info.short(2)?);
    let (not_source, not_destination, of_interface) = if revision == 0 {
        (info.word(4)? != 0, info.word(8)? != 0, None)
    } else {
        let flags = info.word(4)?;
        let of_interface = match flags & 12 {
            4 => Some(true),
            8 => Some(false),
            _ => None,
        };
        (flags & 1 != 0, flags & 2 != 0, of_interface)
    };
    Some(Match::AddressTypes(AddressTypes {
        source: (source, not_source),
        destination: (destination, not_destination),
        of_interface,
    }))
}

fn physdev(info: Info<'_>) -> Option<Match> {
    const IN: u8 = 1;
    const OUT: u8 = 2;
    const BRIDGED: u8 = 4;
    const IS_IN: u8 = 8;
    const IS_OUT: u8 = 16;
    let (inverted, looked_at) = (info.byte(64)?, info.byte(65)?);
    let named = |flag: u8, at| {
        if looked_at & flag == 0 {
            return Some(None);
        }
        let mask = info.bytes::<16>(at + 16)?;
        let mut name = text(&info.bytes::<16>(at)?);
        // The mask covers the closing zero of a whole name; of a beginning, neither that nor the `+` behind it.
        let covered = mask.iter().take_while(|byte| **byte != 0).count();
        let prefix = covered <= name.len();
        if prefix && name.is_char_boundary(covered) {
            name.truncate(covered);
        }
        Some(Some(Interface { name, prefix, inverted: inverted & flag != 0 }))
    };
    let is = |flag: u8| (looked_at & flag != 0).then_some(inverted & flag == 0);
    Some(Match::Physdev(Physdev {
        incoming: named(IN, 0)?,
        outgoing: named(OUT, 32)?,
        bridged: is(BRIDGED),
        is_in: is(IS_IN),
        is_out: is(IS_OUT),
    }))
}

/// `struct xt_set_info`, with which all revisions after 0 begin.
fn set(info: Info<'_>) -> Option<Match> {
    /// `IPSET_DIM_MAX`.
    const MOST: u8 = 6;
    const ABSENT: u8 = 1;
    let (index, dimensions, flags) = (info.short(0)?, info.byte(2)?.min(MOST), info.byte(3)?);
    // IPSET_DIM_ONE_SRC is bit 1.
    let sources = (1..=dimensions).map(|one| flags & 1 << one != 0).collect();
    Some(Match::Set { index, sources, absent: flags & ABSENT != 0 })
}

fn statistic(info: Info<'_>) -> Option<Match> {
    let inverted = info.short(2)? & 1 != 0;
    match info.short(0)? {
        0 => Some(Match::Random { of_two_to_31: info.word(4)?, inverted }),
        // The kernel keeps `every - 1`.
        1 => Some(Match::Nth { every: info.word(4)?.saturating_add(1), packet: info.word(8)?, inverted }),
        _ => None,
    }
}

fn address_range(info: Info<'_>, family: u8) -> Option<Match> {
    let flags = info.byte(64)?;
    let range = |flag: u8, at| {
        let (first, last) = (info.address(at, family)?, info.address(at + 16, family)?);
        Some((flags & flag != 0).then_some(Addresses { first, last, inverted: flags & flag << 4 != 0 }))
    };
    Some(Match::AddressRange { source: range(1, 0)?, destination: range(2, 32)? })
}
