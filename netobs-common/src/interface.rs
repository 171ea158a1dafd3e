//! What the classifier must know of the interface it runs on.

use crate::{
    endpoint::{EndpointId, Kind, Party},
    tunnel::Tunnels,
};

/// What an interface is for. Any byte is valid; unknown ones mean [`Role::OTHER`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(pub u8);

impl Role {
    /// None of the others.
    pub const OTHER: Self = Self(0);
    /// The host's end of a pair whose other end is an endpoint's.
    pub const VETH: Self = Self(1);
    /// A virtual machine's network card, or a tunnel into a user process.
    pub const TAP: Self = Self(2);
    /// A bridge's own device.
    pub const BRIDGE: Self = Self(3);
    /// A device that encapsulates: VXLAN, Geneve, GRE, IPIP, WireGuard.
    pub const OVERLAY: Self = Self(4);
    /// A macvlan or ipvlan device.
    pub const MACVLAN: Self = Self(5);
    /// The way out: the device of the default route, or the configured one.
    pub const UPLINK: Self = Self(6);
    /// The host's `lo`.
    pub const LOOPBACK: Self = Self(7);

    /// The name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VETH => "veth",
            Self::TAP => "tap",
            Self::BRIDGE => "bridge",
            Self::OVERLAY => "overlay",
            Self::MACVLAN => "macvlan",
            Self::UPLINK => "uplink",
            Self::LOOPBACK => "loopback",
            _ => "other",
        }
    }
}

/// What precedes the network header on an interface.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkLayer(pub u8);

impl LinkLayer {
    /// A 14-byte Ethernet header (`ARPHRD_ETHER`, `ARPHRD_LOOPBACK`).
    pub const ETHERNET: Self = Self(0);
    /// Nothing: the packet starts with its IP header (`ARPHRD_NONE`: tun, WireGuard; `ARPHRD_TUNNEL`: IPIP).
    pub const NONE: Self = Self(1);
}

/// The value of the `INTERFACES` map; the key is the interface index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The collector's number for this interface, new for every interface that appears: the kernel's
    /// index is reused, this is not, so a late counter never falls to another interface.
    pub id: u32,
    /// The endpoint all of whose packets pass here, or [`EndpointId::UNKNOWN`] where there is none.
    pub owner: EndpointId,
    /// The bridge (its interface number) this is a port of, or itself if a bridge; 0: the routed part of the host.
    pub segment: u32,
    /// What it is for.
    pub role: Role,
    /// What its packets start with.
    pub link_layer: LinkLayer,
    /// 1 if it is a port of a bridge.
    pub port: u8,
    /// The owner's kind, if known.
    pub owner_kind: Kind,
    /// What is looked into here.
    pub tunnels: Tunnels,
    /// 1 if it is the owner's own, inside its network stack: then what leaves is sent by the owner.
    pub inside: u8,
    /// Zero.
    pub padding: [u8; 3],
}

const _: () = assert!(size_of::<Interface>() == 4 + 4 + 4 + 1 + 1 + 1 + 1 + 12 + 1 + 3);

impl Interface {
    /// The endpoint behind the interface, if one owns it.
    #[must_use]
    pub const fn owner(&self) -> Option<Party> {
        match self.owner {
            EndpointId::UNKNOWN => None,
            id => Some(Party::new(id, self.owner_kind, true)),
        }
    }
}
