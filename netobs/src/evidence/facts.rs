//! Sightings of a conversation → observed facts about it.

use crate::{
    flow::conversation::{Conversation, Place, Sighting},
    report::{EvidenceKind, HopDirection},
};

/// An observed fact. Times in nanoseconds of the monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What.
    pub kind: EvidenceKind,
    /// How often, at least: the kernel side notes that a flag was seen, not how often.
    pub count: u64,
    /// First time, or the earliest it can have been.
    pub first_seen: u64,
    /// Latest time it can have been.
    pub last_seen: u64,
    /// Where it was seen first.
    pub place: Place,
}

/// What the packets of a conversation say.
#[must_use]
pub fn of(conversation: &Conversation) -> Vec<Fact> {
    let mut facts = Vec::new();
    let reply = |has: fn(&Sighting) -> bool| first(conversation, HopDirection::Reply, has);
    if let Some(sighting) = reply(|one| one.latest.syn_ack != 0) {
        facts.push(fact(EvidenceKind::SynAck, 1, sighting));
    }
    let answered = reply(|one| one.latest.rst == 0 || one.seen.packets > 1);
    if let Some(sighting) = answered {
        facts.push(fact(EvidenceKind::ReplyPacket, sighting.seen.packets, sighting));
    }
    let reset =
        conversation.sightings.iter().filter(|one| one.latest.rst != 0).min_by_key(|one| one.first_seen);
    if let Some(sighting) = reset {
        facts.push(fact(EvidenceKind::Rst, 1, sighting));
    }
    facts.extend(conversation.losses.iter().map(|loss| Fact {
        kind: EvidenceKind::HopLoss,
        count: loss.segments,
        first_seen: loss.seen.0,
        last_seen: loss.seen.1,
        place: loss.from,
    }));
    facts
}

fn first(
    conversation: &Conversation,
    direction: HopDirection,
    has: impl Fn(&Sighting) -> bool,
) -> Option<&Sighting> {
    conversation.toward(direction).filter(|one| has(one)).min_by_key(|one| one.first_seen)
}

const fn fact(kind: EvidenceKind, count: u64, sighting: &Sighting) -> Fact {
    Fact {
        kind,
        count,
        first_seen: sighting.first_seen,
        last_seen: sighting.last_seen(),
        place: sighting.place(),
    }
}
