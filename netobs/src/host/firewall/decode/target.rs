//! Targets of iptables as nftables keeps them → plain values. Pure.
//!
//! Layouts: include/uapi/linux/netfilter/xt_MARK.h, xt_connmark.h, xt_LOG.h, nf_nat.h, and
//! netfilter_ipv4/ipt_REJECT.h, netfilter_ipv6/ip6t_REJECT.h, Linux 6.18.

use std::net::IpAddr;

use super::{
    super::attributes::{number, of_kind, text},
    compat::Info,
};
use crate::host::facts::firewall::{NatRange, Range, Reject, Step, Target, Verdict, family};

/// `None` where not even the name can be read.
pub(super) fn target(family: u8, data: &[u8]) -> Option<Step> {
    let name = of_kind(data, 1).map(text)?;
    let revision = number(data, 2).unwrap_or_default();
    let info = Info(of_kind(data, 3).unwrap_or_default());
    let found = match (name.as_str(), revision) {
        ("ACCEPT", _) => return Some(Step::Verdict(Verdict::Accept)),
        ("DROP", _) => return Some(Step::Verdict(Verdict::Drop)),
        ("REJECT", 0) => info.word(0).map(|with| Target::Reject(reject(family, with))),
        ("MARK", 2) => info.word(0).zip(info.word(4)).map(|(value, mask)| Target::Mark { value, mask }),
        ("CONNMARK", 1 | 2) => connection_mark(info, revision),
        ("LOG", 0) => log(info),
        ("DNAT", 0..=2) => nat_range(info, family, revision).map(Target::Dnat),
        ("SNAT", 0..=2) => nat_range(info, family, revision).map(Target::Snat),
        ("MASQUERADE", 0) => nat_range(info, family, revision).map(Target::Masquerade),
        ("REDIRECT", 0) => nat_range(info, family, revision).map(Target::Redirect),
        ("NETMAP", 0) => nat_range(info, family, revision).map(Target::Netmap),
        _ => None,
    };
    Some(Step::Target(found.unwrap_or(Target::Other { name, revision })))
}

fn reject(family: u8, with: u32) -> Reject {
    if family == family::IPV6 {
        // enum ip6t_reject_with; what comes after "echo reply" is one less as a code.
        return match with {
            0..=4 => Reject::Icmp6(u8::try_from(with).unwrap_or_default()),
            6 => Reject::TcpReset,
            7 => Reject::Icmp6(5),
            8 => Reject::Icmp6(6),
            other => Reject::Other(other),
        };
    }
    match with {
        0..=3 => Reject::Icmp(u8::try_from(with).unwrap_or_default()),
        5 => Reject::Icmp(9),
        6 => Reject::Icmp(10),
        7 => Reject::TcpReset,
        8 => Reject::Icmp(13),
        other => Reject::Other(other),
    }
}

fn connection_mark(info: Info<'_>, revision: u32) -> Option<Target> {
    let (value, mask, packet_mask) = (info.word(0)?, info.word(4)?, info.word(8)?);
    let (mode, shifted) = match revision {
        1 => (info.byte(12)?, false),
        _ => (info.byte(14)?, info.byte(13)? != 0),
    };
    Some(Target::ConnectionMark { mode, value, mask, packet_mask, shifted })
}

fn log(info: Info<'_>) -> Option<Target> {
    Some(Target::Log { level: info.byte(0)?, prefix: text(&info.bytes::<30>(2)?) })
}

/// For IPv4 and revision 0 `struct nf_nat_ipv4_multi_range_compat`, else `struct nf_nat_range`, with which
/// `struct nf_nat_range2` begins.
fn nat_range(info: Info<'_>, family: u8, revision: u32) -> Option<NatRange> {
    /// `NF_NAT_RANGE_MAP_IPS`, `NF_NAT_RANGE_PROTO_SPECIFIED`.
    const ADDRESSES: u32 = 1;
    const PORTS: u32 = 2;
    let old = family != family::IPV6 && revision == 0;
    let (flags_at, first_at, last_at, ports_at) = if old { (4, 8, 12, 16) } else { (0, 4, 20, 36) };
    let flags = info.word(flags_at)?;
    let port = |at| info.bytes(at).map(u16::from_be_bytes);
    let addresses: Range<IpAddr> =
        Range { first: info.address(first_at, family)?, last: info.address(last_at, family)? };
    let ports = Range { first: port(ports_at)?, last: port(ports_at + 2)? };
    Some(NatRange {
        addresses: (flags & ADDRESSES != 0).then_some(addresses),
        ports: (flags & PORTS != 0).then_some(ports),
        flags,
    })
}
