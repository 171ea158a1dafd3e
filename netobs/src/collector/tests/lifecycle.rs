//! Flows begin, end, are listed for a while and begin again, and nothing is booked twice.

use netobs_common::wire::Proto;

use super::{
    host::{ACK, FIN, Host, RST, SECOND, SYN, books},
    journey::Connection,
};
use crate::report::{Close, FlowRow, TcpState, Totals};

fn closed(totals: &Totals, close: Close) -> u64 {
    totals.closed.iter().filter(|((_, how), _)| *how == close).map(|(_, count)| count).sum()
}

fn opened(totals: &Totals) -> u64 {
    totals.opened.values().sum()
}

fn state(row: &FlowRow) -> TcpState {
    row.tcp.as_ref().unwrap().state
}

fn finish(host: &mut Host, connection: &Connection) {
    for (forward, flags) in [(true, FIN | ACK), (false, FIN | ACK), (true, ACK)] {
        host.now += 1_000_000;
        host.send(connection, forward, flags, 66);
    }
}

#[test]
fn both_fins_end_a_flow_two_seconds_later_and_it_is_listed_thirty_more() {
    let (mut host, connection) = (Host::new(), Connection::on_one_bridge(40_000));
    host.talk(&connection);
    finish(&mut host, &connection);
    assert_eq!(closed(&host.second().totals, Close::Fin), 0);
    let tick = host.second();
    assert_eq!(state(&tick.rows[0]), TcpState::Closed);
    assert_eq!(closed(&tick.totals, Close::Fin), 1);
    assert!(host.kernel.flows.is_empty(), "its entries make room");
    assert_eq!(tick.totals.flows.values().sum::<u64>(), 0);
    assert_eq!(host.later(29 * SECOND).rows.len(), 1);
    let tick = host.second();
    assert_eq!(tick.rows.len(), 0);
    assert_eq!(books(&tick.totals), host.truth);
    assert_eq!((opened(&tick.totals), closed(&tick.totals, Close::Fin)), (1, 1));
}

#[test]
fn one_fin_ends_nothing() {
    let (mut host, connection) = (Host::new(), Connection::on_one_bridge(40_000));
    host.talk(&connection);
    host.send(&connection, true, FIN | ACK, 66);
    let tick = host.later(200 * SECOND);
    assert_eq!(state(&tick.rows[0]), TcpState::Closing);
    assert_eq!(tick.totals.closed.len(), 0);
    assert_eq!(closed(&host.later(100 * SECOND).totals, Close::Idle), 1);
}

#[test]
fn a_reset_ends_a_flow_at_once_and_stragglers_belong_to_it() {
    let (mut host, connection) = (Host::new(), Connection::on_one_bridge(40_000));
    host.talk(&connection);
    host.send(&connection, false, RST | ACK, 66);
    let tick = host.second();
    assert_eq!((closed(&tick.totals, Close::Rst), state(&tick.rows[0])), (1, TcpState::Reset));
    host.send(&connection, true, ACK, 500);
    host.second();
    let tick = host.second();
    assert_eq!(tick.rows.len(), 1);
    assert_eq!(books(&tick.totals), host.truth, "the straggler is booked");
    host.later(5 * SECOND);
    assert!(host.kernel.flows.is_empty());
    assert_eq!(closed(&host.second().totals, Close::Rst), 1);
}

#[test]
fn a_syn_after_a_reset_is_a_new_flow() {
    let (mut host, connection) = (Host::new(), Connection::on_one_bridge(40_000));
    host.talk(&connection);
    host.send(&connection, false, RST, 66);
    host.second();
    host.talk(&connection);
    host.second();
    let tick = host.second();
    assert_eq!(tick.rows.len(), 2, "{:#?}", tick.rows);
    assert_eq!(tick.rows.iter().filter(|row| state(row) == TcpState::Established).count(), 1);
    assert_eq!((opened(&tick.totals), books(&tick.totals)), (2, host.truth));
}

