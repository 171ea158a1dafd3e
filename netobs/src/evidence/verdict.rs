//! What the packets of one conversation allow to say about reachability. `reachable` is never said without
//! a packet seen in each direction; what needs kernel events (drops, neighbours, errors) is not said yet.

use netobs_common::wire::Protocol;

use crate::{
    flow::conversation::{Conversation, Sighting},
    report::{HopDirection, Outcome, TcpState, Verdict},
};

/// A TCP attempt is given up for after the second retransmission of its SYN: 1 s and 2 s after it
/// (RFC 6298, 2.1; Linux `TCP_TIMEOUT_INIT`), in nanoseconds.
pub const UNANSWERED: u64 = 3_000_000_000;

/// The verdict now.
#[must_use]
pub fn of(conversation: &Conversation, now: u64) -> Verdict {
    if conversation.is_group() {
        return Verdict::Unknown;
    }
    let forward = conversation.toward(HopDirection::Forward).next().is_some();
    let mut replies = conversation.toward(HopDirection::Reply).peekable();
    let replied = replies.peek().is_some();
    if conversation.protocol() != Protocol::TCP {
        return if forward && replied { Verdict::Reachable } else { Verdict::Unknown };
    }
    let syn = conversation.toward(HopDirection::Forward).any(|one| one.latest.syn != 0);
    let answered = replies.any(|one| one.latest.syn_ack != 0);
    let refused = conversation.toward(HopDirection::Reply).any(|one| one.latest.rst != 0);
    match (syn, answered) {
        (true, false) if refused => Verdict::Refused,
        (true, false) if !replied && now.saturating_sub(conversation.first_seen()) >= UNANSWERED => {
            Verdict::Unanswered
        }
        (true, false) => Verdict::Unknown,
        _ if forward && replied => Verdict::Reachable,
        _ => Verdict::Unknown,
    }
}

/// What became of an attempt to connect, once it is decided: a TCP conversation whose first SYN was seen. What
/// needs kernel events (dropped, unreachable) is not told yet.
#[must_use]
pub fn outcome(conversation: &Conversation, now: u64) -> Option<Outcome> {
    let syn = |one: &Sighting| one.latest.syn != 0;
    if conversation.protocol() != Protocol::TCP || !conversation.toward(HopDirection::Forward).any(syn) {
        return None;
    }
    match of(conversation, now) {
        Verdict::Reachable => Some(Outcome::Established),
        Verdict::Refused => Some(Outcome::Refused),
        Verdict::Unanswered => Some(Outcome::Unanswered),
        _ => None,
    }
}

/// The state of a TCP connection, from the flags seen on both directions.
#[must_use]
pub fn tcp_state(conversation: &Conversation) -> TcpState {
    let signs = conversation.signs();
    let syn = conversation.toward(HopDirection::Forward).any(|one| one.latest.syn != 0);
    let syn_ack = conversation.toward(HopDirection::Reply).any(|one| one.latest.syn_ack != 0);
    let more = conversation.toward(HopDirection::Forward).any(|one| one.seen.packets > 1);
    match (syn, syn_ack) {
        _ if signs.rst => TcpState::Reset,
        _ if signs.forward_fin && signs.reply_fin => TcpState::Closed,
        _ if signs.forward_fin || signs.reply_fin => TcpState::Closing,
        (true, true) if !more => TcpState::SynReceived,
        (_, true) => TcpState::Established,
        (true, false) => TcpState::SynSent,
        // Joined in the middle: data in both directions is all there is to see of an open connection.
        (false, false) if conversation.toward(HopDirection::Reply).next().is_some() => TcpState::Established,
        (false, false) => TcpState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use netobs_common::{
        counters::{Counters, FlowCounters},
        key::FlowKey,
    };

    use super::*;
    use crate::flow::made_up::tcp;

    fn conversation(sightings: &[(bool, FlowCounters)]) -> Conversation {
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        one.sightings =
            sightings.iter().map(|(along, read)| Sighting::new(FlowKey::default(), *along, *read)).collect();
        one
    }

    fn packets(packets: u64) -> FlowCounters {
        FlowCounters {
            counters: Counters { packets, segments: packets, bytes: packets * 66 },
            ..FlowCounters::default()
        }
    }

    fn syn() -> FlowCounters {
        FlowCounters { syn: 1, ..packets(1) }
    }

    #[test]
    fn an_answer_proves_reachability() {
        let answer = FlowCounters { syn_ack: 1, ..packets(1) };
        assert_eq!(of(&conversation(&[(true, syn()), (false, answer)]), 0), Verdict::Reachable);
    }

    #[test]
    fn one_direction_alone_proves_nothing() {
        assert_eq!(of(&conversation(&[(true, packets(9))]), 0), Verdict::Unknown);
        assert_eq!(of(&conversation(&[(false, packets(9))]), 0), Verdict::Unknown);
    }

    #[test]
    fn a_reset_in_answer_to_a_syn_is_a_refusal() {
        let reset = FlowCounters { rst: 1, ..packets(1) };
        assert_eq!(of(&conversation(&[(true, syn()), (false, reset)]), 0), Verdict::Refused);
    }

    #[test]
    fn silence_is_an_answer_only_after_the_second_retransmission() {
        let silent = conversation(&[(true, syn())]);
        assert_eq!(of(&silent, UNANSWERED - 1), Verdict::Unknown);
        assert_eq!(of(&silent, UNANSWERED), Verdict::Unanswered);
    }

    #[test]
    fn an_attempt_is_decided_by_its_answer_or_by_silence() {
        let reset = FlowCounters { rst: 1, ..packets(1) };
        let answer = FlowCounters { syn_ack: 1, ..packets(1) };
        assert_eq!(outcome(&conversation(&[(true, syn()), (false, reset)]), 0), Some(Outcome::Refused));
        assert_eq!(outcome(&conversation(&[(true, syn()), (false, answer)]), 0), Some(Outcome::Established));
        assert_eq!(outcome(&conversation(&[(true, syn())]), UNANSWERED - 1), None, "it may be answered yet");
        assert_eq!(outcome(&conversation(&[(true, syn())]), UNANSWERED), Some(Outcome::Unanswered));
        let joined = conversation(&[(true, packets(3)), (false, packets(3))]);
        assert_eq!(outcome(&joined, UNANSWERED), None, "its beginning was not seen");
    }

    #[test]
    fn the_state_follows_the_flags() {
        let state = |sightings: &[(bool, FlowCounters)]| tcp_state(&conversation(sightings));
        let answer = FlowCounters { syn_ack: 1, ..packets(1) };
        assert_eq!(state(&[(true, syn())]), TcpState::SynSent);
        assert_eq!(state(&[(true, syn()), (false, answer)]), TcpState::SynReceived);
        let open = FlowCounters { syn: 1, ..packets(2) };
        assert_eq!(state(&[(true, open), (false, answer)]), TcpState::Established);
        let closing = FlowCounters { fin: 1, ..open };
        assert_eq!(state(&[(true, closing), (false, answer)]), TcpState::Closing);
        assert_eq!(state(&[(true, packets(3)), (false, packets(3))]), TcpState::Established);
    }
}
