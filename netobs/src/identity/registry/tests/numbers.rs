//! Numbers last as long as their stacks, and no longer.

use std::sync::Arc;

use netobs_common::endpoint::EndpointId;
use proptest::prelude::*;

use super::world::{World, id, on_bridge};

#[test]
fn a_number_outlives_a_better_name() {
    let mut world = World::new();
    world.veth(10, Some(0), 3);
    let unknown = world.look().behind(10);
    assert_eq!((&*unknown.id, unknown.kind.name()), ("interface/veth10", "unknown"));

    world.namespace(100, Some(0), 1000);
    let namespace = world.look().behind(10);
    assert_eq!(&*namespace.id, "netns/100");

    world.namespaces[0].processes[0].cgroup = format!("0::/docker/{}\n", id(1)).into();
    let cgroup = world.look().behind(10);
    assert_eq!(&*cgroup.id, "container/010101010101");

    world.container(1, "web", 1000);
    let web = world.look().behind(10);
    assert_eq!((&*web.id, web.kind.name()), ("container/web", "container"));

    let numbers = [unknown.number, namespace.number, cgroup.number, web.number];
    assert_eq!(numbers, [EndpointId(EndpointId::FIRST_FREE); 4]);
}

#[test]
fn two_interfaces_of_one_stack_become_one_endpoint_and_both_numbers_lead_to_it() {
    let mut world = World::new();
    world.bridge(4, "br-user", "172.18.0.1", 16);
    world.veth(10, Some(0), 3);
    world.veth(11, Some(0), 4);
    world.look();
    let (first, second) = (world.behind(10).number, world.behind(11).number);
    assert_ne!(first, second, "nothing says yet that they belong together");

    world.namespace(100, Some(0), 1000);
    world.look();
    assert_eq!((world.behind(10).number, world.behind(11).number), (first, first));
    assert_eq!(world.registry.resolve(second), first);
    assert_eq!(&*world.registry.by_number(second).unwrap().id, "netns/100");
    assert_eq!(world.ids(), ["host", "netns/100"]);
}

#[test]
fn an_interface_added_to_a_known_stack_joins_it() {
    let mut world = World::with_web();
    let web = world.look().behind(10).number;
    world.bridge(4, "br-user", "172.18.0.1", 16);
    world.veth(11, None, 4); // `docker network connect`: first without a namespace
    let provisional = world.look().behind(11).number;
    assert_ne!(provisional, web);
    world.link(11).peer_namespace = Some(0);
    assert_eq!(world.look().behind(11).number, web);
    assert_eq!(world.registry.resolve(provisional), web);
}

#[test]
fn a_reused_inode_is_another_stack() {
    let mut world = World::with_web();
    let before = world.look().behind(10).number;
    // Within one look: the container is gone, another one has its inode and namespace number.
    world.links.retain(|one| one.index != 10);
    world.veth(15, Some(0), 3);
    world.namespaces.clear();
    world.namespace(100, Some(0), 2000);
    world.containers.clear();
    world.container(2, "db", 2000);
    let after = world.look().behind(15);
    assert_ne!(after.number, before);
    assert_eq!(&*after.id, "container/db");
    assert_eq!(&*world.registry.by_number(before).unwrap().id, "container/web");
    assert!(!world.registry.is_alive(before) && world.registry.is_alive(after.number));
}

#[test]
fn an_interface_whose_other_end_moves_on_belongs_to_another_stack() {
    let mut world = World::new();
    world.veth(10, Some(0), 3);
    world.namespace(100, Some(0), 1000);
    let before = world.look().behind(10).number;
    world.namespace(101, Some(1), 1001);
    world.link(10).peer_namespace = Some(1);
    let after = world.look().behind(10);
    assert_eq!(&*after.id, "netns/101");
    assert_ne!(after.number, before);
}

#[test]
fn a_container_started_again_is_not_looked_for_in_its_old_namespace() {
    let mut world = World::with_web();
    let before = world.look().behind(10).number;
    let web = Arc::get_mut(&mut world.containers[0]).unwrap();
    (web.pid, web.started_at) = (1002, Some(jiff::Timestamp::from_second(500).unwrap()));
    world.look();
    let old = world.behind(10);
    assert_eq!((old.number, &*old.id), (before, "container/web~16"), "remembered");
    assert_eq!(world.named("container/web").netns, None, "nothing says where it is now");
}

#[test]
fn a_container_started_again_is_a_new_stack_with_the_same_name() {
    let mut world = World::with_web();
    let before = world.look().behind(10).number;
    world.links.retain(|one| one.index != 10);
    world.namespaces.clear();
    world.veth(12, Some(3), 3);
    world.namespace(102, Some(3), 1002);
    let web = Arc::get_mut(&mut world.containers[0]).unwrap();
    (web.pid, web.started_at) = (1002, Some(jiff::Timestamp::from_second(500).unwrap()));
    let after = world.look().behind(12);
    assert_ne!(after.number, before);
    assert_eq!(&*after.id, "container/web", "not web~17: the old one is gone");
}

