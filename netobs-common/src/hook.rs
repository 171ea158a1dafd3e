//! The two places where tc shows a packet of an interface.

/// Ingress (the interface received it) or egress (it is about to send it).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hook(pub u8);

impl Hook {
    /// The interface received the packet.
    pub const INGRESS: Self = Self(0);
    /// The interface is about to send the packet; it has not passed the queueing discipline yet.
    pub const EGRESS: Self = Self(1);

    /// The name in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::INGRESS => "ingress",
            _ => "egress",
        }
    }
}
