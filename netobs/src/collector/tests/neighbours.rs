//! Neighbours that do not answer: counted once, and told to whatever waited for them.

use super::{
    host::{ACK, Host, SECOND, SYN, Tick},
    journey::{A, B, C, Connection},
};
use netobs_common::wire::Proto;

use crate::report::{EvidenceKind, FlowRow, KindName, Outcome, Path, Verdict};

/// Nobody has it.
const NOBODY: &str = "172.17.0.99";
/// The links of the made-up host, by index.
const UPLINK: u32 = 2;
const DOCKER0: u32 = 3;
const BR1: u32 = 4;

fn counted(tick: &Tick) -> Vec<(KindName, KindName, Path, u64)> {
    let of = |(one, count): (&crate::report::PairLabels, &u64)| {
        (one.source_kind, one.destination_kind, one.path, *count)
    };
    tick.totals.neighbour_failures.iter().map(of).collect()
}

fn told(row: &FlowRow) -> Vec<(u64, Option<&str>, Option<&str>)> {
    let facts = row.evidence.iter().filter(|one| one.kind == EvidenceKind::NeighborUnanswered);
    facts.map(|one| (one.count, one.hop.as_deref(), one.detail.as_deref())).collect()
}

fn unreachable(tick: &Tick) -> Vec<(KindName, KindName, Path)> {
    let pairs = tick.totals.pairs.iter().filter(|(_, count)| **count > 0);
    let bad = pairs.filter(|((_, verdict), _)| *verdict == Verdict::Unreachable);
    bad.map(|((one, _), _)| (one.source_kind, one.destination_kind, one.path)).collect()
}

/// Asks so often, a second apart, with a tick after each.
fn asks(host: &mut Host, question: &Connection, times: u32) -> Tick {
    let mut tick = None;
    for _ in 0..times {
        host.send(question, true, 0, 42);
        tick = Some(host.second());
    }
    tick.unwrap()
}

/// As an observed host is: its interfaces have had programs for a while.
fn quiet() -> Host {
    let mut host = Host::new();
    host.second();
    host
}

#[test]
fn an_endpoint_that_asks_for_nobody_cannot_reach_it() {
    let mut host = quiet();
    let question = Connection::question(A, NOBODY);
    let tick = asks(&mut host, &question, 2);
    assert_eq!((counted(&tick).len(), tick.rows[0].verdict), (0, Verdict::Unknown), "it may answer yet");
    asks(&mut host, &question, 1);
    let tick = host.second();
    let [row] = &tick.rows[..] else { panic!("{:#?}", tick.rows) };
    let detail = "172.17.0.99 did not answer";
    assert_eq!(told(row), [(1, Some("va ingress"), Some(detail))]);
    assert_eq!(row.verdict, Verdict::Unreachable);
    assert_eq!((&*row.source.endpoint, &*row.destination.endpoint), ("container/a", "unknown"));
    assert_eq!(counted(&tick), [(KindName::Container, KindName::Unknown, Path::Bridge, 1)]);
    assert_eq!(unreachable(&tick), [(KindName::Container, KindName::Unknown, Path::Bridge)]);
    let witnessed =
        tick.totals.evidence.iter().filter(|((_, kind), _)| *kind == EvidenceKind::NeighborUnanswered);
    assert_eq!(witnessed.map(|(_, count)| *count).collect::<Vec<_>>(), [1]);
    for _ in 0..30 {
        host.second();
    }
    assert!(unreachable(&host.second()).is_empty(), "half a minute ago");
}

#[test]
fn whoever_goes_on_asking_fails_again_and_again() {
    let mut host = quiet();
    asks(&mut host, &Connection::question(A, NOBODY), 9);
    let tick = host.second();
    assert_eq!(counted(&tick), [(KindName::Container, KindName::Unknown, Path::Bridge, 3)]);
    assert_eq!(told(&tick.rows[0])[0].0, 3);
}

#[test]
fn a_known_endpoint_that_does_not_answer_is_named() {
    let mut host = quiet();
    asks(&mut host, &Connection::question(A, B), 3);
    let tick = host.second();
    assert_eq!(&*tick.rows[0].destination.endpoint, "container/b");
    assert_eq!(unreachable(&tick), [(KindName::Container, KindName::Container, Path::Bridge)]);
}

#[test]
fn an_answer_takes_it_back() {
    let mut host = quiet();
    let question = Connection::question(A, B);
    asks(&mut host, &question, 3);
    assert_eq!(host.second().rows[0].verdict, Verdict::Unreachable);
    host.send(&question, true, 0, 42);
    host.send(&question, false, 0, 42);
    let tick = host.second();
    assert_eq!(tick.rows[0].verdict, Verdict::Unknown, "a group was asked");
    assert_eq!(&*tick.rows[0].destination.endpoint, "group");
    assert_eq!((counted(&tick)[0].3, unreachable(&tick).len()), (1, 0));
    for _ in 0..5 {
        assert_eq!(counted(&host.second())[0].3, 1);
    }
}

