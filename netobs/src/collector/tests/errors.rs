//! ICMP errors on their way back: joined to the conversation whose packet they quote, whatever is translated, and
//! counted once.

use std::collections::BTreeMap;

use netobs_common::{
    hook::Hook,
    icmp_error::{IcmpError, IcmpErrorKey},
    key::{Address, Origin},
    pod,
    wire::{Proto, TcpFlags},
};

use super::{
    host::{ACK, Host, SECOND, SYN, Tick},
    journey::{Connection, Form, Step, made},
    kernel::{Frame, flow_key},
};
use crate::{
    collector::{Collector, Names},
    flow::{
        translation::Translations,
        tuple::{Peer, Tuple},
    },
    report::{EvidenceKind, FlowRow, KindName, Outcome, Path, Verdict},
};

type Table = BTreeMap<[u8; size_of::<IcmpErrorKey>()], IcmpError>;

/// A tick's reading of the table, as the agent does it.
pub(super) fn hear(
    table: &mut Table,
    collector: &mut Collector,
    names: &Names<'_>,
    translations: &Translations,
    now: u64,
) {
    let errors: Vec<_> = table.iter().filter_map(|(key, error)| Some((pod::read(key)?, *error))).collect();
    collector.hear_errors(&errors, &[], names, translations);
    for key in collector.quiet_errors(now) {
        let last = table.remove(pod::bytes(&key));
        collector.error_taken(&key, last, names, translations);
    }
}

const PORT_UNREACHABLE: (u8, u8) = (3, 3);
const PROHIBITED: (u8, u8) = (3, 13);

/// An error about a packet of the connection's initiator passes these hooks.
fn comes_back(host: &mut Host, connection: &Connection, steps: &[Step], (kind, code): (u8, u8)) {
    for step in steps {
        let quoted = connection.seen_as(true, step.form);
        let number = host.number(step.interface);
        let reporter = Peer { address: "203.0.113.1".parse().unwrap(), port: 0 };
        let error = Tuple { source: reporter, destination: quoted.source, proto: Proto::ICMP, ..quoted };
        let frame =
            Frame { tuple: error, flags: TcpFlags(0), length: 70, group: false, asks: false, mac: [2; 6] };
        let interface = host.kernel.interfaces[&number];
        let receiver = host.kernel.classify(&interface, step.hook, &frame).1.id;
        let forwarded = step.hook == Hook::EGRESS && step.from.is_some();
        let origin = if forwarded { Origin::FORWARDED } else { Origin::LOCAL };
        let key =
            IcmpErrorKey { quoted: flow_key(number, step.hook, &quoted), kind, code, origin, padding: 0 };
        let address: Address = netobs_common::parse::mapped([203, 0, 113, 1]);
        let entry = host.errors.entry(pod::bytes(&key).try_into().unwrap()).or_insert(IcmpError {
            first_seen: host.now,
            reporter: address,
            ..IcmpError::default()
        });
        entry.count += 1;
        entry.last_seen = host.now;
        entry.receiver = receiver;
        host.now += 1_000;
    }
}

fn counted(tick: &Tick) -> Vec<(KindName, KindName, Path, &'static str, u64)> {
    let of = |((labels, class), count): (
        &(crate::report::PairLabels, netobs_common::icmp_error::IcmpErrorType),
        &u64,
    )| { (labels.source_kind, labels.destination_kind, labels.path, class.name(), *count) };
    tick.totals.icmp_errors.iter().map(of).collect()
}

fn told(row: &FlowRow) -> Vec<(u64, Option<&str>, Option<&str>)> {
    let errors = row.evidence.iter().filter(|one| one.kind == EvidenceKind::IcmpError);
    errors.map(|one| (one.count, one.hop.as_deref(), one.detail.as_deref())).collect()
}

#[test]
fn an_error_is_joined_before_and_after_translation_and_counted_where_it_enters() {
    let ways = [
        (Connection::masqueraded(40_000), KindName::Container, KindName::External, "eth0 ingress"),
        (Connection::published(40_000), KindName::External, KindName::Container, "va ingress"),
        (Connection::published_across(40_000), KindName::Container, KindName::Container, "va ingress"),
        (Connection::hairpin(40_000), KindName::Container, KindName::Container, "va ingress"),
        (Connection::on_one_bridge(40_000), KindName::Container, KindName::Container, "vb ingress"),
        (Connection::between_bridges(40_000), KindName::Container, KindName::Container, "vc ingress"),
        (Connection::host_to_outside(40_000), KindName::Host, KindName::External, "eth0 ingress"),
        (Connection::container_to_host(40_000), KindName::Container, KindName::Host, "va egress"),
        (Connection::loopback(40_000), KindName::Host, KindName::Host, "lo egress"),
    ];
    for (way, source, destination, hop) in ways {
        let mut host = Host::new();
        host.send(&way, true, SYN, 74);
        comes_back(&mut host, &way, &way.reply.clone(), PORT_UNREACHABLE);
        comes_back(&mut host, &way, &way.reply.clone(), PORT_UNREACHABLE);
        let tick = host.later(2 * SECOND);
        let [row] = &tick.rows[..] else { panic!("{:#?}", tick.rows) };
        let wanted = [(2, Some(hop), Some("port unreachable from 203.0.113.1"))];
        assert_eq!((row.verdict, told(row)), (Verdict::Refused, wanted.to_vec()), "{hop}");
        assert_eq!(counted(&tick), [(source, destination, row.path, "port_unreachable", 2)], "{hop}");
        let attempts: Vec<_> = tick.totals.attempts.iter().map(|((_, one), count)| (*one, *count)).collect();
        assert_eq!(attempts, [(Outcome::Refused, 1)], "{hop}");
    }
}

