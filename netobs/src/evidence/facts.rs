//! Sightings of a conversation → observed facts about it.

use std::sync::Arc;

use netobs_common::{counters::FlowCounters, hook::Hook};

use crate::{
    flow::conversation::{Conversation, Place, Sighting},
    report::{EvidenceKind, HopDirection},
};

/// An observed fact. Times in nanoseconds of the monotonic clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// What.
    pub kind: EvidenceKind,
    /// How often, at least: the kernel side notes that a flag was seen, not how often.
    pub count: u64,
    /// First time, or the earliest it can have been.
    pub first_seen: u64,
    /// Latest time it can have been.
    pub last_seen: u64,
    /// Where it was seen first; interface 0 where that was at no hook.
    pub place: Place,
    /// What else there is to say.
    pub detail: Option<Arc<str>>,
}

/// No hook of any interface.
pub(super) const NOWHERE: Place = Place { interface: 0, hook: Hook::INGRESS };

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
        facts.push(Fact {
            detail: Some(sender(conversation, sighting).into()),
            ..fact(EvidenceKind::Rst, 1, sighting)
        });
    }
    progress(conversation, &mut facts);
    facts.extend(super::icmp::facts(conversation));
    facts.extend(super::neighbours::facts(conversation));
    facts.extend(conversation.losses.iter().map(|loss| Fact {
        kind: EvidenceKind::HopLoss,
        count: loss.segments,
        first_seen: loss.seen.0,
        last_seen: loss.seen.1,
        place: loss.from,
        detail: None,
    }));
    facts.extend(conversation.drops.iter().map(|note| Fact {
        kind: EvidenceKind::Drop,
        count: note.packets,
        first_seen: note.first_seen,
        last_seen: note.last_seen,
        place: note.place.unwrap_or(NOWHERE),
        detail: Some(Arc::clone(&note.reason)),
    }));
    facts
}

/// What TCP headers told beyond single flags.
fn progress(conversation: &Conversation, facts: &mut Vec<Fact>) {
    let progress = &conversation.progress;
    let one = |direction| first(conversation, direction, |_| true);
    if let Some((took, sighting)) = progress.handshake.zip(one(HopDirection::Forward)) {
        let end = sighting.first_seen + took;
        let detail = Some(format!("{:.3} ms", took as f64 / 1e6).into());
        facts.push(Fact { last_seen: end, detail, ..fact(EvidenceKind::Handshake, 1, sighting) });
    }
    if let Some(sighting) = first(conversation, HopDirection::Forward, |one| one.latest.syn > 1) {
        let again = u64::from(sighting.latest.syn) - 1;
        facts.push(fact(EvidenceKind::SynRetransmit, again, sighting));
    }
    for (direction, again) in HopDirection::BOTH.into_iter().zip(progress.retransmits) {
        let Some(sighting) = one(direction).filter(|_| again > 0) else { continue };
        let detail = Some(if direction == HopDirection::Forward { "forward" } else { "reply" }.into());
        facts.push(Fact { detail, ..fact(EvidenceKind::Retransmit, again, sighting) });
    }
}

/// Whose reset it is. A packet that somebody between the two sides makes in a side's name has come less far, or
/// farther, than that side's own.
fn sender(conversation: &Conversation, reset: &Sighting) -> &'static str {
    let FlowCounters { hop_limit, rst_hop_limit, .. } = reset.latest;
    let others = reset.seen.packets > 1 && hop_limit != rst_hop_limit;
    match conversation.direction(reset) {
        _ if others => "sent by neither side: it has come another way",
        HopDirection::Forward => "sent by the source",
        HopDirection::Reply => "sent by the destination",
    }
}

fn first(
    conversation: &Conversation,
    direction: HopDirection,
    has: impl Fn(&Sighting) -> bool,
) -> Option<&Sighting> {
    conversation.toward(direction).filter(|one| has(one)).min_by_key(|one| one.first_seen)
}

fn fact(kind: EvidenceKind, count: u64, sighting: &Sighting) -> Fact {
    Fact {
        kind,
        count,
        first_seen: sighting.first_seen,
        // Of the coarse clock, which is some milliseconds behind the one that the first packet has its time from.
        last_seen: sighting.last_seen().max(sighting.first_seen),
        place: sighting.place(),
        detail: None,
    }
}

#[cfg(test)]
mod tests {
    use netobs_common::{counters::Counters, key::FlowKey};

    use super::*;
    use crate::flow::made_up::tcp;

    #[test]
    fn no_fact_ends_before_it_begins() {
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        let counters = Counters { packets: 1, segments: 1, bytes: 60 };
        // Of one packet: the precise clock, and the coarse one.
        let read =
            FlowCounters { counters, syn_ack: 1, first_seen: 10, last_seen: 7, ..FlowCounters::default() };
        one.sightings.push(Sighting::new(FlowKey::default(), false, read));
        let facts = of(&one);
        assert!(!facts.is_empty() && facts.iter().all(|fact| fact.first_seen <= fact.last_seen), "{facts:?}");
    }
}