#[test]
fn who_is_answered_announces_itself_or_is_elsewhere_fails_at_nothing() {
    for (question, answered) in [
        (Connection::question(A, B), true),
        (Connection::question(A, A), false),
        (Connection::question("0.0.0.0", A), false),
        (Connection::question_of_others("198.51.100.8"), false),
    ] {
        let mut host = quiet();
        for _ in 0..6 {
            host.send(&question, true, 0, 42);
            if answered {
                host.send(&question, false, 0, 42);
            }
            host.second();
        }
        let tick = host.later(4 * SECOND);
        assert!(counted(&tick).is_empty() && unreachable(&tick).is_empty(), "{:#?}", tick.rows);
    }
}

#[test]
fn an_endpoint_that_is_asked_and_answers_asks_nothing() {
    let mut host = quiet();
    let question = Connection::question(A, B);
    host.send(&question, true, 0, 42);
    host.send(&question, false, 0, 42);
    host.second();
    let mut back = Connection::question(A, B);
    (back.original, back.translated) = (question.original.reversed(), question.original.reversed());
    std::mem::swap(&mut back.forward, &mut back.reply);
    back.forward.truncate(1);
    host.part(&back, true, 0, 42, 0..1);
    host.part(&back, false, 0, 42, 0..1);
    for _ in 0..6 {
        assert!(counted(&host.second()).is_empty());
    }
}

#[test]
fn what_was_asked_while_programs_were_put_on_is_left_alone() {
    let mut host = Host::new();
    let number = host.number("va");
    host.collector.interfaces.get_mut(number).unwrap().since = host.now;
    asks(&mut host, &Connection::question(A, B), 1);
    for _ in 0..5 {
        assert!(counted(&host.second()).is_empty(), "the answer may have passed in between");
    }
}

#[test]
fn the_hosts_stack_counts_for_itself() {
    let mut host = quiet();
    let question = Connection::question_of_host(NOBODY);
    asks(&mut host, &question, 3);
    host.collector.neighbour_failed(DOCKER0, NOBODY.parse().unwrap(), host.now);
    let tick = host.second();
    let detail = "172.17.0.99 did not answer";
    assert_eq!(told(&tick.rows[0]), [(1, Some("docker0 egress"), Some(detail))]);
    assert_eq!(counted(&tick), [(KindName::Host, KindName::Unknown, Path::HostDirect, 1)]);
    assert_eq!(unreachable(&tick), [(KindName::Host, KindName::Unknown, Path::HostDirect)]);
}

#[test]
fn what_the_host_forwards_waits_for_its_neighbour() {
    let mut host = quiet();
    let way = Connection::between_bridges(40_000);
    host.must_count(&way, true, 74);
    host.part(&way, true, SYN, 74, 0..2);
    host.second();
    host.now += 2 * SECOND;
    host.collector.neighbour_failed(BR1, C.parse().unwrap(), host.now);
    let tick = host.later(SECOND / 2);
    let [row] = &tick.rows[..] else { panic!("{:#?}", tick.rows) };
    assert_eq!(told(row), [(1, Some("br1 egress"), Some("172.18.0.2 did not answer"))]);
    assert_eq!(row.verdict, Verdict::Unreachable);
    let attempts: Vec<_> = tick.totals.attempts.iter().map(|((_, one), count)| (*one, *count)).collect();
    assert_eq!(attempts, [(Outcome::Unreachable, 1)]);
    assert_eq!(counted(&tick), [(KindName::Host, KindName::Container, Path::HostDirect, 1)]);
    let again = host.second();
    assert_eq!(told(&again.rows[0])[0].0, 1, "told once");
    host.send(&way, false, SYN | ACK, 74);
    assert_eq!(host.second().rows[0].verdict, Verdict::Reachable, "it answered after all");
}

#[test]
fn behind_a_gateway_that_does_not_answer_nobody_is_reached() {
    let mut host = Host::new();
    let gateway = "198.51.100.254".parse().unwrap();
    host.gateways = vec![gateway];
    host.look();
    let (out, inside) = (Connection::masqueraded(40_000), Connection::between_bridges(40_001));
    host.must_count(&out, true, 74);
    host.part(&out, true, SYN, 74, 0..2);
    host.send(&inside, true, SYN, 74);
    host.second();
    host.collector.neighbour_failed(UPLINK, gateway, host.now);
    let tick = host.second();
    let of = |port: u16| tick.rows.iter().find(|row| row.source.port == port).unwrap();
    assert_eq!(told(of(40_000)), [(1, Some("eth0 egress"), Some("198.51.100.254 did not answer"))]);
    assert_eq!(of(40_000).verdict, Verdict::Unreachable);
    assert!(told(of(40_001)).is_empty(), "it goes another way");
    assert_eq!(counted(&tick), [(KindName::Host, KindName::External, Path::Uplink, 1)]);
}

