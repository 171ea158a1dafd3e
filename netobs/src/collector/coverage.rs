//! What netobs saw of an interface beside what the interface counted itself.

use netobs_common::counters::Counters;

use crate::host::facts::{LinkCounters, LinkKind};

const ETHERNET: u64 = 14;

/// An interface's own counters in the bytes a tc program sees: received, sent. Segments are not known.
///
/// A bridge's receive counter, and both of a VXLAN device and of `lo`, leave out the Ethernet header
/// (measured on Linux 6.18, docs/counting.md). That is the device's doing, whatever it is for: a bridge that is
/// the uplink counts as a bridge.
#[must_use]
pub fn in_our_bytes(kind: &LinkKind, counters: LinkCounters) -> [Counters; 2] {
    let (receive, send) = match kind {
        LinkKind::Bridge => (ETHERNET, 0),
        LinkKind::Vxlan(_) | LinkKind::Loopback => (ETHERNET, ETHERNET),
        _ => (0, 0),
    };
    let count = |packets: u64, bytes: u64, header: u64| Counters {
        packets,
        segments: 0,
        bytes: bytes + packets * header,
    };
    [
        count(counters.rx_packets, counters.rx_bytes, receive),
        count(counters.tx_packets, counters.tx_bytes, send),
    ]
}

/// Both counts at the first tick after attaching: what was before is nobody's miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// What netobs had seen.
    pub seen: [Counters; 2],
    /// What the interface had counted.
    pub counted: [Counters; 2],
}

/// Both counts since the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// What netobs saw, by hook.
    pub seen: [Counters; 2],
    /// What the interface counted.
    pub counted: [Counters; 2],
}

impl Coverage {
    /// Since the baseline.
    #[must_use]
    pub fn since(baseline: &Baseline, seen: [Counters; 2], counted: [Counters; 2]) -> Self {
        let since = |now: [Counters; 2], then: [Counters; 2]| [now[0].since(then[0]), now[1].since(then[1])];
        Self { seen: since(seen, baseline.seen), counted: since(counted, baseline.counted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::Vxlan;

    #[test]
    fn headers_a_device_leaves_out_are_added() {
        let counters = LinkCounters {
            rx_packets: 10,
            rx_bytes: 1_000,
            tx_packets: 5,
            tx_bytes: 500,
            ..Default::default()
        };
        let bytes = |kind: LinkKind| in_our_bytes(&kind, counters).map(|one| one.bytes);
        assert_eq!(bytes(LinkKind::Veth), [1_000, 500]);
        assert_eq!(bytes(LinkKind::Tun { tap: false }), [1_000, 500]);
        assert_eq!(bytes(LinkKind::Bridge), [1_140, 500]);
        assert_eq!(bytes(LinkKind::Vxlan(Vxlan::default())), [1_140, 570]);
        assert_eq!(bytes(LinkKind::Loopback), [1_140, 570]);
    }
}
