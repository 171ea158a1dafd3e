//! ICMP errors about a conversation → what they are called, the facts they are, and the verdict they give.

use netobs_common::{icmp_error::IcmpErrorType, wire::Network};

use super::facts::Fact;
use crate::{
    flow::{
        conversation::{Conversation, Sighting},
        errors::QuotedError,
    },
    report::{EvidenceKind, HopDirection, Verdict},
};

/// The facts.
pub(super) fn facts(conversation: &Conversation) -> impl Iterator<Item = Fact> {
    HopDirection::BOTH.into_iter().flat_map(|direction| {
        conversation.errors_about(direction).map(move |error| Fact {
            kind: EvidenceKind::IcmpError,
            count: error.count,
            first_seen: error.first_seen,
            last_seen: error.last_seen,
            place: error.place,
            detail: Some(detail(error, direction).into()),
        })
    })
}

/// `refused` where nobody listens, `unreachable` where the way does not lead there; for as long as the other side has
/// not answered since. That a packet was too big, or took too many hops, says nothing of the other side.
#[must_use]
pub(super) fn verdict(conversation: &Conversation) -> Option<Verdict> {
    let reply = || conversation.toward(HopDirection::Reply);
    // What ended by the other side's word is judged by that.
    if conversation.errors.is_empty() || reply().any(|one| one.latest.rst != 0 || one.latest.fin != 0) {
        return None;
    }
    let answered = reply().map(Sighting::last_seen).max().unwrap_or(0);
    let since = conversation.errors_about(HopDirection::Forward).filter(|one| one.last_seen > answered);
    // The table of verdicts is in the order in which they apply.
    since.filter_map(says).min()
}

fn says(error: &QuotedError) -> Option<Verdict> {
    match (error.network, error.kind, error.class()) {
        (_, _, IcmpErrorType::PORT_UNREACHABLE) => Some(Verdict::Refused),
        (_, _, IcmpErrorType::FRAGMENTATION_NEEDED) => None,
        (Network::IPV4, 3, _) | (Network::IPV6, 1, _) => Some(Verdict::Unreachable),
        _ => None,
    }
}

fn detail(error: &QuotedError, direction: HopDirection) -> String {
    let mut text = match name(error.network, error.kind, error.code) {
        Some(name) => name.to_owned(),
        None => format!("ICMP type {}, code {}", error.kind, error.code),
    };
    match error.class() {
        IcmpErrorType::PROHIBITED => text += &format!(" ({})", error.code),
        IcmpErrorType::FRAGMENTATION_NEEDED if error.mtu != 0 => {
            text += &format!(", next hop MTU {},", error.mtu);
        }
        IcmpErrorType::FRAGMENTATION_NEEDED => text += ", next hop MTU not told,",
        _ => {}
    }
    text += &format!(" from {}", error.reporter);
    if direction == HopDirection::Reply {
        text += ", about an answer";
    }
    text
}

