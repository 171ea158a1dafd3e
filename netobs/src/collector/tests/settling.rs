//! What is not known yet waits, is booked once, and is never moved.

use std::collections::BTreeMap;

use netobs_common::wire::Proto;

use super::{
    host::{Host, SECOND, books},
    journey::Connection,
};
use crate::report::{KindName, Totals};

const MILLISECOND: u64 = 1_000_000;

fn bytes_by_kinds(totals: &Totals) -> BTreeMap<(KindName, KindName), u64> {
    let mut sums = BTreeMap::new();
    for (labels, counters) in &totals.paths {
        *sums.entry((labels.source_kind, labels.destination_kind)).or_default() += counters.bytes;
    }
    sums
}

fn name_both(host: &mut Host) {
    host.container("va", "a", 3, "172.17.0.2");
    host.container("vb", "b", 3, "172.17.0.3");
    host.look();
}

fn datagrams() -> Connection {
    Connection::on_one_bridge(5_000).over(Proto::UDP)
}

#[test]
fn a_name_that_comes_within_the_wait_is_booked_right() {
    let mut host = Host::without_containers();
    host.send(&datagrams(), true, 0, 1_000);
    let tick = host.second();
    assert_eq!((tick.totals.paths.len(), tick.totals.pending_bytes), (0, 1_000));
    name_both(&mut host);
    let tick = host.second();
    assert_eq!(books(&tick.totals), host.truth);
    assert_eq!((tick.totals.pending_bytes, tick.totals.unattributed_bytes), (0, 0));
}

#[test]
fn a_name_that_comes_too_late_leaves_what_is_booked_and_names_what_follows() {
    let mut host = Host::without_containers();
    host.send(&datagrams(), true, 0, 1_000);
    host.second();
    host.second();
    let tick = host.second();
    let unknown = (KindName::Unknown, KindName::Unknown);
    assert_eq!(bytes_by_kinds(&tick.totals), BTreeMap::from([(unknown, 1_000)]));
    assert_eq!((tick.totals.pending_bytes, tick.totals.unattributed_bytes), (0, 1_000));
    name_both(&mut host);
    host.send(&datagrams(), true, 0, 300);
    let tick = host.second();
    let named = (KindName::Container, KindName::Container);
    assert_eq!(bytes_by_kinds(&tick.totals), BTreeMap::from([(unknown, 1_000), (named, 300)]));
    assert_eq!(tick.totals.unattributed_bytes, 1_000);
}

#[test]
fn what_was_just_seen_waits_for_the_next_reading() {
    let mut host = Host::new();
    host.send(&datagrams(), true, 0, 1_000);
    let tick = host.later(199 * MILLISECOND);
    assert_eq!((tick.rows.len(), tick.totals.pending_bytes), (0, 0));
    let tick = host.later(MILLISECOND);
    assert_eq!((tick.rows.len(), tick.totals.pending_bytes), (1, 1_000));
    assert_eq!(tick.totals.paths.len(), 0, "half a second at least");
    let tick = host.later(300 * MILLISECOND);
    assert_eq!((books(&tick.totals), tick.totals.pending_bytes), (host.truth, 0));
}

#[test]
fn conntrack_that_comes_within_the_wait_joins_both_halves() {
    let mut host = Host::new();
    host.tracking = false;
    let connection = Connection::masqueraded(40_000);
    host.talk(&connection);
    assert_eq!(host.later(100 * MILLISECOND).rows.len(), 0);
    host.translations.add(connection.tracked());
    host.second();
    let tick = host.second();
    assert_eq!(tick.rows.len(), 1, "{:#?}", tick.rows);
    assert_eq!(tick.rows[0].hops.len(), 6);
    assert_eq!(books(&tick.totals), host.truth);
}

#[test]
fn a_reading_that_meets_a_packet_between_two_hops_books_it_at_the_right_one() {
    let ways = [
        Connection::host_to_container(40_000),
        Connection::container_to_host(40_000),
        Connection::on_one_bridge(40_000),
        Connection::between_bridges(40_000),
        Connection::masqueraded(40_000),
        Connection::published(40_000),
        Connection::published_across(40_000),
        Connection::hairpin(40_000),
        Connection::loopback(40_000),
        Connection::multicast_of_container(40_000),
        Connection::multicast_of_host(40_000),
    ];
    for way in ways {
        for forward in [true, false].into_iter().filter(|forward| !way.steps(*forward).is_empty()) {
            for passed in 1..way.steps(forward).len() {
                // A packet that is old enough and the first of its flow, met after `passed` hooks.
                let mut host = Host::new();
                host.must_count(&way, forward, 900);
                host.part(&way, forward, 0, 900, 0..passed);
                host.later(250 * MILLISECOND);
                host.part(&way, forward, 0, 900, passed..way.steps(forward).len());
                host.second();
                let tick = host.second();
                assert_eq!(books(&tick.totals), host.truth, "after {passed} of {way:?}");
            }
        }
    }
}

#[test]
fn nothing_is_booked_before_it_is_counted_and_everything_is_in_the_end() {
    let mut host = Host::new();
    let ways = [Connection::masqueraded(40_000), Connection::published(40_001), Connection::hairpin(40_002)];
    for round in 0..20_u64 {
        for way in &ways {
            host.send(way, true, 0, 100);
            host.send(way, false, 0, 200);
        }
        let tick = host.later((round % 4 + 1) * 250 * MILLISECOND);
        for (key, counters) in books(&tick.totals) {
            assert!(counters.bytes <= host.truth[&key].bytes, "{key:?}");
        }
    }
    let tick = host.later(SECOND);
    assert_eq!(books(&tick.totals), host.truth);
}

#[test]
fn the_row_of_a_flow_at_rest_is_written_once_and_again_when_its_ends_have_names() {
    let mut host = Host::without_containers();
    host.send(&datagrams(), true, 0, 1_000);
    host.second();
    let row = |host: &Host| host.collector.flows.iter().next().unwrap().written.clone();
    assert!(row(&host).is_none(), "its rate is to be said, and said to be over");
    host.later(6 * SECOND);
    host.second();
    let written = row(&host).unwrap();
    host.second();
    assert!(std::sync::Arc::ptr_eq(&written, &row(&host).unwrap()));
    assert_ne!(&*written.source.endpoint, "container/a");
    name_both(&mut host);
    // The names of what is at rest are looked up now and then.
    let named = (0..4).map(|_| host.second()).last().unwrap();
    assert_eq!(&*named.rows[0].source.endpoint, "container/a");
}
