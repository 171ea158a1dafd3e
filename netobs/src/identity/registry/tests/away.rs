//! What a source said before it went away: it stays for who lives, and takes nothing from them.

use super::world::{World, address, link, on_parent};
use crate::{
    host::facts::{Link, LinkKind},
    identity::{claim::Provenance, registry::ROUTED},
};

/// A stack behind the routed veth 11 with an address, which nobody but its namespace tells of.
fn next_with(world: &mut World, inner: &str) {
    world.veth(11, Some(1), 0);
    let namespace = world.namespace(101, Some(1), 1001);
    namespace.links.push(Link { lower: Some(11), ..link(2, "eth0", LinkKind::Veth) });
    namespace.addresses.push(address(2, inner, 32));
}

#[test]
fn an_address_of_a_dead_pod_is_the_next_ones_although_the_runtime_is_away() {
    let mut world = World::new();
    world.namespace(100, None, 1000);
    world.pod(1, "old", 1000);
    world.look();
    assert_eq!(world.at(ROUTED, "10.244.1.5").as_deref(), Some("pod/shop/old"));
    world.namespaces.clear(); // and nobody says so
    next_with(&mut world, "10.244.1.5");
    world.later(1).look();
    assert_eq!(world.at(ROUTED, "10.244.1.5").as_deref(), Some("netns/101"));
}

#[test]
fn an_address_of_a_dead_container_on_a_shared_parent_is_the_next_ones() {
    let mut world = World::new();
    world.namespace(100, None, 1000);
    let container = world.container(1, "old", 1000);
    container.network_mode = "lan".into();
    container.networks.push(on_parent("macvlan", "eth0", "198.51.100.60"));
    world.look();
    assert_eq!(world.at(ROUTED, "198.51.100.60").as_deref(), Some("container/old"));
    world.namespaces.clear();
    next_with(&mut world, "198.51.100.60");
    world.later(1).look();
    assert_eq!(world.at(ROUTED, "198.51.100.60").as_deref(), Some("netns/101"));
}

#[test]
fn who_is_dead_is_not_listed_for_long_although_the_runtime_is_away() {
    let mut world = World::with_web();
    let web = world.look().behind(10).number;
    let (links, namespaces) = (world.links.clone(), std::mem::take(&mut world.namespaces));
    world.links.retain(|one| one.index != 10);
    world.later(1).look();
    assert_eq!(world.named("container/web").number, web, "its runtime may be about to say so");
    world.later(30).look();
    assert_eq!(world.ids(), ["host"]);
    world.later(10).look();
    assert_eq!(world.ids(), ["host"]);
    // It was only not to be seen.
    (world.links, world.namespaces) = (links, namespaces);
    let web_again = world.later(1).look().behind(10);
    assert_eq!((&*web_again.id, web_again.number), ("container/web", web));
    assert!(web_again.provenance.contains(&Provenance::DockerApi));
}

#[test]
fn who_lives_stays_by_name_although_the_runtime_is_away() {
    let mut world = World::with_web();
    world.namespace(101, None, 1001);
    world.pod(2, "api", 1001);
    for _ in 0..10 {
        world.later(100).look();
        assert_eq!(world.at(3, "172.17.0.2").as_deref(), Some("container/web"));
        assert_eq!(world.at(ROUTED, "10.244.1.5").as_deref(), Some("pod/shop/api"));
    }
}

#[test]
fn where_no_namespace_can_be_looked_at_a_missing_one_says_nothing() {
    let mut world = World::new();
    world.pod(1, "old", 1000);
    world.look();
    next_with(&mut world, "10.244.1.5");
    for _ in 0..3 {
        world.later(100).look();
        assert_eq!(world.at(ROUTED, "10.244.1.5").as_deref(), Some("pod/shop/old"), "the stronger word");
    }
}

#[test]
fn a_dead_ones_process_number_in_another_namespace_is_somebody_elses() {
    let mut world = World::with_web();
    world.namespace(101, None, 1001);
    world.pod(2, "api", 1001);
    world.look();
    // Both end, nobody says so, and `ip netns exec` starts processes with their numbers elsewhere.
    world.links.retain(|one| one.index != 10);
    world.namespaces.clear();
    for (index, nsid, inode, pid) in [(11, 1, 200, 1000), (12, 2, 201, 1001)] {
        world.veth(index, Some(nsid), 3);
        world.namespace(inode, Some(nsid), pid).processes[0].start_time = 77_777;
    }
    world.later(1).look();
    assert_eq!((&*world.behind(11).id, &*world.behind(12).id), ("netns/200", "netns/201"));
}

#[test]
fn a_container_that_has_a_dead_ones_name_goes_by_it_at_once() {
    let mut world = World::with_web();
    world.look();
    world.links.retain(|one| one.index != 10);
    world.namespaces.clear();
    world.veth(11, Some(1), 3);
    world.namespace(101, Some(1), 1001);
    world.container(2, "web", 1001);
    world.later(1).look();
    assert_eq!(&*world.behind(11).id, "container/web");
}
