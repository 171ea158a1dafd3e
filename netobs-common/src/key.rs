//! The keys of the kernel's tables. Addresses are 16 bytes in network order, IPv4 as `::ffff:a.b.c.d`
//! (RFC 4291, 2.5.5.2); ports, numbers and indexes in host order; padding is named and zero.

use crate::{
    endpoint::{EndpointId, Kind},
    hook::Hook,
    skip::Skip,
    tunnel::Encapsulation,
    wire::{Network, Proto, Protocol},
};

/// An address as the tables store it.
pub type Address = [u8; 16];

/// One flow as one hook of one interface sees it, one direction.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The sender.
    pub source: Address,
    /// The receiver.
    pub destination: Address,
    /// [`crate::interface::Interface::id`].
    pub interface: u32,
    /// Source port; the identifier of an ICMP echo; 0 where there are none.
    pub source_port: u16,
    /// Destination port; the identifier of an ICMP echo; type × 256 + code of other ICMP.
    pub destination_port: u16,
    /// Outer VLAN identifier, 0 for none.
    pub vlan: u16,
    /// Inner VLAN identifier (QinQ), 0 for none.
    pub inner_vlan: u16,
    /// IPv4, IPv6 or ARP.
    pub network: Network,
    /// The IP protocol number; 0 for ARP.
    pub proto: Proto,
    /// Where it was seen.
    pub hook: Hook,
    /// 1 for a later fragment whose datagram is not known: no ports.
    pub fragment: u8,
    /// The number of the network inside a tunnel (VNI, GRE key), 0 for none.
    pub network_number: u32,
    /// What it was seen inside of: then addresses, ports and protocol are those of the inner packet.
    pub encapsulation: Encapsulation,
    /// Zero.
    pub padding: [u8; 3],
}

const _: () = assert!(size_of::<FlowKey>() == 16 + 16 + 4 + 2 + 2 + 2 + 2 + 1 + 1 + 1 + 1 + 4 + 1 + 3);

/// What the exact counters distinguish.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathKey {
    /// [`crate::interface::Interface::id`].
    pub interface: u32,
    /// The sender.
    pub source: EndpointId,
    /// The receiver.
    pub destination: EndpointId,
    /// The sender's kind.
    pub source_kind: Kind,
    /// The receiver's kind.
    pub destination_kind: Kind,
    /// The protocol, by the closed set of the metrics.
    pub protocol: Protocol,
    /// Where it was seen.
    pub hook: Hook,
    /// Whether this host made the packet or forwards it.
    pub origin: Origin,
    /// 1 if it was seen inside another packet.
    pub encapsulated: u8,
    /// Zero.
    pub padding: [u8; 2],
}

const _: () = assert!(size_of::<PathKey>() == 3 * 4 + 6 + 2);

/// Where a packet at egress came from (`ingress_ifindex` of `__sk_buff`).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(pub u8);

impl Origin {
    /// Made on this host, or just encapsulated; every packet at ingress.
    pub const LOCAL: Self = Self(0);
    /// Received on another interface before.
    pub const FORWARDED: Self = Self(1);
}

/// An address within a segment: equal addresses on two bridges never merge.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressKey {
    /// The address.
    pub address: Address,
    /// [`crate::interface::Interface::segment`].
    pub segment: u32,
}

const _: () = assert!(size_of::<AddressKey>() == 16 + 4);

/// A prefix of the routed part of the host, as a longest-prefix-match trie stores its data.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrefixKey {
    /// The address, bits beyond the prefix zero.
    pub address: Address,
}

const _: () = assert!(size_of::<PrefixKey>() == 16);

/// A datagram whose later fragments carry no ports (RFC 791, RFC 8200).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// The sender.
    pub source: Address,
    /// The receiver.
    pub destination: Address,
    /// The identification, 16 bits in IPv4 and 32 in IPv6.
    pub identification: u32,
    /// [`crate::interface::Interface::id`]: each hook sees the fragments for itself.
    pub interface: u32,
    /// The IP protocol number.
    pub proto: Proto,
    /// Where it was seen.
    pub hook: Hook,
    /// Zero.
    pub padding: [u8; 2],
}

const _: () = assert!(size_of::<FragmentKey>() == 16 + 16 + 4 + 4 + 1 + 1 + 2);

/// What a datagram's first fragment carried, for the later ones.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Datagram {
    /// Its ports.
    pub ports: Ports,
    /// The sender of the packet inside it, if it was looked into.
    pub source: Address,
    /// The receiver of the packet inside.
    pub destination: Address,
    /// The ports of the packet inside.
    pub inner_ports: Ports,
    /// [`FlowKey::network_number`].
    pub network_number: u32,
    /// What it carries.
    pub encapsulation: Encapsulation,
    /// The network layer of the packet inside.
    pub network: Network,
    /// The transport of the packet inside.
    pub proto: Proto,
    /// [`FlowKey::fragment`] of the packet inside.
    pub fragment: u8,
}

const _: () = assert!(size_of::<Datagram>() == 4 + 16 + 16 + 4 + 4 + 4);

/// The ports a datagram's first fragment carried.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ports {
    /// [`FlowKey::source_port`].
    pub source: u16,
    /// [`FlowKey::destination_port`].
    pub destination: u16,
}

const _: () = assert!(size_of::<Ports>() == 2 + 2);

/// What was not counted, and why.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SkipKey {
    /// [`crate::interface::Interface::id`], or 0 where the interface is not known.
    pub interface: u32,
    /// Where it was seen.
    pub hook: Hook,
    /// Why.
    pub reason: Skip,
    /// Zero.
    pub padding: [u8; 2],
}

const _: () = assert!(size_of::<SkipKey>() == 4 + 1 + 1 + 2);
