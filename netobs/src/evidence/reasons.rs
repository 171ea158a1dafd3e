//! Why the kernel dropped a packet → what that means for who sent it. Pure: the names come from the running kernel's
//! BTF (`enum skb_drop_reason`), so a kernel that numbers them otherwise, or has more of them, is understood.

use std::{collections::HashMap, sync::Arc};

use crate::report::{DROP_REASONS, OTHER_REASON};

/// What a reason means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing that anybody waits for was lost.
    Benign,
    /// The host answers that nobody is there: RST, or an ICMP error.
    Answered,
    /// The host does not know how to reach the receiver.
    Unreachable,
    /// The packet is gone.
    Dropped,
}

/// Reasons that are no drop of a packet, and why.
const BENIGN: &[&str] = &[
    // Not freed for a reason at all.
    "not_dropped_yet",
    "consumed",
    // The socket is being closed, and its queue with it.
    "socket_close",
    "queue_purge",
    "tcp_close",
    "tcp_abort_on_data",
    "unix_disconnect",
    "unix_skip_oob",
    // What it carries has arrived before.
    "tcp_ofomerge",
    "tcp_old_data",
    "tcp_old_sequence",
    "tcp_old_ack",
    "tcp_rfc7323_paws_ack",
    "dup_frag",
    // It was taken in otherwise.
    "tcp_fastopen",
    // A bridge flooded it, or the interface shows others' packets too: it is not for this host.
    "otherhost",
    "ipv6_ndisc_ns_otherhost",
    // A sniffer's copy.
    "packet_sock_error",
];
/// The kernel's word where it gives none: a drop like any other, but in [`TAKERS`].
const NOT_SPECIFIED: &str = "not_specified";
/// Functions that free so what they have taken in or are not asked to, and lose nothing (Linux 6.18): segments that end
/// a connection or come to one that has ended (`tcp_rcv_state_process`, net/ipv4/tcp_input.c; `tcp_v4_rcv` and
/// `tcp_v6_rcv`, "discard_it", net/ipv4/tcp_ipv4.c), and packets to a group that nobody here has joined
/// (`ip6_mc_input`, net/ipv6/ip6_input.c).
pub const TAKERS: [&str; 4] = ["tcp_rcv_state_process", "tcp_v4_rcv", "tcp_v6_rcv", "ip6_mc_input"];
const ANSWERED: &[&str] = &["no_socket", "ip_noproto"];
const UNREACHABLE: &[&str] = &[
    "ip_outnoroutes",
    "ip_innoroutes",
    "neigh_createfail",
    "neigh_failed",
    "neigh_dead",
    "neigh_hh_fillfail",
];

/// Whether packets freed for that reason are no drops.
#[must_use]
pub fn is_benign(name: &str) -> bool {
    class(name) == Class::Benign
}

/// Whether packets freed for that reason are no drops where one of [`TAKERS`] does so.
#[must_use]
pub fn is_benign_in_takers(name: &str) -> bool {
    name == NOT_SPECIFIED
}

/// What a reason means by its name.
#[must_use]
pub fn class(name: &str) -> Class {
    match name {
        _ if BENIGN.contains(&name) => Class::Benign,
        _ if ANSWERED.contains(&name) => Class::Answered,
        _ if UNREACHABLE.contains(&name) => Class::Unreachable,
        _ => Class::Dropped,
    }
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// As the kernel has it, in lower case and without its prefix.
    pub name: Arc<str>,
    /// Its name in the metrics.
    pub label: &'static str,
    /// What it means.
    pub class: Class,
}

/// The running kernel's reasons by number.
#[derive(Clone, Debug)]
pub struct Reasons {
    by_number: HashMap<u32, Reason>,
    unknown: Reason,
}

impl Default for Reasons {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Reasons {
    /// From names and numbers.
    #[must_use]
    pub fn of(named: &[(String, u32)]) -> Self {
        let reason = |name: &str| Reason {
            name: name.into(),
            label: DROP_REASONS.into_iter().find(|one| *one == name).unwrap_or(OTHER_REASON),
            class: class(name),
        };
        let by_number = named.iter().map(|(name, number)| (*number, reason(name))).collect();
        Self { by_number, unknown: reason(OTHER_REASON) }
    }

    /// The reason of a number; `other` for one that a module has brought along (its own numbers begin at 65,536).
    #[must_use]
    pub fn get(&self, number: u32) -> &Reason {
        self.by_number.get(&number).unwrap_or(&self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_understood_by_its_name_whatever_its_number() {
        let named = |shift: u32| {
            Reasons::of(&[("netfilter_drop".to_owned(), 12 + shift), ("no_socket".to_owned(), 3 + shift)])
        };
        for shift in [0, 31] {
            let reasons = named(shift);
            assert_eq!(reasons.get(12 + shift).label, "netfilter_drop");
            assert_eq!(reasons.get(12 + shift).class, Class::Dropped);
            assert_eq!(reasons.get(3 + shift).class, Class::Answered);
        }
        assert_eq!(named(31).get(12).label, OTHER_REASON, "another kernel's number means nothing");
    }

    #[test]
    fn the_metrics_tell_thirty_apart_and_the_listing_all() {
        let reasons = Reasons::of(&[("tcp_zerowindow".to_owned(), 32)]);
        assert_eq!((&*reasons.get(32).name, reasons.get(32).label), ("tcp_zerowindow", OTHER_REASON));
        assert!(DROP_REASONS.is_sorted() && !DROP_REASONS.contains(&OTHER_REASON));
    }

    #[test]
    fn a_closing_socket_is_no_drop() {
        for name in ["queue_purge", "socket_close", "consumed", "otherhost"] {
            assert!(is_benign(name), "{name}");
        }
        assert!(is_benign_in_takers("not_specified") && !is_benign("not_specified"), "elsewhere it is one");
        for name in ["netfilter_drop", "ip_rpfilter", "no_socket", "neigh_failed", "a_reason_of_tomorrow"] {
            assert!(!is_benign(name), "{name}");
        }
    }

    #[test]
    fn no_route_and_no_neighbour_are_unreachable() {
        assert_eq!(class("ip_innoroutes"), Class::Unreachable);
        assert_eq!(class("neigh_failed"), Class::Unreachable);
        assert_eq!(class("ip_inaddrerrors"), Class::Dropped, "forwarding is off");
        assert_eq!(class("neigh_queuefull"), Class::Dropped, "the neighbour may answer yet");
    }
}
