//! What packets prove about reachability, from the packets on.

use std::collections::BTreeSet;

use netobs_common::wire::Proto;

use super::{
    host::{ACK, FIN, Host, RST, SECOND, SYN},
    journey::Connection,
};
use crate::report::{EvidenceKind, FlowRow, Outcome, ProtocolName, TcpState, Totals, Verdict};

/// Packets as (forward, flags), a millisecond apart; the row after so many seconds more.
fn after(connection: &Connection, packets: &[(bool, u8)], seconds: u64) -> FlowRow {
    let mut host = Host::new();
    for (forward, flags) in packets {
        host.now += 1_000_000;
        host.send(connection, *forward, *flags, 66);
    }
    let mut tick = host.later(seconds * SECOND);
    assert_eq!(tick.rows.len(), 1, "{:#?}", tick.rows);
    tick.rows.remove(0)
}

fn evidence(row: &FlowRow) -> Vec<(EvidenceKind, u64, Option<&str>)> {
    row.evidence.iter().map(|one| (one.kind, one.count, one.hop.as_deref())).collect()
}

const THERE: bool = true;
const BACK: bool = false;

/// What happens, its packets, the seconds after them, and what is said then.
type Case<'a> = (&'a str, &'a [(bool, u8)], u64, Verdict, TcpState);

#[test]
fn the_verdicts_of_tcp() {
    let handshake = [(THERE, SYN), (BACK, SYN | ACK), (THERE, ACK)];
    let reset_later = [handshake.as_slice(), &[(BACK, RST)]].concat();
    let closed = [handshake.as_slice(), &[(THERE, FIN | ACK), (BACK, FIN | ACK)]].concat();
    let cases: &[Case<'_>] = &[
        ("established", &handshake, 1, Verdict::Reachable, TcpState::Established),
        ("answered, not confirmed", &handshake[..2], 1, Verdict::Reachable, TcpState::SynReceived),
        ("answered, never confirmed", &handshake[..2], 3, Verdict::OneWay, TcpState::SynReceived),
        ("asked a moment ago", &handshake[..1], 2, Verdict::Unknown, TcpState::SynSent),
        ("asked and never answered", &handshake[..1], 3, Verdict::Unanswered, TcpState::SynSent),
        ("asked three times", &[(THERE, SYN); 3], 3, Verdict::Unanswered, TcpState::SynSent),
        ("refused", &[(THERE, SYN), (BACK, RST | ACK)], 1, Verdict::Refused, TcpState::Reset),
        ("reset after it was answered", &reset_later, 1, Verdict::Reachable, TcpState::Reset),
        ("closed by both", &closed, 1, Verdict::Reachable, TcpState::Closed),
        (
            "in the middle, both ways",
            &[(THERE, ACK), (BACK, ACK)],
            1,
            Verdict::Reachable,
            TcpState::Established,
        ),
        ("in the middle, one way", &[(THERE, ACK)], 9, Verdict::Unknown, TcpState::Unknown),
        ("in the middle, answers alone", &[(BACK, ACK)], 9, Verdict::Unknown, TcpState::Established),
    ];
    for way in [Connection::on_one_bridge, Connection::masqueraded, Connection::published] {
        for (what, packets, seconds, verdict, state) in cases {
            let row = after(&way(40_000), packets, *seconds);
            assert_eq!((row.verdict, row.tcp.as_ref().unwrap().state), (*verdict, *state), "{what}");
        }
    }
}

#[test]
fn the_verdicts_of_the_rest() {
    let echo = Connection::on_one_bridge(7).over(Proto::ICMP);
    let datagrams = Connection::on_one_bridge(5_000).over(Proto::UDP);
    for connection in [echo, datagrams] {
        assert_eq!(after(&connection, &[(THERE, 0), (BACK, 0)], 1).verdict, Verdict::Reachable);
        let silent = after(&connection, &[(THERE, 0); 5], 20);
        // Of datagrams an answer may not be expected.
        let told = if silent.protocol == ProtocolName::Icmp { Verdict::Unanswered } else { Verdict::Unknown };
        assert_eq!((silent.verdict, silent.tcp), (told, None));
    }
    assert_eq!(after(&Connection::multicast_of_container(1), &[(THERE, 0)], 1).verdict, Verdict::Unknown);
}

