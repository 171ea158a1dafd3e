//! The numbers behind the keys. 64 bits each: at 400 Gbit/s bytes wrap after eleven years.

use crate::{endpoint::Party, progress::TcpProgress, tunnel::Outer};

/// Packets as socket buffers, segments as a cable would carry them, bytes as the sum of `skb->len`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Socket buffers.
    pub packets: u64,
    /// Segments on a cable ([`crate::segments`]).
    pub segments: u64,
    /// Sum of `skb->len`: Ethernet bytes where the interface has an Ethernet header.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counters>() == 3 * 8);

impl Counters {
    /// Nothing counted.
    pub const ZERO: Self = Self { packets: 0, segments: 0, bytes: 0 };

    /// What one socket buffer adds.
    #[must_use]
    pub const fn one(segments: u32, bytes: u32) -> Self {
        Self { packets: 1, segments: segments as u64, bytes: bytes as u64 }
    }

    /// Adds another count.
    pub const fn add(&mut self, more: Self) {
        self.packets = self.packets.wrapping_add(more.packets);
        self.segments = self.segments.wrapping_add(more.segments);
        self.bytes = self.bytes.wrapping_add(more.bytes);
    }

    /// What came on top of an earlier reading of the same counter.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            packets: self.packets.wrapping_sub(earlier.packets),
            segments: self.segments.wrapping_sub(earlier.segments),
            bytes: self.bytes.wrapping_sub(earlier.bytes),
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.packets == 0 && self.segments == 0 && self.bytes == 0
    }
}

/// The value of the flow table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// What was counted.
    pub counters: Counters,
    /// Nanoseconds of the monotonic clock at the first packet.
    pub first_seen: u64,
    /// Nanoseconds of the monotonic clock at the latest packet.
    pub last_seen: u64,
    /// The cookie of the local socket that sent the first packet (egress), 0 for none.
    pub socket: u64,
    /// The sender, as classified at the first packet.
    pub source: Party,
    /// The receiver, as classified at the first packet.
    pub destination: Party,
    /// `ingress_ifindex` of the first packet: at egress 0 for packets made on this host.
    pub ingress_ifindex: u32,
    /// The sender's hardware address, from the first packet.
    pub source_mac: [u8; 6],
    /// SYNs without ACK: 255 stands for so many and more.
    pub syn: u8,
    /// 1 once a SYN with ACK was seen.
    pub syn_ack: u8,
    /// 1 once a FIN was seen.
    pub fin: u8,
    /// 1 once a RST was seen.
    pub rst: u8,
    /// 1 once a fragment was seen.
    pub fragmented: u8,
    /// TTL or hop limit of the first packet.
    pub hop_limit: u8,
    /// The packet around it, where it was seen inside another one; of the first packet.
    pub outer: Outer,
    /// TTL or hop limit of the first RST.
    pub rst_hop_limit: u8,
    /// Zero.
    pub padding: u8,
    /// ARP requests and neighbour solicitations, modulo 65,536.
    pub asks: u16,
    /// What TCP headers tell.
    pub tcp: TcpProgress,
}

const _: () = assert!(size_of::<FlowCounters>() == 24 + 3 * 8 + 2 * 8 + 4 + 6 + 6 + 36 + 4 + 80);

/// The value of the exact per-path counters.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounters {
    /// Everything counted under the key.
    pub all: Counters,
    /// The part of it that no flow entry holds, because the flow table was full.
    pub unlisted: Counters,
}

const _: () = assert!(size_of::<PathCounters>() == 48);