/// `-j REJECT` on the host: the error is made there, and seen on the way to the source alone.
#[test]
fn an_error_that_this_host_makes_counts_at_the_senders_interface() {
    let mut host = Host::new();
    let mut way = Connection::masqueraded(40_000);
    way.forward.truncate(2);
    host.send(&way, true, SYN, 74);
    let back = [made("docker0", Form::Original), made("va", Form::Original)];
    comes_back(&mut host, &way, &back, PROHIBITED);
    let tick = host.later(2 * SECOND);
    let detail = "administratively prohibited (13) from 203.0.113.1";
    assert_eq!(told(&tick.rows[0]), [(1, Some("va egress"), Some(detail))]);
    assert_eq!(tick.rows[0].verdict, Verdict::Unreachable);
    assert_eq!(counted(&tick).iter().map(|one| (one.3, one.4)).collect::<Vec<_>>(), [("prohibited", 1)]);
}

#[test]
fn an_error_read_before_its_conversation_waits_for_it() {
    let mut host = Host::new();
    let way = Connection::masqueraded(40_000);
    host.send(&way, true, SYN, 74);
    comes_back(&mut host, &way, &way.reply.clone(), PORT_UNREACHABLE);
    let tick = host.later(SECOND / 10);
    assert!(tick.rows.is_empty() && counted(&tick).is_empty(), "a tenth of a second old");
    let tick = host.later(2 * SECOND);
    assert_eq!(counted(&tick).len(), 1);
    assert_eq!(tick.rows[0].verdict, Verdict::Refused);
}

#[test]
fn what_is_about_no_known_conversation_is_counted_all_the_same() {
    let mut host = Host::new();
    let way = Connection::masqueraded(40_000);
    comes_back(&mut host, &way, &way.reply.clone(), PORT_UNREACHABLE);
    let first = host.second();
    assert_eq!(counted(&first), [], "its conversation may come yet");
    let mut tick = host.later(4 * SECOND);
    let host_as_seen = [(KindName::Host, KindName::Unknown, Path::Unknown, "port_unreachable", 1)];
    assert_eq!(counted(&tick), host_as_seen, "masqueraded, it is the host's");
    for _ in 0..12 {
        tick = host.second();
    }
    assert!(host.errors.is_empty(), "{} entries stay", host.errors.len());
    assert_eq!(counted(&tick), host_as_seen);
}

#[test]
fn an_entry_taken_out_and_made_again_goes_on_counting() {
    let mut host = Host::new();
    let way = Connection::masqueraded(40_000).over(Proto::UDP);
    host.send(&way, true, 0, 74);
    comes_back(&mut host, &way, &way.reply.clone(), PORT_UNREACHABLE);
    let mut tick = host.second();
    for _ in 0..11 {
        tick = host.second();
    }
    assert!(host.errors.is_empty());
    assert_eq!(told(&tick.rows[0])[0].0, 1);
    host.send(&way, true, 0, 74);
    comes_back(&mut host, &way, &way.reply.clone(), PORT_UNREACHABLE);
    let tick = host.second();
    assert_eq!(told(&tick.rows[0])[0].0, 2);
    assert_eq!(counted(&tick)[0].4, 2);
    assert_eq!(tick.rows[0].verdict, Verdict::Refused);
}

#[test]
fn a_conversation_at_rest_hears_of_an_error() {
    let mut host = Host::new();
    let way = Connection::masqueraded(40_000);
    host.talk(&way);
    for _ in 0..10 {
        host.second();
    }
    comes_back(&mut host, &way, &way.reply.clone(), PROHIBITED);
    let tick = host.second();
    assert_eq!(tick.rows[0].verdict, Verdict::Unreachable);
    let pairs: Vec<_> = tick.totals.pairs.iter().filter(|(_, count)| **count > 0).collect();
    assert_eq!(pairs.iter().map(|((_, verdict), _)| *verdict).collect::<Vec<_>>(), [Verdict::Unreachable]);
    host.send(&way, false, ACK, 66);
    assert_eq!(host.second().rows[0].verdict, Verdict::Reachable, "it answered");
}

/// Where the hook that the quoted packet passed is not known, its tuple will do; where several have it, none is chosen.
#[test]
fn an_error_on_another_way_is_joined_by_the_tuple() {
    let mut host = Host::new();
    let way = Connection::on_one_bridge(40_000);
    host.send(&way, true, SYN, 74);
    comes_back(&mut host, &way, &[made("docker0", Form::Original), made("va", Form::Original)], PROHIBITED);
    let tick = host.later(2 * SECOND);
    assert_eq!(told(&tick.rows[0]).len(), 1, "from the host, at the sender's own interface");
    let mut elsewhere = Connection::on_one_bridge(40_001);
    host.send(&elsewhere, true, SYN, 74);
    elsewhere.reply =
        vec![Step { interface: "vc", hook: Hook::INGRESS, from: Some("vc"), form: Form::Original }];
    comes_back(&mut host, &elsewhere, &elsewhere.reply.clone(), PROHIBITED);
    host.second();
    let tick = host.later(2 * SECOND);
    let row = tick.rows.iter().find(|row| row.source.port == 40_001).unwrap();
    assert_eq!(told(row).len(), 1, "{row:#?}");
}
