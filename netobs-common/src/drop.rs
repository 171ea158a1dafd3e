//! Packets the kernel dropped: what their counts are keyed by, and where the kernel keeps what tells it.

use crate::{
    key::Address,
    wire::{Network, Proto},
};

/// The key of the `DROPS` map. Addresses and ports as in [`crate::key::FlowKey`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DropKey {
    /// The sender.
    pub source: Address,
    /// The receiver.
    pub destination: Address,
    /// The address in the kernel's code from which the packet was freed.
    pub location: u64,
    /// Inode of the network namespace it was dropped in.
    pub namespace: u32,
    /// Index, in that namespace, of the interface it was on (`skb->dev`); 0 for none.
    pub device: u32,
    /// Index of the interface it came in by (`skb->skb_iif`); 0 where it was made there.
    pub ingress: u32,
    /// The number of the reason: what it means stands in the running kernel's BTF (`enum skb_drop_reason`).
    pub reason: u32,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// IPv4 or IPv6.
    pub network: Network,
    /// IP protocol number.
    pub proto: Proto,
    /// 1 for a later fragment, which has no ports.
    pub fragment: u8,
    /// Zero.
    pub padding: u8,
}

const _: () = assert!(size_of::<DropKey>() == 16 + 16 + 8 + 4 * 4 + 2 + 2 + 1 + 1 + 1 + 1);

/// The value of the `DROPS` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounters {
    /// What was dropped.
    pub dropped: Dropped,
    /// Nanoseconds of the monotonic clock at the first one.
    pub first_seen: u64,
    /// Nanoseconds of the monotonic clock at the latest one.
    pub last_seen: u64,
    /// 1 once one of them was a SYN without ACK.
    pub syn: u8,
    /// Zero.
    pub padding: [u8; 7],
}

const _: () = assert!(size_of::<DropCounters>() == 16 + 8 + 8 + 1 + 7);

/// Dropped packets as a firewall rule counts them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Socket buffers.
    pub packets: u64,
    /// From their network headers on.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Dropped>() == 8 + 8);

impl Dropped {
    /// Nothing.
    pub const ZERO: Self = Self { packets: 0, bytes: 0 };

    /// Adds another count.
    pub const fn add(&mut self, more: Self) {
        self.packets = self.packets.wrapping_add(more.packets);
        self.bytes = self.bytes.wrapping_add(more.bytes);
    }

    /// What came on top of an earlier reading of the same count.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            packets: self.packets.wrapping_sub(earlier.packets),
            bytes: self.bytes.wrapping_sub(earlier.bytes),
        }
    }
}

/// The key of the `DROP_REST` map: what is known of packets that `DROPS` has no room for, or whose headers could not
/// be read.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DropRestKey {
    /// As in [`DropKey`].
    pub namespace: u32,
    /// As in [`DropKey`].
    pub device: u32,
    /// As in [`DropKey`].
    pub ingress: u32,
    /// As in [`DropKey`].
    pub reason: u32,
}

const _: () = assert!(size_of::<DropRestKey>() == 4 * 4);

/// Where the kernel keeps what tells of a dropped packet, in bytes from the start of each structure: read from the
/// kernel's own description (BTF) when the program is loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropLayout {
    /// Bytes of `sk_buff` that hold all of its members below.
    pub size: u32,
    /// `sk_buff.dev`.
    pub device: u32,
    /// `sk_buff.sk`.
    pub socket: u32,
    /// `sk_buff.len`.
    pub length: u32,
    /// `sk_buff.data_len`: the part of the length that is in pages.
    pub paged: u32,
    /// `sk_buff.skb_iif`.
    pub ingress: u32,
    /// `sk_buff.protocol`.
    pub protocol: u32,
    /// `sk_buff.network_header`.
    pub network_header: u32,
    /// `sk_buff.head`.
    pub head: u32,
    /// `sk_buff.data`.
    pub data: u32,
    /// `net_device.ifindex`.
    pub device_index: u32,
    /// `net_device.nd_net.net`.
    pub device_network: u32,
    /// `sock.__sk_common.skc_net.net`.
    pub socket_network: u32,
    /// `net.ns.inum`.
    pub inode: u32,
    /// 1 if the tracepoint says which socket was to receive the packet (Linux 6.11 and later).
    pub tells_receiver: u32,
}

const _: () = assert!(size_of::<DropLayout>() == 15 * 4);

/// A function of the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Where it begins.
    pub start: u64,
    /// Where the next one begins; an address to return to may be that.
    pub end: u64,
}

const _: () = assert!(size_of::<Place>() == 8 + 8);

impl Place {
    /// Whether something was called from there that returns to this address.
    #[must_use]
    pub const fn calls(&self, location: u64) -> bool {
        self.start < location && location <= self.end
    }
}

/// How many bytes of `sk_buff` are looked at, at most.
pub const BUFFER: u32 = 256;
