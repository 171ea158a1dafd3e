//! What the mirror tells and what it keeps to itself.

use proptest::prelude::*;

use super::{
    super::facts::{
        Address, AddressScope, FdbEntry, LinkCounters,
        test_links::{bridge, veth},
    },
    *,
};

fn address(link: u32) -> Address {
    Address {
        link,
        address: "198.51.100.1".parse().unwrap(),
        prefix: 24,
        scope: AddressScope::Global,
        peer: None,
        broadcast: None,
    }
}

fn neighbour(link: u32, state: NeighbourState) -> Neighbour {
    Neighbour { link, address: "198.51.100.9".parse().unwrap(), mac: Some([2; 6]), state }
}

fn fdb(link: u32) -> FdbEntry {
    FdbEntry {
        link,
        mac: [2; 6],
        vlan: None,
        remote: None,
        bridge: Some(1),
        own_table: false,
        is_local: false,
        permanent: false,
    }
}

fn empty() -> Mirror {
    Mirror::new(Facts::default())
}

fn lossy() -> Resync {
    Resync { after_loss: true, complete: true, ..Default::default() }
}

#[test]
fn a_link_is_announced_once_and_its_counters_never() {
    let mut mirror = empty();
    assert_eq!(mirror.observe(Change::Link(veth(2, "v"))), [HostEvent::LinkAppeared(veth(2, "v"))]);
    let counted = Link { counters: LinkCounters { rx_packets: 5, ..Default::default() }, ..veth(2, "v") };
    assert_eq!(mirror.observe(Change::Link(counted.clone())), []);
    assert_eq!(mirror.facts().links[&2], counted, "but they are kept");
}

#[test]
fn a_neighbour_that_is_given_up_is_told_each_time_and_one_that_is_taken_out_never() {
    use NeighbourState::{Delay, Failed, Incomplete, Permanent, Probe, Reachable, Stale};
    let told = |states: &[NeighbourState]| {
        let mut mirror = empty();
        let changes = states.iter().map(|state| Change::Neighbour(neighbour(2, *state)));
        let events = changes.map(|change| mirror.observe(change).len()).collect::<Vec<_>>();
        events.into_iter().sum::<usize>()
    };
    assert_eq!(told(&[Failed]), 1);
    assert_eq!(told(&[Failed, Failed, Failed]), 3, "asked anew each time, unannounced");
    assert_eq!(told(&[Stale, Delay, Probe, Failed]), 1);
    assert_eq!(told(&[Incomplete, Failed, Reachable, Probe, Failed]), 2);
    for settled in [Reachable, Stale, Delay, Permanent] {
        assert_eq!(told(&[settled, Failed]), 0, "{settled:?}");
    }
    let mut mirror = empty();
    let address = "198.51.100.9".parse().unwrap();
    let failed = HostEvent::NeighbourFailed { link: 2, address };
    assert_eq!(mirror.observe(Change::Neighbour(neighbour(2, Failed))), std::slice::from_ref(&failed));
    assert_eq!(mirror.observe(Change::NeighbourGone(neighbour(2, Failed))), []);
    assert_eq!(mirror.observe(Change::Neighbour(neighbour(2, Failed))), [failed]);
}

#[test]
fn a_rename_is_a_change() {
    let mut mirror = empty();
    mirror.observe(Change::Link(veth(2, "v")));
    assert_eq!(
        mirror.observe(Change::Link(veth(2, "w"))),
        [HostEvent::LinkChanged { before: veth(2, "v"), after: veth(2, "w") }]
    );
}

#[test]
fn an_index_used_again_is_another_link() {
    let mut mirror = empty();
    mirror.observe(Change::Link(veth(2, "v")));
    assert_eq!(mirror.observe(Change::LinkGone(2)), [HostEvent::LinkGone(veth(2, "v"))]);
    assert_eq!(mirror.observe(Change::Link(veth(2, "v"))), [HostEvent::LinkAppeared(veth(2, "v"))]);
}

