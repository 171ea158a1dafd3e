//! What the packets of one conversation allow to say about reachability. `reachable` is never said without
//! a packet seen in each direction.

use netobs_common::wire::{Proto, Protocol};

use super::{drops, icmp, neighbours, reasons::Class};
use crate::{
    flow::conversation::{Conversation, Sighting},
    report::{HopDirection, Outcome, TcpState, Verdict},
};

/// A TCP attempt is given up for after the second retransmission of its SYN: 1 s and 2 s after it
/// (RFC 6298, 2.1; Linux `TCP_TIMEOUT_INIT`), in nanoseconds.
pub const UNANSWERED: u64 = 3_000_000_000;
/// A neighbour is given up after as long: that it was, and the ICMP error that follows, is known so much later at most.
/// Only then is silence the outcome.
const TOLD: u64 = 1_000_000_000;

/// The verdict now.
#[must_use]
pub fn of(conversation: &Conversation, now: u64) -> Verdict {
    let no_neighbour = neighbours::is_unreachable(conversation);
    if conversation.is_group() {
        // A question for a neighbour goes to a group, and to nobody but that one.
        return if no_neighbour { Verdict::Unreachable } else { Verdict::Unknown };
    }
    if let Some(told) = icmp::verdict(conversation) {
        return told;
    }
    let forward = conversation.toward(HopDirection::Forward).next().is_some();
    let mut replies = conversation.toward(HopDirection::Reply).peekable();
    let replied = replies.peek().is_some();
    if let Some(class) = drops::failure(conversation)
        // A firewall that rejects drops the packet as well, and the sender was told.
        && !conversation.toward(HopDirection::Reply).any(|one| one.latest.rst != 0)
    {
        return of_class(class);
    }
    if no_neighbour {
        return Verdict::Unreachable;
    }
    if conversation.protocol() != Protocol::TCP {
        return without_connection(conversation, forward, replied, now);
    }
    let syn = conversation.toward(HopDirection::Forward).any(|one| one.latest.syn != 0);
    let answered = replies.any(|one| one.latest.syn_ack != 0);
    if is_one_way(conversation, now) {
        return Verdict::OneWay;
    }
    let refused = conversation.toward(HopDirection::Reply).any(|one| one.latest.rst != 0);
    match (syn, answered) {
        (true, false) if refused => Verdict::Refused,
        (true, false) if !replied && now.saturating_sub(conversation.first_seen()) >= UNANSWERED => {
            Verdict::Unanswered
        }
        (true, false) => Verdict::Unknown,
        _ if forward && replied && is_degraded(conversation) => Verdict::Degraded,
        _ if forward && replied => Verdict::Reachable,
        _ => Verdict::Unknown,
    }
}

/// Protocols of which nothing says whether an answer is due, but for the echo.
fn without_connection(conversation: &Conversation, forward: bool, replied: bool, now: u64) -> Verdict {
    let echo = matches!(conversation.reference.proto, Proto::ICMP | Proto::ICMPV6)
        && conversation.reference.source.port == conversation.reference.destination.port;
    let packets = |direction| conversation.toward(direction).map(|one| one.seen.packets).max().unwrap_or(0);
    let [asked, answered] = HopDirection::BOTH.map(|direction| conversation.last_seen_toward(direction));
    let missing = packets(HopDirection::Forward).saturating_sub(packets(HopDirection::Reply));
    match (forward, replied) {
        (true, true) if echo && missing >= SEVERAL && asked.saturating_sub(answered) >= UNANSWERED => {
            Verdict::OneWay
        }
        (true, true) => Verdict::Reachable,
        (true, false) if echo && now.saturating_sub(conversation.first_seen()) >= UNANSWERED => {
            Verdict::Unanswered
        }
        _ => Verdict::Unknown,
    }
}

/// So many packets without an answer are more than an unlucky one.
const SEVERAL: u64 = 3;