#[test]
fn the_evidence_says_where_it_was_first_seen() {
    let way = Connection::masqueraded(40_000);
    let open = after(&way, &[(THERE, SYN), (BACK, SYN | ACK), (THERE, ACK), (BACK, ACK)], 1);
    let answers = [
        (EvidenceKind::SynAck, 1, Some("eth0 ingress")),
        (EvidenceKind::ReplyPacket, 2, Some("eth0 ingress")),
        (EvidenceKind::Handshake, 1, Some("va ingress")),
    ];
    assert_eq!(evidence(&open), answers);
    let refused = after(&way, &[(THERE, SYN), (BACK, RST | ACK)], 1);
    assert_eq!(evidence(&refused), [(EvidenceKind::Rst, 1, Some("eth0 ingress"))], "a reset answers nothing");
    assert_eq!(evidence(&after(&way, &[(THERE, SYN)], 5)), []);
}

#[test]
fn a_reset_by_the_one_who_asked_is_no_refusal() {
    let row = after(&Connection::on_one_bridge(40_000), &[(THERE, SYN), (THERE, RST)], 1);
    assert_eq!(row.verdict, Verdict::Unknown);
    assert_eq!(evidence(&row), [(EvidenceKind::Rst, 1, Some("va ingress"))]);
}

#[test]
fn what_is_proven_is_counted_once_under_the_labels_of_the_beginning() {
    let mut host = Host::new();
    for port in [40_000, 40_001] {
        host.talk(&Connection::on_one_bridge(port));
    }
    let refused = Connection::on_one_bridge(40_002);
    host.send(&refused, true, SYN, 74);
    host.send(&refused, false, RST | ACK, 54);
    host.second();
    host.talk(&Connection::on_one_bridge(40_000));
    host.second();
    let totals = host.second().totals;
    let counted: Vec<_> = totals.attempts.iter().map(|((_, outcome), count)| (*outcome, *count)).collect();
    assert_eq!(counted, [(Outcome::Established, 2), (Outcome::Refused, 1)]);
    let counted: Vec<_> = totals.evidence.iter().map(|((_, kind), count)| (*kind, *count)).collect();
    let expected = [
        (EvidenceKind::SynAck, 2),
        (EvidenceKind::ReplyPacket, 2),
        (EvidenceKind::Handshake, 2),
        (EvidenceKind::Rst, 1),
        // The second call of one number while the first one is open.
        (EvidenceKind::SynRetransmit, 1),
    ];
    assert_eq!(counted, expected);
    assert_eq!(totals.workloads.values().map(|one| one.attempts).sum::<u64>(), 3);
    assert_eq!(totals.attempts.keys().map(|(labels, _)| labels).collect::<BTreeSet<_>>().len(), 1);
}

#[test]
fn a_pair_that_was_refused_is_refused_for_half_a_minute() {
    let mut host = Host::new();
    host.talk(&Connection::on_one_bridge(40_000));
    let refused = Connection::on_one_bridge(40_002);
    host.send(&refused, true, SYN, 74);
    host.send(&refused, false, RST | ACK, 54);
    let pairs = |tick: &Totals, wanted: Verdict| -> u64 {
        tick.pairs.iter().filter(|((_, verdict), _)| *verdict == wanted).map(|(_, count)| count).sum()
    };
    let tick = host.second().totals;
    assert_eq!((pairs(&tick, Verdict::Refused), pairs(&tick, Verdict::Reachable)), (1, 0));
    host.later(30 * SECOND);
    let tick = host.second().totals;
    assert_eq!((pairs(&tick, Verdict::Refused), pairs(&tick, Verdict::Reachable)), (0, 1));
}
