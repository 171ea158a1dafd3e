//! Who opens or accepts a connection, as both sides of the kernel boundary number it.

/// An endpoint's number, given by the collector and never reused while it runs.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

impl EndpointId {
    /// Not known at the time the packet was seen.
    pub const UNKNOWN: Self = Self(0);
    /// The network stack of the agent's own namespace.
    pub const HOST: Self = Self(1);
    /// Anything beyond the uplink that is no known endpoint.
    pub const EXTERNAL: Self = Self(2);
    /// The destination of broadcast and multicast: nobody in particular.
    pub const GROUP: Self = Self(3);
    /// The first number the collector gives away.
    pub const FIRST_FREE: u32 = 16;
    /// The first number of those that are not on this host: other nodes, what runs on them, networks with a name.
    pub const FIRST_ELSEWHERE: u32 = 1 << 31;

    /// Whether somebody known is not on this host.
    #[must_use]
    pub const fn is_elsewhere(self) -> bool {
        self.0 >= Self::FIRST_ELSEWHERE
    }
}

/// What an endpoint is. A number from the kernel: any byte is valid, unknown ones mean [`Kind::UNKNOWN`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(pub u8);

impl Kind {
    /// Nothing is known about it.
    pub const UNKNOWN: Self = Self(0);
    /// The host itself, or another node of the cluster.
    pub const HOST: Self = Self(1);
    /// A guest behind a tap.
    pub const VM: Self = Self(2);
    /// A container's network stack.
    pub const CONTAINER: Self = Self(3);
    /// A pod's network stack.
    pub const POD: Self = Self(4);
    /// Beyond the uplink.
    pub const EXTERNAL: Self = Self(5);
    /// How many kinds there are, for tables indexed by kind.
    pub const COUNT: u32 = 6;

    /// The name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HOST => "host",
            Self::VM => "vm",
            Self::CONTAINER => "container",
            Self::POD => "pod",
            Self::EXTERNAL => "external",
            _ => "unknown",
        }
    }
}

/// One side of a packet, as classified in the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Its number.
    pub id: EndpointId,
    /// Its kind at the time of the sighting.
    pub kind: Kind,
    /// 1 if an interface of this host belongs to it alone (veth, tap): its packets are counted there.
    pub own_interface: u8,
    /// Zero.
    pub padding: [u8; 2],
}

const _: () = assert!(size_of::<Party>() == 4 + 1 + 1 + 2);

impl Party {
    /// The agent's own stack.
    pub const HOST: Self = Self::new(EndpointId::HOST, Kind::HOST, false);
    /// Beyond the uplink.
    pub const EXTERNAL: Self = Self::new(EndpointId::EXTERNAL, Kind::EXTERNAL, false);
    /// The destination of broadcast and multicast.
    pub const GROUP: Self = Self::new(EndpointId::GROUP, Kind::UNKNOWN, false);
    /// Nobody known.
    pub const UNKNOWN: Self = Self::new(EndpointId::UNKNOWN, Kind::UNKNOWN, false);

    /// A party from its parts.
    #[must_use]
    pub const fn new(id: EndpointId, kind: Kind, own_interface: bool) -> Self {
        Self { id, kind, own_interface: own_interface as u8, padding: [0; 2] }
    }

    /// Whether an interface of this host belongs to it alone.
    #[must_use]
    pub const fn has_own_interface(self) -> bool {
        self.own_interface != 0
    }
}