/// Whether one side's packets no longer, or never, arrive at the other, which goes on sending the same ones again: the
/// answer to a SYN leaves and no ACK follows, or one side fell silent amid the other's repetitions.
fn is_one_way(conversation: &Conversation, now: u64) -> bool {
    let progress = &conversation.progress;
    if conversation.signs().rst || conversation.signs().forward_fin && conversation.signs().reply_fin {
        return false;
    }
    let of = |direction| conversation.toward(direction);
    let answer =
        of(HopDirection::Reply).filter(|one| one.latest.syn_ack != 0).map(|one| one.first_seen).min();
    if let Some(answer) = answer
        && of(HopDirection::Forward).any(|one| one.latest.syn != 0)
        && !is_open(conversation)
        && now.saturating_sub(answer) >= UNANSWERED
    {
        return true;
    }
    HopDirection::BOTH.into_iter().enumerate().any(|(sends, direction)| {
        let last = conversation.last_seen_toward(direction);
        let arrived = progress.arrived[1 - sends];
        let repeated = progress.unanswered[sends];
        let several = repeated >= SEVERAL && last.saturating_sub(arrived) >= UNANSWERED;
        // What was sent again before the conversation was looked at first is not known to have come after the answer;
        // two that are so far apart have others between them (RFC 6298, 5.5).
        let apart = repeated > 1 && last.saturating_sub(progress.unanswered_since[sends]) >= UNANSWERED;
        arrived != 0 && (several || apart)
    })
}

/// Whether the initiator acknowledged anything.
fn is_open(conversation: &Conversation) -> bool {
    conversation.toward(HopDirection::Forward).any(|one| one.latest.tcp.acknowledged_at != 0)
}

/// Whether it lost, or sent again, one of a hundred of at least a hundred segments of a direction.
fn is_degraded(conversation: &Conversation) -> bool {
    HopDirection::BOTH.into_iter().enumerate().any(|(one, direction)| {
        let sent = conversation.toward(direction).map(|one| one.seen.segments).max().unwrap_or(0);
        let lost: u64 = conversation
            .losses
            .iter()
            .filter(|loss| loss.direction == direction)
            .map(|loss| loss.segments)
            .sum();
        // What was lost was sent again: adding them up would count it twice.
        sent >= 100 && conversation.progress.retransmits[one].max(lost) * 100 >= sent
    })
}

/// The verdict on a conversation that came to nothing because its packets were dropped for such reasons.
#[must_use]
pub const fn of_class(class: Class) -> Verdict {
    match class {
        Class::Answered => Verdict::Refused,
        Class::Unreachable => Verdict::Unreachable,
        Class::Dropped | Class::Benign => Verdict::Dropped,
    }
}

