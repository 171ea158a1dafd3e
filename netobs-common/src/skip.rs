//! Why a packet has no flow. Each reason is counted with its bytes: nothing is passed over in silence.

/// A reason. Any byte is valid; unknown ones mean [`Skip::NONE`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Skip(pub u8);

impl Skip {
    /// Not skipped.
    pub const NONE: Self = Self(0);
    /// Shorter than the headers it announces.
    pub const TRUNCATED: Self = Self(1);
    /// A header contradicts itself: version, header length, total length.
    pub const MALFORMED: Self = Self(2);
    /// Neither IP nor ARP: spanning tree, LLDP, and their like.
    pub const NOT_IP: Self = Self(3);
    /// More VLAN tags than two.
    pub const TOO_MANY_TAGS: Self = Self(4);
    /// The interface is not in the table: the collector has not told of it yet.
    pub const UNKNOWN_INTERFACE: Self = Self(5);
    /// The exact path counters are full.
    pub const PATHS_FULL: Self = Self(6);
    /// How many reasons there are.
    pub const COUNT: u8 = 7;

    /// The name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TRUNCATED => "truncated",
            Self::MALFORMED => "malformed",
            Self::NOT_IP => "not_ip",
            Self::TOO_MANY_TAGS => "too_many_tags",
            Self::UNKNOWN_INTERFACE => "unknown_interface",
            Self::PATHS_FULL => "paths_full",
            _ => "none",
        }
    }
}
