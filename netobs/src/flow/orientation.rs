//! Which side began: the sender of the SYN, else of conntrack's original direction, else of the first packet.

use super::conversation::{Conversation, Sighting};
use crate::report::InitiatorBy;

/// Says which side of the conversation is its source.
pub(super) fn orient(conversation: &mut Conversation) {
    let any = |along: bool, has: fn(&Sighting) -> bool| {
        conversation.sightings.iter().any(|sighting| sighting.along == along && has(sighting))
    };
    let began = |along| any(along, |one| one.latest.syn != 0) || any(!along, |one| one.latest.syn_ack != 0);
    let (flipped, by) = match (began(true), began(false)) {
        (true, false) => (false, InitiatorBy::Syn),
        (false, true) => (true, InitiatorBy::Syn),
        // Neither, or both at once (RFC 9293, 3.5: simultaneous open).
        _ if conversation.tracked.is_some() => (false, InitiatorBy::Conntrack),
        _ => (!first(conversation), InitiatorBy::FirstPacket),
    };
    conversation.flipped = flipped;
    conversation.initiator_by = by;
}

fn first(conversation: &Conversation) -> bool {
    let first = conversation.sightings.iter().min_by_key(|sighting| sighting.first_seen);
    first.is_none_or(|sighting| sighting.along)
}

#[cfg(test)]
mod tests {
    use netobs_common::{counters::FlowCounters, key::FlowKey};

    use super::*;
    use crate::flow::{made_up::tcp, translation::Tracked};

    fn seen(along: bool, read: FlowCounters) -> Sighting {
        Sighting::new(FlowKey::default(), along, read)
    }

    fn oriented(tracked: bool, sightings: Vec<Sighting>) -> (bool, InitiatorBy) {
        let reference = tcp("10.0.0.2:40000", "10.0.0.3:80");
        let tracked = tracked.then_some(Tracked::new(reference, reference));
        let mut conversation = Conversation::new("f1".into(), reference, tracked);
        conversation.sightings = sightings;
        orient(&mut conversation);
        (conversation.flipped, conversation.initiator_by)
    }

    fn at(first_seen: u64) -> FlowCounters {
        FlowCounters { first_seen, ..FlowCounters::default() }
    }

    #[test]
    fn the_sender_of_the_syn_is_the_source_whoever_was_seen_first() {
        let syn = FlowCounters { syn: 1, ..at(9) };
        assert_eq!(oriented(true, vec![seen(true, at(1)), seen(false, syn)]), (true, InitiatorBy::Syn));
    }

    #[test]
    fn the_sender_of_the_syn_ack_is_the_destination() {
        let syn_ack = FlowCounters { syn_ack: 1, ..at(1) };
        assert_eq!(oriented(false, vec![seen(true, syn_ack)]), (true, InitiatorBy::Syn));
    }

    #[test]
    fn in_the_middle_conntrack_knows() {
        assert_eq!(oriented(true, vec![seen(false, at(1))]), (false, InitiatorBy::Conntrack));
    }

    #[test]
    fn else_the_first_packet_says_it() {
        let both = vec![seen(true, at(7)), seen(false, at(3))];
        assert_eq!(oriented(false, both), (true, InitiatorBy::FirstPacket));
    }

    #[test]
    fn a_simultaneous_open_falls_to_the_next_rule() {
        let syn = |time| FlowCounters { syn: 1, ..at(time) };
        let both = vec![seen(true, syn(7)), seen(false, syn(3))];
        assert_eq!(oriented(false, both), (true, InitiatorBy::FirstPacket));
    }
}