/// What became of an attempt to connect, once it is decided: a TCP conversation whose first SYN was seen. That it was
/// dropped is decided when it might have been sent a second time and a third.
#[must_use]
pub fn outcome(conversation: &Conversation, now: u64) -> Option<Outcome> {
    let syn = |one: &Sighting| one.latest.syn != 0;
    if conversation.protocol() != Protocol::TCP || !conversation.toward(HopDirection::Forward).any(syn) {
        return None;
    }
    let age = now.saturating_sub(conversation.first_seen());
    let given_up = age >= UNANSWERED;
    let by_error = icmp::verdict(conversation).is_some() || neighbours::is_unreachable(conversation);
    match of(conversation, now) {
        // An error about a connection that is open is no answer to the attempt, nor is a neighbour that went away.
        Verdict::Refused | Verdict::Unreachable if by_error && is_open(conversation) => {
            Some(Outcome::Established)
        }
        Verdict::Unreachable if by_error => Some(Outcome::Unreachable),
        Verdict::Dropped if given_up => Some(Outcome::Dropped),
        Verdict::Unreachable if given_up => Some(Outcome::Unreachable),
        // The answer may not arrive: the initiator's ACK says that it did, or its RST, by which checks of a port end.
        Verdict::Reachable | Verdict::Degraded => {
            let reset = conversation.toward(HopDirection::Forward).any(|one| one.latest.rst != 0);
            (is_open(conversation) || reset).then_some(Outcome::Established)
        }
        Verdict::OneWay => Some(Outcome::Unanswered),
        Verdict::Refused => Some(Outcome::Refused),
        Verdict::Unanswered if age >= UNANSWERED + TOLD => Some(Outcome::Unanswered),
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
        progress::TcpProgress,
    };

    use super::*;
    use crate::flow::{made_up::tcp, tuple::Tuple};

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
        assert_eq!(
            outcome(&conversation(&[(true, opened(1)), (false, answer)]), 0),
            Some(Outcome::Established)
        );
        assert_eq!(outcome(&conversation(&[(true, syn()), (false, answer)]), 0), None, "it may not arrive");
        let given_up = UNANSWERED + TOLD;
        assert_eq!(outcome(&conversation(&[(true, syn())]), given_up - 1), None, "why may be told yet");
        assert_eq!(outcome(&conversation(&[(true, syn())]), given_up), Some(Outcome::Unanswered));
        let joined = conversation(&[(true, packets(3)), (false, packets(3))]);
        assert_eq!(outcome(&joined, UNANSWERED), None, "its beginning was not seen");
    }

    fn opened(acknowledged_at: u64) -> FlowCounters {
        let tcp = TcpProgress { acknowledged_at, ..TcpProgress::default() };
        FlowCounters { tcp, ..syn() }
    }

    #[test]
    fn an_answer_that_is_never_acknowledged_goes_one_way() {
        let answer = FlowCounters { syn_ack: 1, first_seen: 7, ..packets(3) };
        let one = conversation(&[(true, syn()), (false, answer)]);
        assert_eq!(of(&one, 6 + UNANSWERED), Verdict::Reachable, "the ACK may be on its way");
        assert_eq!(of(&one, 7 + UNANSWERED), Verdict::OneWay);
        assert_eq!(outcome(&one, 7 + UNANSWERED), Some(Outcome::Unanswered));
        let open = conversation(&[(true, opened(8)), (false, answer)]);
        assert_eq!(of(&open, 7 + UNANSWERED), Verdict::Reachable);
    }

    #[test]
    fn a_side_that_falls_silent_amid_repetitions_makes_it_one_way() {
        let answer = FlowCounters { syn_ack: 1, first_seen: 7, last_seen: 10, ..packets(3) };
        let sent = |last_seen| FlowCounters { last_seen, ..opened(8) };
        let mut one = conversation(&[(true, sent(10 + UNANSWERED)), (false, answer)]);
        one.progress.arrived = [0, 10];
        one.progress.unanswered = [SEVERAL, 0];
        assert_eq!(of(&one, 20 + UNANSWERED), Verdict::OneWay);
        (one.progress.unanswered, one.progress.unanswered_since) = ([SEVERAL - 1, 0], [11, 0]);
        assert_eq!(of(&one, 20 + UNANSWERED), Verdict::Reachable);
        one.progress.unanswered_since = [10, 0];
        assert_eq!(of(&one, 20 + UNANSWERED), Verdict::OneWay, "so far apart, even two are enough");
    }

    #[test]
    fn one_of_a_hundred_lost_or_sent_again_degrades_it() {
        let answer = FlowCounters { syn_ack: 1, ..packets(100) };
        let mut one = conversation(&[(true, FlowCounters { syn: 1, ..packets(200) }), (false, answer)]);
        one.progress.retransmits = [1, 0];
        assert_eq!(of(&one, 0), Verdict::Reachable);
        one.progress.retransmits = [2, 0];
        assert_eq!(of(&one, 0), Verdict::Degraded);
        one.progress.retransmits = [0, 1];
        assert_eq!(of(&one, 0), Verdict::Degraded, "of either direction");
        let few = conversation(&[(true, FlowCounters { syn: 1, ..packets(99) }), (false, answer)]);
        assert_eq!(of(&few, 0), Verdict::Reachable);
    }

    fn echo(sightings: &[(bool, FlowCounters)]) -> Conversation {
        let tuple = Tuple { proto: Proto::ICMP, ..tcp("10.0.0.2:9", "10.0.0.3:9") };
        Conversation { reference: tuple, ..conversation(sightings) }
    }

    #[test]
    fn an_echo_asks_for_an_answer() {
        assert_eq!(of(&echo(&[(true, packets(1))]), UNANSWERED - 1), Verdict::Unknown);
        assert_eq!(of(&echo(&[(true, packets(1))]), UNANSWERED), Verdict::Unanswered);
        let asked = |last_seen| (true, FlowCounters { last_seen, ..packets(9) });
        let answered = (false, FlowCounters { last_seen: 5, ..packets(6) });
        assert_eq!(of(&echo(&[asked(5), answered]), UNANSWERED), Verdict::Reachable);
        assert_eq!(of(&echo(&[asked(5 + UNANSWERED), answered]), UNANSWERED), Verdict::OneWay);
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