#[test]
fn another_kind_under_the_same_index_is_another_link() {
    let mut mirror = empty();
    mirror.observe(Change::Link(veth(2, "v")));
    assert_eq!(
        mirror.observe(Change::Link(bridge(2, "v"))),
        [HostEvent::LinkGone(veth(2, "v")), HostEvent::LinkAppeared(bridge(2, "v"))]
    );
}

#[test]
fn the_end_of_an_unknown_link_is_no_event() {
    assert_eq!(empty().observe(Change::LinkGone(9)), []);
}

#[test]
fn a_link_takes_its_entries_with_it_and_the_routes_are_read_again() {
    let mut mirror = empty();
    mirror.observe(Change::Link(veth(2, "v")));
    mirror.observe(Change::Address(address(2)));
    mirror.observe(Change::Address(address(3)));
    mirror.observe(Change::Neighbour(neighbour(2, NeighbourState::Stale)));
    mirror.observe(Change::Fdb(fdb(2)));
    mirror.take_tables();
    assert!(!mirror.take_routes_touched());
    mirror.observe(Change::LinkGone(2));
    let tables = mirror.take_tables();
    assert_eq!(tables.addresses.unwrap().len(), 1, "the other link keeps its own");
    assert!(tables.neighbours.unwrap().is_empty() && tables.fdb.unwrap().is_empty());
    assert!(mirror.take_routes_touched() && mirror.take_links_touched());
    assert!(!mirror.is_dirty());
}

#[test]
fn the_other_end_of_a_pair_is_read_again() {
    let mut mirror = empty();
    mirror.observe(Change::Link(bridge(1, "br0")));
    assert!(!mirror.take_links_touched());
    mirror.observe(Change::Link(veth(2, "first")));
    mirror.observe(Change::Link(Link { lower: Some(2), ..veth(3, "second") }));
    assert!(mirror.take_links_touched());
    let found = vec![
        bridge(1, "br0"),
        Link { lower: Some(3), ..veth(2, "first") },
        Link { lower: Some(2), ..veth(3, "second") },
    ];
    assert_eq!(
        mirror.resync_links(found, &Resync { complete: true, ..Default::default() }).len(),
        1,
        "the first end learns of the second"
    );
    assert!(!mirror.take_links_touched(), "which is no reason to read them once more");
    mirror.observe(Change::LinkGone(3));
    assert!(mirror.take_links_touched(), "it moved, or it went: the first end has to be asked");
    mirror.observe(Change::NamespacesTouched);
    assert!(mirror.take_links_touched() && mirror.take_tables().namespaces);
}

#[test]
fn routes_are_read_again_when_a_link_goes_down_or_an_address_goes() {
    let mut mirror = empty();
    mirror.observe(Change::Link(veth(2, "v")));
    mirror.observe(Change::Link(Link { up: false, ..veth(2, "v") }));
    assert!(mirror.take_routes_touched());
    mirror.observe(Change::AddressGone(address(2)));
    assert!(mirror.take_routes_touched());
    mirror.observe(Change::Link(Link { up: false, mtu: 9000, ..veth(2, "v") }));
    assert!(!mirror.take_routes_touched());
}

#[test]
fn a_neighbour_growing_stale_wakes_nobody_but_is_kept() {
    let mut mirror = empty();
    mirror.observe(Change::Neighbour(neighbour(2, NeighbourState::Reachable)));
    assert!(mirror.take_tables().neighbours.is_some());
    mirror.observe(Change::Neighbour(neighbour(2, NeighbourState::Stale)));
    assert!(!mirror.is_dirty());
    assert_eq!(mirror.facts().neighbours.values().next().unwrap().state, NeighbourState::Stale);
    mirror.observe(Change::Neighbour(neighbour(2, NeighbourState::Failed)));
    assert!(mirror.take_tables().neighbours.is_some());
}

