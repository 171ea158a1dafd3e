//! Which stack is behind which interface.

use std::sync::Arc;

use super::world::{OWN, UPLINK, World, id, link, mac, on_bridge};
use crate::{
    host::facts::{Link, LinkKind},
    identity::observed::Process,
};

#[test]
fn a_veth_belongs_to_the_container_in_its_peers_namespace() {
    let mut world = World::with_web();
    let web = world.look().behind(10);
    assert_eq!((&*web.id, web.netns), ("container/web", Some(100)));
}

#[test]
fn equal_inner_indexes_do_not_confuse_two_containers() {
    // Both inner ends have index 2, as on every host; only the namespace numbers differ.
    let mut world = World::with_web();
    world.veth(11, Some(1), 3);
    world.namespace(101, Some(1), 1001);
    world.container(2, "db", 1001).networks.push(on_bridge("bridge", "docker0", "172.17.0.3", 3));
    world.look();
    assert_eq!((&*world.behind(10).id, &*world.behind(11).id), ("container/web", "container/db"));
}

#[test]
fn the_way_out_is_nobodys_own_even_if_it_is_a_veth() {
    let mut world = World::new();
    world.links.retain(|one| one.index != UPLINK);
    world.veth(UPLINK, Some(7), 0);
    world.namespace(107, Some(7), 7000);
    world.look();
    assert_eq!(world.registry.owner_of(UPLINK), None);
    assert_eq!(world.ids(), ["host"]);
}

#[test]
fn a_pair_with_both_ends_here_is_nobodys() {
    let mut world = World::new();
    world.links.push(Link { lower: Some(21), ..link(20, "a", LinkKind::Veth) });
    world.links.push(Link { lower: Some(20), ..link(21, "b", LinkKind::Veth) });
    world.look();
    assert_eq!((world.registry.owner_of(20), world.registry.owner_of(21)), (None, None));
}

#[test]
fn the_end_made_first_does_not_name_the_other_and_is_still_nobodys() {
    let mut world = World::new();
    world.links.push(link(20, "a", LinkKind::Veth));
    world.links.push(Link { lower: Some(20), ..link(21, "b", LinkKind::Veth) });
    assert_eq!(world.look().ids(), ["host"]);
}

#[test]
fn an_index_of_this_namespace_that_is_gone_is_no_other_end() {
    // While the other end moves, IFLA_LINK still shows its old index here, and no namespace.
    let mut world = World::new();
    world.veth(20, None, 3).lower = Some(21);
    world.look();
    assert_eq!(&*world.behind(20).id, "interface/veth20");
}

#[test]
fn a_namespace_without_link_or_container_of_ours_is_somebody_elses() {
    let mut world = World::new();
    world.namespace(100, None, 1000);
    world.namespace(OWN + 1, Some(4), 1001);
    assert_eq!(world.look().ids(), ["host"]);
}

#[test]
fn our_own_namespace_is_never_behind_an_interface() {
    let mut world = World::new();
    world.namespace(OWN, Some(4), 1);
    world.veth(10, Some(4), 3);
    assert_eq!(world.look().ids(), ["host"]);
}

#[test]
fn every_veth_and_tap_has_an_owner_at_once() {
    let mut world = World::new();
    world.veth(10, Some(9), 3); // a namespace nobody has looked at
    world.veth(11, None, 0);
    world.links.push(link(12, "tap0", LinkKind::Tun { tap: true }));
    world.look();
    assert_eq!(world.ids(), ["host", "interface/veth10", "interface/veth11", "vm/tap0"]);
}

#[test]
fn a_tunnel_into_a_process_is_no_guest() {
    let mut world = World::new();
    world.links.push(link(12, "tun0", LinkKind::Tun { tap: false }));
    assert_eq!(world.look().ids(), ["host"]);
}

#[test]
fn while_a_pair_is_taken_down_its_owner_stays() {
    let mut world = World::with_web();
    let number = world.look().behind(10).number;
    let veth = world.link(10);
    (veth.lower, veth.peer_namespace) = (None, None);
    world.namespaces.clear();
    world.containers.clear();
    let still = world.look().behind(10);
    assert_eq!((still.number, &*still.id), (number, "container/web"));
    assert_eq!(world.at(3, "172.17.0.2").as_deref(), Some("container/web"), "late replies too");
}

#[test]
fn a_container_whose_process_is_gone_first_is_not_torn_in_two() {
    let mut world = World::with_web();
    let number = world.look().behind(10).number;
    world.namespaces.clear(); // the runtime has not said anything yet, the interface is still there
    world.look();
    assert_eq!(world.behind(10).number, number);
    assert_eq!(world.ids(), ["host", "container/web"]);
    world.link(10).peer_namespace = None;
    assert_eq!(world.look().ids(), ["host", "container/web"]);
    assert_eq!(world.behind(10).number, number);
}

#[test]
fn what_was_known_of_a_container_does_not_pass_to_the_next_user_of_its_inode() {
    let mut world = World::with_web();
    let web = world.look().behind(10).number;
    // `web` ended, its runtime has not said so; another container has its inode and namespace number.
    world.links.retain(|one| one.index != 10);
    world.veth(11, Some(0), 3);
    world.namespaces.clear();
    world.namespace(100, Some(0), 2000);
    world.container(2, "db", 2000);
    let db = world.look().behind(11);
    assert_eq!((&*db.id, db.containers.len()), ("container/db", 1));
    assert_ne!(db.number, web);
}