/// Two equal ways out of an observed host, the first of which nobody answers at.
fn two_ways_out() -> (Host, std::net::IpAddr) {
    let mut host = quiet();
    host.gateways = ["198.51.100.253", "198.51.100.254"].map(|one| one.parse().unwrap()).into();
    host.look();
    for _ in 0..3 {
        host.second();
    }
    let gone = host.gateways[0];
    (host, gone)
}

/// Datagrams that no firewall tracks, as both ways out see them.
fn outward(port: u16) -> Connection {
    let mut one = Connection::masqueraded(port).over(Proto::UDP);
    one.translated.source = one.original.source;
    one
}

fn of_port(tick: &Tick, port: u16) -> &FlowRow {
    tick.rows.iter().find(|row| row.source.port == port).unwrap()
}

#[test]
fn of_equal_next_hops_only_what_does_not_leave_waited_for_the_one_that_is_gone() {
    let (mut host, gone) = two_ways_out();
    let (well, lost) = (outward(40_000), outward(40_001));
    for _ in 0..4 {
        host.send(&well, true, 0, 100);
        host.must_count(&lost, true, 100);
        host.part(&lost, true, 0, 100, 0..2);
        host.second();
    }
    host.collector.neighbour_failed(UPLINK, gone, host.now);
    host.send(&well, true, 0, 100);
    host.second();
    let tick = host.second();
    assert!(told(of_port(&tick, 40_000)).is_empty(), "it goes by the one that answers");
    assert_ne!(of_port(&tick, 40_000).verdict, Verdict::Unreachable);
    let detail = "198.51.100.253 did not answer";
    assert_eq!(told(of_port(&tick, 40_001)), [(1, Some("eth0 egress"), Some(detail))]);
    assert_eq!(of_port(&tick, 40_001).verdict, Verdict::Unreachable);
}

#[test]
fn of_equal_next_hops_what_left_until_lately_is_told_the_next_time() {
    let (mut host, gone) = two_ways_out();
    let (well, lost) = (outward(40_000), outward(40_001));
    // As long as the neighbour is known from before, what goes there leaves.
    for _ in 0..4 {
        host.send(&well, true, 0, 100);
        host.send(&lost, true, 0, 100);
        host.second();
    }
    host.collector.neighbour_failed(UPLINK, gone, host.now);
    for _ in 0..4 {
        host.must_count(&lost, true, 100);
        host.part(&lost, true, 0, 100, 0..2);
        host.send(&well, true, 0, 100);
        let tick = host.second();
        assert!(told(of_port(&tick, 40_001)).is_empty(), "it may have gone by either");
    }
    host.collector.neighbour_failed(UPLINK, gone, host.now);
    let tick = host.second();
    assert!(told(of_port(&tick, 40_000)).is_empty());
    assert_eq!(told(of_port(&tick, 40_001))[0].0, 1);
    assert_eq!(of_port(&tick, 40_001).verdict, Verdict::Unreachable);
}

#[test]
fn what_is_switched_waits_for_its_sender_and_not_for_the_host() {
    let mut host = quiet();
    let way = Connection::on_one_bridge(40_000);
    host.send(&way, true, SYN, 74);
    host.second();
    host.collector.neighbour_failed(DOCKER0, B.parse().unwrap(), host.now);
    let tick = host.second();
    assert!(told(&tick.rows[0]).is_empty(), "the host's neighbour is not the container's");
    host.send(&way, true, SYN, 74);
    asks(&mut host, &Connection::question(A, B), 3);
    let tick = host.second();
    let row = tick.rows.iter().find(|row| row.source.port == 40_000).unwrap();
    assert_eq!(told(row), [(1, Some("va ingress"), Some("172.17.0.3 did not answer"))]);
    assert_eq!(row.verdict, Verdict::Unreachable);
}

#[test]
fn an_answer_of_the_hosts_that_finds_nobody_is_evidence_alone() {
    let mut host = quiet();
    let way = Connection::container_to_host(40_000);
    host.send(&way, true, SYN, 74);
    host.now += 1_000_000;
    host.send(&way, false, SYN | ACK, 74);
    host.second();
    host.collector.neighbour_failed(DOCKER0, A.parse().unwrap(), host.now);
    let tick = host.second();
    let row = tick.rows.iter().find(|row| row.source.port == 40_000).unwrap();
    let detail = "172.17.0.2 did not answer, asked for an answer's sake";
    assert_eq!(told(row), [(1, Some("docker0 egress"), Some(detail))]);
    assert_ne!(row.verdict, Verdict::Unreachable);
}
