//! Neighbours that were asked for and did not answer, as a conversation knows of them: because it is the question, or
//! because its packets waited for the answer.

use std::net::IpAddr;

use super::conversation::{Conversation, Place};
use crate::report::HopDirection;

/// One side's questions for the other's hardware address. Followed by [`crate::evidence::neighbours`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// The kernel side's counter as read last.
    pub read: u16,
    /// Questions so far.
    pub asked: u64,
    /// The part of them that was answered, or told as a failure.
    pub settled: u64,
    /// The other side's latest packet.
    pub answered_at: u64,
}

/// Equal failures. Times in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Who was asked for.
    pub address: IpAddr,
    /// Whether what waits for the answer, or asks, travels as the conversation's reference does.
    pub along: bool,
    /// Where the questions are seen first.
    pub place: Option<Place>,
    /// How many times it was given up.
    pub count: u64,
    /// The first time, or the earliest it can have been.
    pub first_seen: u64,
    /// The latest.
    pub last_seen: u64,
    /// The number of the latest failure, by which it is told once.
    pub latest: u64,
}

impl Unanswered {
    fn is_like(&self, other: &Self) -> bool {
        let said = |one: &Self| (one.address, one.along, one.place);
        said(self) == said(other)
    }
}

impl Conversation {
    /// Takes in failures, unless it knows of them.
    pub fn tell_unanswered(&mut self, more: Unanswered) {
        match self.unanswered.iter_mut().find(|one| one.is_like(&more)) {
            Some(known) if known.latest >= more.latest => return,
            Some(known) => {
                let (count, first_seen) = (known.count + more.count, known.first_seen.min(more.first_seen));
                *known = Unanswered { count, first_seen, ..more };
            }
            None => self.unanswered.push(more),
        }
        self.moves();
    }

    /// Neighbours that what one side sent waited for.
    pub fn unanswered_toward(&self, direction: HopDirection) -> impl Iterator<Item = &Unanswered> {
        let forward = direction == HopDirection::Forward;
        self.unanswered.iter().filter(move |one| (one.along != self.flipped) == forward)
    }

    /// Whether it is a question for a neighbour, and perhaps the answer.
    #[must_use]
    pub fn is_question(&self) -> bool {
        self.sightings.iter().any(|one| one.latest.asks != 0)
    }

    /// Initiator and other side; of a question that stays without an answer, who asked, and who has the address.
    #[must_use]
    pub fn ends(&self) -> [netobs_common::endpoint::EndpointId; 2] {
        self.asked.unwrap_or([self.source, self.destination])
    }
}