/// Names of messages (RFC 792; RFC 1812, 5.2.7.1; RFC 4443, 3; RFC 1122, 3.2.2.1).
const fn name(network: Network, kind: u8, code: u8) -> Option<&'static str> {
    Some(match (network, kind, code) {
        (Network::IPV4, 3, 0) => "network unreachable",
        (Network::IPV4, 3, 1) => "host unreachable",
        (Network::IPV4, 3, 2) => "protocol unreachable",
        (Network::IPV4, 3, 3) | (Network::IPV6, 1, 4) => "port unreachable",
        (Network::IPV4, 3, 4) => "fragmentation needed",
        (Network::IPV4, 3, 5) => "source route failed",
        (Network::IPV4, 3, 6) => "destination network unknown",
        (Network::IPV4, 3, 7) => "destination host unknown",
        (Network::IPV4, 3, 8) => "source host isolated",
        (Network::IPV4, 3, 9) => "network administratively prohibited",
        (Network::IPV4, 3, 10) => "host administratively prohibited",
        (Network::IPV4, 3, 11) => "network unreachable for type of service",
        (Network::IPV4, 3, 12) => "host unreachable for type of service",
        (Network::IPV4, 3, 13) | (Network::IPV6, 1, 1) => "administratively prohibited",
        (Network::IPV4, 3, 14) => "host precedence violation",
        (Network::IPV4, 3, 15) => "precedence cutoff in effect",
        (Network::IPV4, 11, 0) => "time to live exceeded in transit",
        (Network::IPV4, 11, 1) | (Network::IPV6, 3, 1) => "fragment reassembly time exceeded",
        (Network::IPV4, 12, 0) => "parameter problem",
        (Network::IPV4, 12, 1) => "required option missing",
        (Network::IPV4, 12, 2) => "bad length",
        (Network::IPV6, 1, 0) => "no route to destination",
        (Network::IPV6, 1, 2) => "beyond scope of source address",
        (Network::IPV6, 1, 3) => "address unreachable",
        (Network::IPV6, 1, 5) => "source address failed ingress or egress policy",
        (Network::IPV6, 1, 6) => "reject route to destination",
        (Network::IPV6, 1, 7) => "error in source routing header",
        (Network::IPV6, 2, _) => "packet too big",
        (Network::IPV6, 3, 0) => "hop limit exceeded in transit",
        (Network::IPV6, 4, 0) => "erroneous header field",
        (Network::IPV6, 4, 1) => "unrecognized next header type",
        (Network::IPV6, 4, 2) => "unrecognized IPv6 option",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use netobs_common::{
        counters::{Counters, FlowCounters},
        hook::Hook,
        key::FlowKey,
        wire::Proto,
    };

    use super::*;
    use crate::{
        evidence::verdict::{of, outcome},
        flow::{conversation::Place, made_up::tuple},
        report::Outcome,
    };

    const V4: Network = Network::IPV4;
    const V6: Network = Network::IPV6;

    fn error(network: Network, kind: u8, code: u8, last_seen: u64) -> QuotedError {
        QuotedError {
            network,
            kind,
            code,
            along: true,
            place: Place { interface: 1, hook: Hook::INGRESS },
            reporter: "203.0.113.10".parse().unwrap(),
            mtu: 0,
            count: 2,
            booked: 0,
            first_seen: 5,
            last_seen,
        }
    }

    fn conversation(
        proto: Proto,
        sightings: &[(bool, FlowCounters)],
        errors: &[QuotedError],
    ) -> Conversation {
        let reference = tuple(proto, "10.0.0.2:40000", "10.0.0.3:80");
        let mut one = Conversation::new("f1".into(), reference, None);
        let sighting =
            |(along, read): &(bool, FlowCounters)| Sighting::new(FlowKey::default(), *along, *read);
        one.sightings = sightings.iter().map(sighting).collect();
        errors.iter().for_each(|error| one.tell_error(*error));
        one
    }

    fn packet(last_seen: u64) -> FlowCounters {
        FlowCounters { counters: Counters::one(1, 60), last_seen, ..FlowCounters::default() }
    }

    #[test]
    fn which_errors_are_a_verdict() {
        let cases = [
            (V4, 3, 3, Some(Verdict::Refused)),
            (V6, 1, 4, Some(Verdict::Refused)),
            (V4, 3, 4, None),
            (V6, 2, 0, None),
            (V4, 11, 0, None),
            (V6, 3, 0, None),
            (V4, 12, 0, None),
            (V6, 4, 1, None),
            (V4, 3, 0, Some(Verdict::Unreachable)),
            (V4, 3, 1, Some(Verdict::Unreachable)),
            (V4, 3, 2, Some(Verdict::Unreachable)),
            (V4, 3, 13, Some(Verdict::Unreachable)),
            (V4, 3, 200, Some(Verdict::Unreachable)),
            (V6, 1, 0, Some(Verdict::Unreachable)),
            (V6, 1, 3, Some(Verdict::Unreachable)),
        ];
        for (network, kind, code, wanted) in cases {
            let one = conversation(Proto::UDP, &[(true, packet(1))], &[error(network, kind, code, 9)]);
            assert_eq!(verdict(&one), wanted, "{network:?} {kind} {code}");
        }
    }

    #[test]
    fn a_refusal_goes_before_what_is_unreachable() {
        let errors = [error(V4, 3, 1, 9), error(V4, 3, 3, 7)];
        assert_eq!(of(&conversation(Proto::UDP, &[(true, packet(1))], &errors), 10), Verdict::Refused);
    }

    #[test]
    fn who_answers_later_is_neither() {
        let with_answer =
            |at| conversation(Proto::UDP, &[(true, packet(1)), (false, packet(at))], &[error(V4, 3, 3, 9)]);
        assert_eq!(of(&with_answer(8), 20), Verdict::Refused, "it answered before, and not since");
        assert_eq!(of(&with_answer(9), 20), Verdict::Reachable);
    }

    #[test]
    fn an_error_about_an_answer_says_nothing_of_the_other_side() {
        let about_answer = QuotedError { along: false, ..error(V4, 3, 3, 9) };
        let one = conversation(Proto::UDP, &[(true, packet(1)), (false, packet(2))], &[about_answer]);
        assert_eq!(of(&one, 20), Verdict::Reachable);
        let facts: Vec<_> = facts(&one).collect();
        assert_eq!(facts[0].detail.as_deref(), Some("port unreachable from 203.0.113.10, about an answer"));
    }

    #[test]
    fn an_attempt_is_decided_by_an_error_and_an_open_connection_is_not() {
        let syn = FlowCounters { syn: 1, ..packet(1) };
        let decided =
            |kind, code| outcome(&conversation(Proto::TCP, &[(true, syn)], &[error(V4, kind, code, 9)]), 10);
        assert_eq!(decided(3, 3), Some(Outcome::Refused));
        assert_eq!(decided(3, 13), Some(Outcome::Unreachable));
        assert_eq!(decided(11, 0), None, "it may be answered yet");
        let mut open = syn;
        open.tcp.acknowledged_at = 3;
        let answer = FlowCounters { syn_ack: 1, ..packet(2) };
        let one = conversation(Proto::TCP, &[(true, open), (false, answer)], &[error(V4, 3, 1, 9)]);
        assert_eq!((of(&one, 10), outcome(&one, 10)), (Verdict::Unreachable, Some(Outcome::Established)));
    }

    #[test]
    fn what_the_other_side_ended_is_judged_by_that() {
        let syn = FlowCounters { syn: 1, ..packet(1) };
        let reset = FlowCounters { rst: 1, ..packet(2) };
        let one = conversation(Proto::TCP, &[(true, syn), (false, reset)], &[error(V4, 3, 1, 9)]);
        assert_eq!(of(&one, 10), Verdict::Refused);
    }

    #[test]
    fn errors_are_called_by_their_names() {
        let text = |error: QuotedError| detail(&error, HopDirection::Forward);
        let mtu = |error| QuotedError { mtu: 1_400, ..error };
        assert_eq!(text(error(V4, 3, 3, 0)), "port unreachable from 203.0.113.10");
        assert_eq!(text(error(V4, 3, 13, 0)), "administratively prohibited (13) from 203.0.113.10");
        assert_eq!(
            text(mtu(error(V4, 3, 4, 0))),
            "fragmentation needed, next hop MTU 1400, from 203.0.113.10"
        );
        assert_eq!(text(mtu(error(V6, 2, 0, 0))), "packet too big, next hop MTU 1400, from 203.0.113.10");
        assert_eq!(
            text(error(V4, 3, 4, 0)),
            "fragmentation needed, next hop MTU not told, from 203.0.113.10"
        );
        assert_eq!(text(error(V4, 3, 99, 0)), "ICMP type 3, code 99 from 203.0.113.10");
    }

    #[test]
    fn every_message_that_has_a_class_of_its_own_has_a_name() {
        for (network, kind, code) in [V4, V6]
            .into_iter()
            .flat_map(|one| (0..=12).flat_map(move |kind| (0..16).map(move |code| (one, kind, code))))
        {
            let class = IcmpErrorType::of(network, kind, code);
            let generic = [
                IcmpErrorType::NONE,
                IcmpErrorType::OTHER,
                IcmpErrorType::TIME_EXCEEDED,
                IcmpErrorType::PARAMETER_PROBLEM,
            ];
            let named = name(network, kind, code).is_some();
            assert!(named || generic.contains(&class), "{network:?} {kind} {code}");
            assert!(!named || class != IcmpErrorType::NONE, "{network:?} {kind} {code}");
        }
    }

    #[test]
    fn equal_errors_are_one_fact() {
        let one = conversation(Proto::UDP, &[(true, packet(1))], &[error(V4, 3, 3, 9), error(V4, 3, 3, 12)]);
        let facts: Vec<_> = facts(&one).collect();
        assert_eq!(facts.len(), 1);
        assert_eq!((facts[0].count, facts[0].first_seen, facts[0].last_seen), (4, 5, 12));
        assert_eq!(facts[0].kind, EvidenceKind::IcmpError);
    }
}