#[test]
fn a_refused_attempt_again_from_the_same_port_is_a_new_flow_with_its_own_answer() {
    let (mut host, connection) = (Host::new(), Connection::on_one_bridge(40_000));
    for _ in 0..3 {
        host.now += 1_000_000;
        host.send(&connection, true, SYN, 74);
        host.now += 1_000_000;
        host.send(&connection, false, RST | ACK, 54);
        host.second();
    }
    host.second();
    let tick = host.second();
    assert_eq!(tick.rows.len(), 3, "{:#?}", tick.rows);
    for row in &tick.rows {
        assert_eq!((row.forward.packets, row.reply.packets), (1, 1), "{row:#?}");
    }
    assert_eq!(books(&tick.totals), host.truth);
}

#[test]
fn a_connection_after_the_end_of_one_with_the_same_ports_is_another_flow() {
    let (mut host, connection) = (Host::new(), Connection::masqueraded(40_000));
    for round in 1..4 {
        host.talk(&connection);
        finish(&mut host, &connection);
        host.second();
        host.second();
        host.second();
        let tick = host.second();
        assert_eq!((opened(&tick.totals), closed(&tick.totals, Close::Fin)), (round, round));
        assert_eq!(books(&tick.totals), host.truth);
    }
}

#[test]
fn silence_ends_a_flow_and_what_comes_later_is_another_one() {
    let (mut host, connection) = (Host::new(), Connection::on_one_bridge(5_000).over(Proto::UDP));
    host.send(&connection, true, 0, 100);
    host.second();
    assert_eq!(closed(&host.later(28 * SECOND).totals, Close::Idle), 0);
    assert_eq!(closed(&host.second().totals, Close::Idle), 1);
    assert!(host.kernel.flows.is_empty());
    host.send(&connection, true, 0, 100);
    host.second();
    let tick = host.second();
    assert_eq!((tick.rows.len(), opened(&tick.totals)), (2, 2));
    assert_eq!(books(&tick.totals), host.truth);
}

#[test]
fn packets_that_come_while_an_entry_is_removed_are_neither_lost_nor_booked_twice() {
    let (mut host, connection) = (Host::new(), Connection::on_one_bridge(5_000).over(Proto::UDP));
    host.send(&connection, true, 0, 100);
    host.second();
    host.second();
    // The entry goes, and one of the same key comes at once, while the flow lives.
    let keys: Vec<_> = host.kernel.flows.keys().copied().collect();
    for key in keys {
        let last = host.kernel.flows.remove(&key);
        host.collector.flows.taken(&key, last);
    }
    host.send(&connection, true, 0, 700);
    host.second();
    let tick = host.second();
    assert_eq!((tick.rows.len(), tick.rows[0].forward.bytes), (1, 800));
    assert_eq!(books(&tick.totals), host.truth);
}

#[test]
fn a_hundred_connections_from_one_port_range_are_a_hundred_flows() {
    let mut host = Host::new();
    for port in 0..100 {
        let connection = Connection::masqueraded(40_000 + port);
        host.talk(&connection);
        finish(&mut host, &connection);
    }
    host.second();
    let tick = host.later(3 * SECOND);
    assert_eq!((tick.rows.len(), opened(&tick.totals), closed(&tick.totals, Close::Fin)), (100, 100, 100));
    assert_eq!(books(&tick.totals), host.truth);
}

#[test]
fn a_flow_that_is_over_before_it_is_settled_ends_under_the_labels_it_began_under() {
    let (mut host, connection) = (Host::new(), Connection::masqueraded(40_000));
    host.talk(&connection);
    host.send(&connection, false, RST | ACK, 66);
    // It is read, and over, before all that tells its labels is there.
    host.later(SECOND / 4);
    let totals = host.second().totals;
    let began: Vec<_> = totals.opened.into_iter().collect();
    let ended: Vec<_> = totals.closed.into_iter().map(|((labels, _), count)| (labels, count)).collect();
    assert_eq!(began, ended);
    assert_eq!(began.len(), 1);
}
