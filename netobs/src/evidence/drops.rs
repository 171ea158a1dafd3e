//! What the kernel dropped of a conversation → whether that is why it comes to nothing. Pure.

use netobs_common::wire::Protocol;

use super::reasons::Class;
use crate::{
    flow::conversation::{Conversation, DropNote, Sighting},
    report::HopDirection,
};

/// The queue of what waits for a neighbour's answer is full (`unres_qlen_bytes`). Where that answer never comes, what
/// found no room is gone for the same reason as what waited.
const QUEUE: &str = "neigh_queuefull";

/// What became of a conversation of which one direction never got through, because this host dropped all of its
/// packets: the most a hop has seen of it is not more than what was dropped.
#[must_use]
pub fn failure(conversation: &Conversation) -> Option<Class> {
    // What follows a connection that is over, or began before it was watched, is no attempt to connect.
    let begins = |one: &Sighting| one.latest.syn != 0;
    if conversation.protocol() == Protocol::TCP && !conversation.toward(HopDirection::Forward).all(begins) {
        return None;
    }
    HopDirection::BOTH.into_iter().find_map(|direction| {
        // An answer that nobody waits for any more was an answer.
        let late = |class| direction == HopDirection::Reply && class == Class::Answered;
        let is_its = |note: &&DropNote| note.direction == direction && !late(note.class);
        let notes = || conversation.drops.iter().filter(is_its);
        let dropped: u64 = notes().map(|note| note.packets).sum();
        let seen = conversation.toward(direction).map(|one| one.seen.packets).max().unwrap_or(0);
        // An answer proves that something arrived.
        let answered = direction == HopDirection::Forward
            && conversation.toward(HopDirection::Reply).any(|one| one.latest.rst == 0);
        if dropped == 0 || dropped < seen || answered {
            return None;
        }
        let in_vain = notes().any(|note| note.class == Class::Unreachable);
        let has = |class| notes().any(|note| note.class == class && !(in_vain && &*note.reason == QUEUE));
        [Class::Dropped, Class::Unreachable, Class::Answered].into_iter().find(|class| has(*class))
    })
}

#[cfg(test)]
mod tests {
    use netobs_common::{
        counters::{Counters, FlowCounters},
        drop::DropKey,
        key::FlowKey,
    };

    use super::*;
    use crate::flow::made_up::tcp;

    /// Packets seen and dropped, forward and of the answer.
    fn judged(seen: [u64; 2], dropped: [u64; 2], class: Class) -> Option<Class> {
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        for (index, direction) in HopDirection::BOTH.into_iter().enumerate() {
            if seen[index] > 0 {
                let counters = Counters { packets: seen[index], segments: seen[index], bytes: 60 };
                let (syn, syn_ack) = (u8::from(index == 0), u8::from(index == 1));
                let read = FlowCounters { counters, syn, syn_ack, ..FlowCounters::default() };
                one.sightings.push(Sighting::new(FlowKey::default(), index == 0, read));
            }
            if dropped[index] > 0 {
                one.drops.push(DropNote {
                    key: DropKey::default(),
                    direction,
                    place: None,
                    packets: dropped[index],
                    first_seen: 0,
                    last_seen: 0,
                    reason: "netfilter_drop".into(),
                    class,
                });
            }
        }
        failure(&one)
    }

    #[test]
    fn a_conversation_all_of_whose_packets_were_dropped_has_failed() {
        assert_eq!(judged([3, 0], [3, 0], Class::Dropped), Some(Class::Dropped));
        assert_eq!(judged([3, 0], [3, 0], Class::Unreachable), Some(Class::Unreachable));
        assert_eq!(judged([0, 0], [1, 0], Class::Dropped), Some(Class::Dropped), "it came by no hook");
    }

    #[test]
    fn what_found_no_room_to_wait_for_a_neighbour_in_vain_was_unreachable_as_well() {
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        let note = |reason: &str, class| DropNote {
            key: DropKey::default(),
            direction: HopDirection::Forward,
            place: None,
            packets: 50,
            first_seen: 0,
            last_seen: 0,
            reason: reason.into(),
            class,
        };
        one.drops.push(note(QUEUE, Class::Dropped));
        assert_eq!(failure(&one), Some(Class::Dropped), "the neighbour may answer yet");
        one.drops.push(note("neigh_failed", Class::Unreachable));
        assert_eq!(failure(&one), Some(Class::Unreachable));
        one.drops.push(note("netfilter_drop", Class::Dropped));
        assert_eq!(failure(&one), Some(Class::Dropped), "a rule dropped some of it");
    }

    #[test]
    fn an_answer_that_was_dropped_is_no_answer() {
        assert_eq!(judged([3, 2], [0, 2], Class::Dropped), Some(Class::Dropped));
        assert_eq!(judged([3, 2], [0, 1], Class::Dropped), None);
    }

    #[test]
    fn an_answer_that_nobody_waits_for_any_more_is_no_refusal() {
        assert_eq!(judged([1, 1], [0, 1], Class::Answered), None);
        assert_eq!(judged([1, 0], [1, 0], Class::Answered), Some(Class::Answered));
    }

    #[test]
    fn what_is_left_over_of_a_connection_is_no_attempt() {
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        let counters = Counters { packets: 1, segments: 1, bytes: 60 };
        let read = FlowCounters { counters, fin: 1, ..FlowCounters::default() };
        one.sightings.push(Sighting::new(FlowKey::default(), true, read));
        one.drops.push(DropNote {
            key: DropKey::default(),
            direction: HopDirection::Forward,
            place: None,
            packets: 1,
            first_seen: 0,
            last_seen: 0,
            reason: "netfilter_drop".into(),
            class: Class::Dropped,
        });
        assert_eq!(failure(&one), None);
    }

    #[test]
    fn what_was_dropped_now_and_then_did_not_fail() {
        assert_eq!(judged([9, 8], [2, 0], Class::Dropped), None);
        assert_eq!(
            judged([2, 0], [1, 0], Class::Dropped),
            None,
            "the second one went on, and nobody answered"
        );
        assert_eq!(judged([1, 1], [1, 0], Class::Dropped), None, "somebody answers all the same");
        assert_eq!(judged([1, 1], [0, 0], Class::Dropped), None);
    }
}
