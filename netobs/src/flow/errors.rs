//! ICMP errors about the packets of one conversation.

use std::net::IpAddr;

use netobs_common::{icmp_error::IcmpErrorType, wire::Network};

use super::conversation::{Conversation, Place};
use crate::report::HopDirection;

/// Equal errors, counted where each enters this host or is made. Times in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedError {
    /// ICMP or ICMPv6.
    pub network: Network,
    /// Type of the message.
    pub kind: u8,
    /// Code of the message.
    pub code: u8,
    /// Whether the quoted packet travelled as the conversation's reference does.
    pub along: bool,
    /// Where they were seen.
    pub place: Place,
    /// Who sent the latest one, by the address it has there.
    pub reporter: IpAddr,
    /// What the next hop takes, where the packet was too big for it; else 0.
    pub mtu: u32,
    /// How many.
    pub count: u64,
    /// The part of `count` that is in the metrics.
    pub booked: u64,
    /// The first one.
    pub first_seen: u64,
    /// The latest one.
    pub last_seen: u64,
}

impl QuotedError {
    /// What it is told apart by in metrics.
    #[must_use]
    pub const fn class(&self) -> IcmpErrorType {
        IcmpErrorType::of(self.network, self.kind, self.code)
    }

    fn is_like(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.network, one.kind, one.code, one.along, one.place);
        said(self) == said(other)
    }
}

impl Conversation {
    /// Takes in more errors.
    pub fn tell_error(&mut self, more: QuotedError) {
        self.moves();
        match self.errors.iter_mut().find(|one| one.is_like(&more)) {
            Some(known) => {
                let (count, first_seen) = (known.count + more.count, known.first_seen.min(more.first_seen));
                let last_seen = known.last_seen.max(more.last_seen);
                *known = QuotedError { count, first_seen, last_seen, booked: known.booked, ..more };
            }
            None => self.errors.push(more),
        }
    }

    /// Errors about what one side sent.
    pub fn errors_about(&self, direction: HopDirection) -> impl Iterator<Item = &QuotedError> {
        let forward = direction == HopDirection::Forward;
        self.errors.iter().filter(move |one| (one.along != self.flipped) == forward)
    }
}