#[test]
fn the_same_entry_again_is_no_change() {
    let mut mirror = empty();
    mirror.observe(Change::Address(address(2)));
    mirror.take_tables();
    mirror.observe(Change::Address(address(2)));
    assert!(mirror.take_tables().is_empty());
}

#[test]
fn a_dump_after_a_loss_is_told_as_differences() {
    let mut mirror = empty();
    for link in [veth(1, "same"), veth(2, "gone"), veth(3, "renamed")] {
        mirror.observe(Change::Link(link));
    }
    let found = vec![veth(1, "same"), veth(3, "other"), veth(4, "new")];
    assert_eq!(
        mirror.resync_links(found, &lossy()),
        [
            HostEvent::LinkGone(veth(2, "gone")),
            HostEvent::LinkGone(veth(3, "renamed")),
            HostEvent::LinkAppeared(veth(3, "other")),
            HostEvent::LinkAppeared(veth(4, "new")),
        ]
    );
}

#[test]
fn a_dump_that_may_lack_links_removes_none_and_is_repeated() {
    let mut mirror = empty();
    mirror.observe(Change::Link(bridge(2, "br0")));
    let how = Resync { after_loss: true, ..Default::default() };
    assert_eq!(mirror.resync_links(vec![veth(3, "v")], &how), [HostEvent::LinkAppeared(veth(3, "v"))]);
    assert!(mirror.take_links_touched());
}

#[test]
fn links_that_waiting_notifications_mention_are_left_to_those() {
    let mut mirror = empty();
    mirror.observe(Change::Link(bridge(2, "gone by the time of the dump")));
    let how = Resync { complete: true, newer: [2, 3].into(), ..Default::default() };
    assert_eq!(mirror.resync_links(vec![bridge(3, "new, and about to be announced")], &how), []);
}

#[test]
fn tables_that_a_dump_found_unchanged_are_not_told() {
    let mut mirror = empty();
    mirror.observe(Change::Address(address(2)));
    mirror.take_tables();
    mirror.resync_tables([(address(2).key(), address(2))].into(), Neighbours::new(), Fdb::new());
    let tables = mirror.take_tables();
    assert!(tables.addresses.is_none() && tables.neighbours.is_none() && tables.namespaces);
}

fn any_change() -> impl Strategy<Value = Change> {
    let index = 1u32..4;
    prop_oneof![
        (index.clone(), "[ab]").prop_map(|(index, name)| Change::Link(veth(index, &name))),
        index.clone().prop_map(|index| Change::Link(bridge(index, "c"))),
        index.clone().prop_map(Change::LinkGone),
        index.clone().prop_map(|index| Change::Address(address(index))),
        index.clone().prop_map(|index| Change::AddressGone(address(index))),
        index.clone().prop_map(|index| Change::Neighbour(neighbour(index, NeighbourState::Failed))),
        index.clone().prop_map(|index| Change::NeighbourGone(neighbour(index, NeighbourState::Failed))),
        index.clone().prop_map(|index| Change::Fdb(fdb(index))),
        index.prop_map(|index| Change::FdbGone(fdb(index).key())),
    ]
}

proptest! {
    #[test]
    fn a_consumer_that_applies_every_event_ends_with_the_same_facts(
        changes in proptest::collection::vec(any_change(), 0..60),
        resync in proptest::collection::btree_map(1u32..5, "[ab]", 0..4),
    ) {
        let (mut mirror, mut consumer) = (empty(), Facts::default());
        for change in changes {
            for event in mirror.observe(change) {
                consumer.apply(&event);
            }
        }
        for event in mirror.resync_links(resync.into_iter().map(|(index, name)| veth(index, &name)).collect(), &lossy()) {
            consumer.apply(&event);
        }
        consumer.apply(&HostEvent::FactsChanged(mirror.take_tables()));
        prop_assert_eq!(&consumer, mirror.facts());
    }
}