#[test]
fn a_container_started_again_has_its_name_at_once_although_its_old_stack_lingers() {
    let mut world = World::with_web();
    let old = world.look().behind(10).number;
    world.link(10).peer_namespace = None; // being taken down
    world.namespaces.clear();
    world.veth(12, Some(3), 3);
    world.namespace(102, Some(3), 1002);
    let web = Arc::get_mut(&mut world.containers[0]).unwrap();
    (web.pid, web.started_at) = (1002, Some(jiff::Timestamp::from_second(500).unwrap()));
    world.look();
    assert_eq!(&*world.behind(12).id, "container/web");
    assert_eq!((&*world.behind(10).id, world.behind(10).number), ("container/web~16", old));
}

#[test]
fn who_is_gone_is_remembered_for_a_minute() {
    let mut world = World::with_web();
    let web = world.look().behind(10).number;
    world.links.retain(|one| one.index != 10);
    world.namespaces.clear();
    world.containers.clear();
    world.later(1).look();
    assert_eq!(world.ids(), ["host"]);
    assert_eq!(world.registry.lookup(3, super::world::ip("172.17.0.2")), None);
    world.later(59).look();
    assert_eq!(&*world.registry.by_number(web).unwrap().id, "container/web");
    world.later(1).look();
    assert!(world.registry.by_number(web).is_none());
}

#[test]
fn who_was_missing_for_a_moment_has_its_number_back() {
    let mut world = World::with_web();
    let web = world.look().behind(10).number;
    let links = std::mem::take(&mut world.links);
    let (namespaces, containers) = (std::mem::take(&mut world.namespaces), world.containers.split_off(0));
    world.later(5).look();
    assert!(!world.registry.is_alive(web));
    (world.links, world.namespaces, world.containers) = (links, namespaces, containers);
    assert_eq!(world.later(5).look().behind(10).number, web);
}

#[test]
fn a_stack_keeps_its_number_although_its_processes_change() {
    let mut world = World::with_web();
    world.containers.clear();
    let before = world.look().behind(10).number;
    world.namespaces[0].processes[0].pid = 5555;
    assert_eq!(world.look().behind(10).number, before, "the interface is still the same");
}

#[test]
fn the_fixed_numbers_lead_somewhere_and_unknown_nowhere() {
    let mut world = World::new();
    world.look();
    let name = |number| world.registry.by_number(number).map(|one| one.id.to_string());
    assert_eq!(name(EndpointId::HOST).as_deref(), Some("host"));
    assert_eq!(name(EndpointId::EXTERNAL).as_deref(), Some("external"));
    assert_eq!(name(EndpointId::GROUP).as_deref(), Some("group"));
    assert_eq!(name(EndpointId::UNKNOWN), None);
}

/// One step of a stormy life.
#[derive(Clone, Debug)]
enum Step {
    Start(u8),
    Stop(u8),
    ForgetNamespaces,
    LearnNamespaces,
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..6).prop_map(Step::Start),
        (0_u8..6).prop_map(Step::Stop),
        Just(Step::ForgetNamespaces),
        Just(Step::LearnNamespaces),
        (0_u8..90).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_numbers_are_never_shared_or_reused(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let mut lives: u32 = 0;
        let mut hidden = Vec::new();
        // The number → the life (veth index) it was first given to.
        let mut history = std::collections::HashMap::new();
        for step in steps {
            match step {
                Step::Start(slot) if !world.containers.iter().any(|one| *one.id == *id(slot)) => {
                    lives += 1;
                    let (index, pid) = (100 + lives, 1000 + lives);
                    // Namespace numbers and inodes are reused at once, as the kernel does.
                    world.veth(index, Some(i32::from(slot)), 3);
                    world.namespaces.retain(|one| one.inode != u64::from(slot));
                    world.namespace(u64::from(slot), Some(i32::from(slot)), pid);
                    let address = format!("172.17.0.{}", 10 + slot);
                    world.container(slot, &format!("c{slot}"), pid).networks.push(
                        on_bridge("bridge", "docker0", &address, slot));
                    Arc::get_mut(world.containers.last_mut().unwrap()).unwrap().started_at =
                        Some(jiff::Timestamp::from_second(i64::from(lives)).unwrap());
                }
                Step::Stop(slot) => {
                    world.containers.retain(|one| *one.id != *id(slot));
                    world.links.retain(|one| one.peer_namespace != Some(i32::from(slot)));
                    world.namespaces.retain(|one| one.inode != u64::from(slot));
                    hidden.retain(|one: &crate::identity::observed::Namespace| one.inode != u64::from(slot));
                }
                Step::ForgetNamespaces => hidden.append(&mut world.namespaces),
                Step::LearnNamespaces => world.namespaces.append(&mut hidden),
                Step::Wait(seconds) => { world.later(u64::from(seconds)); }
                Step::Start(_) => {}
            }
            world.look();
            let veths: Vec<u32> = world.links.iter().filter(|one| one.index >= 100).map(|one| one.index).collect();
            let mut owners = std::collections::HashSet::new();
            for index in veths {
                let owner = world.registry.owner_of(index);
                prop_assert!(owner.is_some(), "no owner of {index}");
                let owner = owner.unwrap();
                prop_assert!(owners.insert(owner), "two interfaces share {owner:?}");
                let life = history.entry(owner).or_insert(index);
                prop_assert_eq!(*life, index, "{:?} was given twice", owner);
                prop_assert!(world.registry.is_alive(owner));
            }
            let ids = world.ids();
            let unique: std::collections::HashSet<_> = ids.iter().collect();
            prop_assert_eq!(unique.len(), ids.len(), "an id is listed twice: {:?}", ids);
        }
    }
}