#[test]
fn an_inode_that_was_free_for_a_look_is_not_a_dead_containers_any_more() {
    let mut world = World::with_web();
    let web = world.look().behind(10).number;
    // `web` died while its runtime is away: it stays listed, and its namespace is not to be seen for some looks.
    world.links.retain(|one| one.index != 10);
    world.namespaces.clear();
    world.later(1).look();
    world.later(1).look();
    for pid in [2000, 3000] {
        world.namespaces.clear();
        world.namespace(100, Some(0), pid).path = Some("/run/netns/blue".into());
        world.links.retain(|one| one.index != 11);
        world.veth(11, Some(0), 3);
        let next = world.later(1).look().behind(11);
        assert_eq!((&*next.id, next.containers.len()), ("netns/blue", 0));
        assert_ne!(next.number, web);
    }
}

#[test]
fn a_namespace_that_could_not_be_seen_for_a_look_is_still_the_containers() {
    let mut world = World::with_web();
    // Its process is not known by the runtime's number: only what was found before says where it is.
    let web = world.look().behind(10).number;
    Arc::get_mut(&mut world.containers[0]).unwrap().pid = 0;
    let namespaces = std::mem::take(&mut world.namespaces);
    world.later(1).look();
    world.namespaces = namespaces;
    let still = world.later(1).look().behind(10);
    assert_eq!((&*still.id, still.number, still.netns), ("container/web", web, Some(100)));
}

#[test]
fn a_sidecar_stays_in_the_stack_it_joined_when_the_other_is_started_again() {
    let mut world = World::with_web();
    world.container(2, "sidecar", 1002).network_mode = format!("container:{}", id(1)).into();
    world.namespaces[0].processes.push(Process { pid: 1002, start_time: 5, cgroup: "".into() });
    let old = world.look().behind(10).number;
    // `web` has a new namespace, the old one has lost its interface but not the sidecar.
    world.links.retain(|one| one.index != 10);
    world.namespaces[0].processes.remove(0);
    world.veth(12, Some(3), 3);
    world.namespace(102, Some(3), 1003);
    let web = Arc::get_mut(&mut world.containers[0]).unwrap();
    (web.pid, web.started_at) = (1003, Some(jiff::Timestamp::from_second(500).unwrap()));
    world.look();
    assert_eq!(world.named("container/sidecar").number, old);
    let new = world.behind(12);
    assert_eq!((&*new.id, new.containers.len()), ("container/web", 1));
    // And its process ends before its runtime says so.
    world.namespaces.remove(0);
    world.look();
    assert_eq!(world.named("container/sidecar").number, old);
    assert_eq!(world.behind(12).number, new.number);
}

#[test]
fn an_interface_index_that_is_reused_has_a_new_owner() {
    let mut world = World::with_web();
    let before = world.look().behind(10).number;
    world.namespaces.clear();
    world.containers.clear();
    world.links.retain(|one| one.index != 10);
    world.veth(10, None, 3).mac = Some(mac(0xee));
    world.link(10).name = "vethnew".into();
    let after = world.look().behind(10);
    assert_ne!(after.number, before);
    assert_eq!(&*after.id, "interface/vethnew");
}

#[test]
fn an_interface_known_to_be_gone_is_not_taken_for_its_twin() {
    let mut world = World::new();
    world.veth(10, None, 3);
    let before = world.look().behind(10).number;
    world.registry.forget_interface(10);
    assert_eq!(world.registry.owner_of(10), None);
    assert_ne!(world.look().behind(10).number, before, "same index, name and address, another interface");
}

#[test]
fn without_namespaces_the_learned_address_finds_the_container() {
    // As in a container without the host's process namespace.
    let mut world = World::with_web();
    world.namespaces.clear();
    world.learned(10, 3, mac(2));
    let web = world.look().behind(10);
    assert_eq!((&*web.id, web.netns), ("container/web", None));
    assert_eq!(web.interfaces.len(), 1, "and its network is not listed twice");
}

#[test]
fn an_equal_learned_address_on_another_bridge_is_another_container() {
    let mut world = World::with_web();
    world.namespaces.clear();
    world.bridge(4, "br-other", "172.18.0.1", 16);
    world.link(10).master = Some(4);
    world.learned(10, 4, mac(2));
    assert_eq!(&*world.look().behind(10).id, "interface/veth10");
}

#[test]
fn a_process_number_that_is_another_containers_now_proves_nothing() {
    let mut world = World::with_web();
    world.namespaces[0].processes[0].cgroup = format!("0::/docker/{}\n", id(0x99)).into();
    world.look();
    assert_eq!(&*world.behind(10).id, "container/999999999999", "by its cgroup, not by the reused number");
    assert_eq!(world.named("container/web").netns, None);
}

#[test]
fn the_runtimes_own_mount_finds_the_namespace_where_processes_cannot_be_seen() {
    let mut world = World::with_web();
    world.namespaces[0].processes.clear();
    world.namespaces[0].path = Some("/run/docker/netns/5e8c0ffee123".into());
    Arc::get_mut(&mut world.containers[0]).unwrap().sandbox_key =
        Some("/var/run/docker/netns/5e8c0ffee123".into());
    assert_eq!(&*world.look().behind(10).id, "container/web");
}
