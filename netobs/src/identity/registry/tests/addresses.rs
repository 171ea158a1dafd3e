//! Who has which address in which segment.

use std::sync::Arc;

use super::world::{World, ip, on_bridge};
use crate::identity::registry::ROUTED;

/// `web` on docker0 and `twin` on an isolated bridge, both 172.17.0.2.
fn twins() -> World {
    let mut world = World::with_web();
    world.links.push(super::world::link(4, "br-twin", crate::host::facts::LinkKind::Bridge));
    world.veth(11, Some(1), 4);
    world.namespace(101, Some(1), 1001);
    let twin = world.container(2, "twin", 1001);
    twin.network_mode = "twin".into();
    twin.networks.push(on_bridge("twin", "br-twin", "172.17.0.2", 0x22));
    world
}

#[test]
fn equal_addresses_on_two_bridges_never_merge() {
    let mut world = twins();
    world.look();
    assert_eq!(world.at(3, "172.17.0.2").as_deref(), Some("container/web"));
    assert_eq!(world.at(4, "172.17.0.2").as_deref(), Some("container/twin"));
    assert_eq!(world.registry.address_conflicts(), 0);
}

#[test]
fn the_routed_part_knows_the_one_the_host_routes_to() {
    let mut world = twins();
    world.look();
    assert_eq!(world.at(ROUTED, "172.17.0.2").as_deref(), Some("container/web"));
    // A more specific route sends it to the other bridge.
    world.route("172.17.0.2/32", 4);
    world.look();
    assert_eq!(world.at(ROUTED, "172.17.0.2").as_deref(), Some("container/twin"));
}

#[test]
fn an_isolated_bridge_says_nothing_about_the_world_outside() {
    let mut world = twins();
    Arc::get_mut(&mut world.containers[1]).unwrap().networks[0].address = Some(ip("203.0.113.9"));
    world.look();
    assert_eq!(world.at(4, "203.0.113.9").as_deref(), Some("container/twin"));
    assert_eq!(world.at(ROUTED, "203.0.113.9"), None, "there it is somebody outside");
    assert_eq!(world.at(3, "203.0.113.9"), None);
}

#[test]
fn what_is_not_on_the_bridge_is_looked_for_in_the_routed_part() {
    let mut world = World::with_web();
    world.bridge(4, "br-user", "172.18.0.1", 16);
    world.look();
    assert_eq!(world.at(4, "172.17.0.2").as_deref(), Some("container/web"), "across two bridges");
    assert_eq!(world.at(4, "198.51.100.7").as_deref(), Some("host"), "the node's address");
    assert_eq!(world.at(4, "203.0.113.1"), None);
}

#[test]
fn the_hosts_addresses_are_the_hosts_whoever_claims_them() {
    let mut world = World::with_web();
    Arc::get_mut(&mut world.containers[0]).unwrap().networks[0].address = Some(ip("172.17.0.1"));
    world.look();
    assert_eq!(world.at(3, "172.17.0.1").as_deref(), Some("host"));
    assert_eq!(world.at(ROUTED, "172.17.0.1").as_deref(), Some("host"));
}

#[test]
fn a_link_local_address_is_known_on_its_link_only() {
    let mut world = World::with_web();
    world.route("fe80::/64", 3);
    Arc::get_mut(&mut world.containers[0]).unwrap().networks[0].address6 = Some(ip("fe80::2"));
    world.address(3, "fe80::1", 64);
    world.look();
    assert_eq!(world.at(3, "fe80::2").as_deref(), Some("container/web"));
    assert_eq!(world.at(3, "fe80::1").as_deref(), Some("host"));
    assert_eq!((world.at(ROUTED, "fe80::2"), world.at(ROUTED, "fe80::1")), (None, None));
}

#[test]
fn an_ipv4_address_is_found_however_it_is_written() {
    let mut world = World::with_web();
    world.look();
    assert_eq!(world.at(3, "::ffff:172.17.0.2").as_deref(), Some("container/web"));
}

#[test]
fn an_address_given_to_another_container_is_the_new_ones_while_the_old_one_is_taken_down() {
    let mut world = World::with_web();
    world.look();
    let veth = world.link(10);
    (veth.lower, veth.peer_namespace) = (None, None);
    world.namespaces.clear();
    world.containers.clear();
    world.veth(11, Some(1), 3);
    world.namespace(101, Some(1), 1001);
    world.container(2, "next", 1001).networks.push(on_bridge("bridge", "docker0", "172.17.0.2", 2));
    world.look();
    assert_eq!(&*world.behind(10).id, "container/web");
    assert_eq!(world.at(3, "172.17.0.2").as_deref(), Some("container/next"));
    assert_eq!(world.registry.address_conflicts(), 1);
}

#[test]
fn each_address_says_whether_its_owner_has_an_interface_of_its_own() {
    let mut world = World::with_web();
    let macvlan = world.container(2, "mac1", 1002);
    macvlan.network_mode = "lan".into();
    macvlan.networks.push(super::world::on_parent("macvlan", "eth0", "198.51.100.60"));
    world.look();
    let own = |address: &str| {
        let found = world.registry.addresses().find(|(_, one, _)| *one == ip(address));
        found.map(|(segment, _, owner)| (segment, owner.kind.name(), owner.own_interface))
    };
    assert_eq!(own("172.17.0.2"), Some((0, "container", true)));
    assert_eq!(own("198.51.100.60"), Some((0, "container", false)));
    assert_eq!(own("198.51.100.7"), Some((0, "host", false)));
}

#[test]
fn a_container_of_a_bridge_that_is_not_here_has_no_address_here() {
    let mut world = World::new();
    world.container(1, "far", 1000).networks.push(on_bridge("far", "br-far", "172.17.0.2", 2));
    world.look();
    assert_eq!(world.at(ROUTED, "172.17.0.2"), None);
    assert_eq!(world.named("container/far").interfaces[0].index, 0);
}

/// A namespace whose `eth0` is a macvlan device below the host's interface 2, if the numbers say so.
fn macvlan(outside: Option<i32>, parent_namespace: Option<i32>) -> World {
    let mut world = World::with_web();
    world.links.push(super::world::link(20, "eth0", crate::host::facts::LinkKind::Physical));
    let namespace = world.namespace(300, None, 3000);
    namespace.host = outside;
    namespace.links.push(crate::host::facts::Link {
        lower: Some(20),
        peer_namespace: parent_namespace,
        mac: Some([2, 0, 0, 0, 3, 1]),
        ..super::world::link(9, "eth0", crate::host::facts::LinkKind::Macvlan)
    });
    namespace.addresses.push(super::world::address(9, "198.51.100.77", 24));
    world
}

#[test]
fn a_macvlan_device_is_seen_from_inside_at_the_parent_it_names() {
    let mut world = macvlan(Some(0), Some(0));
    world.look();
    assert_eq!(world.at(ROUTED, "198.51.100.77").as_deref(), Some("netns/300"));
    let all = world.registry.endpoints();
    let one = all.iter().find(|one| &*one.id == "netns/300").unwrap();
    assert_eq!((&*one.interfaces[0].name, one.interfaces[0].own), ("eth0", false));
    assert_eq!(one.interfaces[0].mode, Some(crate::identity::endpoint::Mode::Macvlan));
}

#[test]
fn a_parent_of_another_namespace_is_none_of_this_host() {
    for mut world in [macvlan(Some(0), Some(1)), macvlan(None, Some(0)), macvlan(None, None)] {
        world.look();
        assert_eq!(world.at(ROUTED, "198.51.100.77"), None);
    }
}
