//! Who an endpoint is said to be, and why.

use std::sync::Arc;

use netobs_common::endpoint::{EndpointId, Kind};

use super::world::{OWN, World, address, id, ip, link, mac, on_bridge, on_parent};
use crate::{
    host::facts::{Link, LinkKind},
    identity::{
        claim::{Claim, Provenance, Statement, Subject},
        endpoint::Mode,
    },
};

#[test]
fn a_bridged_container_is_known_by_its_runtime() {
    let mut world = World::with_web();
    let container = Arc::get_mut(&mut world.containers[0]).unwrap();
    container.labels.insert("com.docker.compose.project".into(), "shop".into());
    container.labels.insert("com.docker.compose.service".into(), "front".into());
    let web = world.look().behind(10);
    assert_eq!((web.kind, web.mode.clone()), (Kind::CONTAINER, Some(Mode::Bridge)));
    assert_eq!((web.namespace.as_deref(), web.workload.as_deref()), (Some("shop"), Some("front")));
    assert_eq!((web.runtime.as_deref(), web.uid.as_deref()), (Some("docker"), Some(&*id(1))));
    assert_eq!(web.provenance, [Provenance::DockerApi, Provenance::Netns]);
    let [interface] = &web.interfaces[..] else { panic!("{:?}", web.interfaces) };
    assert_eq!((&*interface.name, interface.index, interface.mac), ("veth10", 10, Some(mac(2))));
    assert_eq!((&interface.addresses[..], interface.own), (&[ip("172.17.0.2")][..], true));
    assert_eq!(web.containers[0].image.as_deref(), Some("image:1"));
}

#[test]
fn a_container_that_joins_another_is_part_of_its_endpoint() {
    let mut world = World::with_web();
    world.container(2, "sidecar", 1002).network_mode = format!("container:{}", id(1)).into();
    let web = world.look().behind(10);
    assert_eq!(&*web.id, "container/web");
    assert_eq!(web.containers.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["web", "sidecar"]);
    assert_eq!(
        world.ids(),
        ["container/web", "host"].map(String::from).into_iter().rev().collect::<Vec<_>>()
    );
    assert_eq!(world.registry.of_container(&id(2)), Some(web.number));
}

#[test]
fn a_container_whose_other_is_gone_says_whom_it_joined() {
    let mut world = World::with_web();
    world.containers.clear();
    world.container(2, "sidecar", 1000).network_mode = format!("container:{}", id(1)).into();
    let sidecar = world.look().behind(10);
    assert_eq!((&*sidecar.id, sidecar.mode.as_ref().unwrap().name()), ("container/sidecar", "container"));
    assert_eq!(sidecar.mode.as_ref().unwrap().to_string(), "container:010101010101");
}

#[test]
fn a_container_without_network_is_listed_without_interfaces() {
    let mut world = World::new();
    world.namespace(100, None, 1000);
    world.container(1, "batch", 1000).network_mode = "none".into();
    let batch = world.look().named("container/batch");
    assert_eq!((batch.mode.clone(), batch.interfaces.len(), batch.netns), (Some(Mode::None), 0, Some(100)));
}

#[test]
fn host_network_containers_are_endpoints_of_their_own_on_the_hosts_stack() {
    let mut world = World::new();
    world.container(1, "proxy", 1000).network_mode = "host".into();
    world.container(2, "agent", 1001).network_mode = "host".into();
    world.look();
    let (proxy, agent) = (world.named("container/proxy"), world.named("container/agent"));
    assert_ne!(proxy.number, agent.number);
    assert_eq!((proxy.mode.clone(), proxy.interfaces.len(), proxy.netns), (Some(Mode::Host), 0, Some(OWN)));
    assert_eq!(world.registry.of_container(&id(2)), Some(agent.number), "by the cgroup of a socket's owner");
    assert_eq!(world.at(0, "198.51.100.7").as_deref(), Some("host"), "its addresses stay the host's");
}

#[test]
fn a_macvlan_container_is_seen_at_its_parent() {
    let mut world = World::new();
    world.namespace(100, None, 1000);
    let container = world.container(1, "mac1", 1000);
    container.network_mode = "lan".into();
    container.networks.push(on_parent("macvlan", "eth0", "198.51.100.60"));
    let found = world.look().named("container/mac1");
    assert_eq!(found.mode, Some(Mode::Macvlan));
    let interface = &found.interfaces[0];
    assert_eq!((&*interface.name, interface.index, interface.own), ("eth0", 2, false));
    assert_eq!(interface.mac, Some(mac(0x77)));
    assert_eq!(world.at(0, "198.51.100.60").as_deref(), Some("container/mac1"));
    assert_eq!(world.registry.owner_of(2), None);
}

#[test]
fn a_container_on_two_networks_has_each_address_on_its_interface() {
    let mut world = World::with_web();
    world.bridge(4, "br-user", "172.18.0.1", 16);
    world.veth(11, Some(0), 4);
    let web = Arc::get_mut(&mut world.containers[0]).unwrap();
    web.networks.insert(0, on_bridge("user", "br-user", "172.18.0.9", 9));
    let web = world.look().behind(11);
    let by_index = |index| web.interfaces.iter().find(|one| one.index == index).unwrap().addresses.clone();
    assert_eq!((by_index(10), by_index(11)), (vec![ip("172.17.0.2")], vec![ip("172.18.0.9")]));
    assert_eq!(web.interfaces.len(), 2);
}

#[test]
fn two_networks_on_one_bridge_are_told_by_the_hardware_address() {
    let mut world = World::with_web();
    world.veth(11, Some(0), 3);
    let web = Arc::get_mut(&mut world.containers[0]).unwrap();
    web.networks.push(on_bridge("also", "docker0", "172.17.0.99", 9));
    world.learned(10, 3, mac(9));
    world.learned(11, 3, mac(2));
    let web = world.look().behind(10);
    let by_index = |index| web.interfaces.iter().find(|one| one.index == index).unwrap().addresses.clone();
    assert_eq!((by_index(10), by_index(11)), (vec![ip("172.17.0.99")], vec![ip("172.17.0.2")]));
}

#[test]
fn an_unnamed_stack_is_known_by_its_namespace_and_its_addresses_by_looking_inside() {
    let mut world = World::new();
    world.veth(10, Some(0), 3).lower = Some(5);
    let namespace = world.namespace(100, Some(0), 1000);
    namespace.links.push(Link { lower: Some(10), ..link(5, "eth0", LinkKind::Veth) });
    namespace.addresses = vec![address(1, "127.0.0.1", 8), address(5, "172.17.0.40", 16)];
    let found = world.look().behind(10);
    assert_eq!((&*found.id, found.kind), ("netns/100", Kind::UNKNOWN));
    assert_eq!(found.interfaces[0].addresses, [ip("172.17.0.40")]);
    assert_eq!(found.interfaces[0].mac, Some(mac(5)));
    assert_eq!((found.mode.clone(), &found.provenance[..]), (Some(Mode::Bridge), &[Provenance::Netns][..]));
}

#[test]
fn a_pair_inside_the_stack_is_not_taken_for_its_way_out() {
    // The stack's eth0 is 5; 6 and 10 are a pair of its own, and 10 is our index of its veth by chance.
    let mut world = World::new();
    world.veth(10, Some(0), 3).lower = Some(5);
    let namespace = world.namespace(100, Some(0), 1000);
    namespace.links.push(Link { lower: Some(10), ..link(4, "inner", LinkKind::Veth) });
    namespace.links.push(Link { lower: Some(10), ..link(5, "eth0", LinkKind::Veth) });
    namespace.addresses = vec![address(4, "10.0.0.1", 8), address(5, "172.17.0.40", 16)];
    assert_eq!(world.look().behind(10).interfaces[0].addresses, [ip("172.17.0.40")]);
}

#[test]
fn where_nothing_else_is_known_neighbours_tell_the_address() {
    let mut world = World::new();
    world.veth(10, Some(0), 3);
    world.namespace(100, Some(0), 1000);
    world.learned(10, 3, mac(0x40));
    world.learned(10, 3, mac(10)); // the port's own, which is the host's
    world.fdb.last_mut().unwrap().is_local = true;
    world.neighbour(3, "172.17.0.40", mac(0x40));
    world.neighbour(3, "172.17.0.42", mac(10));
    world.neighbour(3, "172.17.0.41", mac(0x41)); // behind another port
    let found = world.look().behind(10);
    assert_eq!(found.interfaces[0].addresses, [ip("172.17.0.40")]);
    assert_eq!(found.provenance, [Provenance::Netns, Provenance::Neighbor, Provenance::Fdb]);
}

#[test]
fn on_a_routed_veth_every_neighbour_is_its_own() {
    let mut world = World::new();
    world.veth(10, Some(0), 0);
    world.neighbour(10, "10.9.0.5", mac(0x50));
    let found = world.look().behind(10);
    assert_eq!(found.interfaces[0].addresses, [ip("10.9.0.5")]);
    assert_eq!(world.at(0, "10.9.0.5").as_deref(), Some("interface/veth10"));
}

#[test]
fn a_pod_is_known_by_its_cgroup_until_somebody_names_it() {
    let uid = "1a2b3c4d-0001-4002-8003-0123456789ab";
    let mut world = World::new();
    world.veth(10, Some(0), 3);
    let namespace = world.namespace(100, Some(0), 1000);
    namespace.processes[0].cgroup = format!("0::/kubepods/burstable/pod{uid}/{}\n", id(5)).into();
    let pod = world.look().behind(10);
    assert_eq!((&*pod.id, pod.kind, pod.mode.clone()), (&*format!("pod/{uid}"), Kind::POD, Some(Mode::Cni)));

    let claim = Claim {
        kind: Some(Kind::POD),
        name: Some("api-7d9".into()),
        namespace: Some("default".into()),
        workload: Some("api".into()),
        ..Claim::by(Provenance::KubernetesApi)
    };
    world.statements.push(Statement { about: Subject::Pod(uid.into()), claim });
    let named = world.look().behind(10);
    assert_eq!((&*named.id, named.number), ("pod/default/api-7d9", pod.number));
    assert_eq!(named.provenance, [Provenance::KubernetesApi, Provenance::Cgroup, Provenance::Netns]);
    assert_eq!(named.uid.as_deref(), Some(uid), "what the stronger source left open");
}

#[test]
fn a_tap_is_a_guest_named_after_it_until_somebody_knows_better() {
    let mut world = World::new();
    world.links.push(Link { master: Some(3), ..link(12, "tap0", LinkKind::Tun { tap: true }) });
    world.learned(12, 3, mac(0x52));
    let guest = world.look().behind(12);
    assert_eq!(
        (&*guest.id, guest.kind, &guest.provenance[..]),
        ("vm/tap0", Kind::VM, &[Provenance::Fdb][..])
    );
    let claim =
        Claim { name: Some("db".into()), mode: Some(Mode::Nat), ..Claim::by(Provenance::QemuProcess) };
    world.statements.push(Statement { about: Subject::Interface(12), claim });
    let named = world.look().behind(12);
    assert_eq!((&*named.id, named.number, named.mode.clone()), ("vm/db", guest.number, Some(Mode::Nat)));
}

#[test]
fn a_macvtap_guest_has_the_interfaces_hardware_address_and_no_interface_of_its_own() {
    let mut world = World::new();
    world.links.push(Link { lower: Some(2), ..link(12, "macvtap0", LinkKind::Macvtap) });
    world.look();
    let guest = world.named("vm/macvtap0");
    assert_eq!((guest.mode.clone(), guest.interfaces[0].mac), (Some(Mode::Macvtap), Some(mac(12))));
    assert_eq!(world.registry.owner_of(12), None, "what it receives does not pass the hooks of that device");
}

#[test]
fn the_container_the_host_itself_runs_in_names_nobody() {
    let mut world = World::new();
    world.own_cgroup = "0::/docker/0909090909090909090909090909090909090909090909090909090909090909\n";
    world.veth(10, Some(0), 3);
    world.namespace(100, Some(0), 1000).processes[0].cgroup = format!("0::/docker/{}\n", id(9)).into();
    assert_eq!(&*world.look().behind(10).id, "netns/100");
}

#[test]
fn two_runtimes_with_the_same_name_are_told_apart() {
    let mut world = World::new();
    world.namespace(100, None, 1000);
    world.namespace(101, None, 1001);
    world.container(1, "web", 1000).network_mode = "none".into();
    world.container(2, "web", 1001).network_mode = "none".into();
    assert_eq!(world.look().ids(), ["host", "container/web", "container/web~17"]);
}

#[test]
fn the_host_lists_every_interface_with_an_address() {
    let mut world = World::new();
    let host = world.look().named("host");
    assert_eq!((host.number, &*host.name, host.netns), (EndpointId::HOST, "node-1", Some(OWN)));
    let names: Vec<_> = host.interfaces.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["eth0", "docker0"]);
}

#[test]
fn an_end_of_somebodys_pair_is_not_the_hosts_for_its_link_local_address() {
    let mut world = World::new();
    world.veth(10, Some(1), 3);
    world.address(10, "fe80::1", 64);
    let names = |world: &mut World| -> Vec<String> {
        world.look().named("host").interfaces.iter().map(|one| one.name.to_string()).collect()
    };
    assert_eq!(names(&mut world), ["eth0", "docker0"]);
    world.address(10, "198.51.100.77", 32);
    assert_eq!(names(&mut world), ["eth0", "docker0", "veth10"], "routed pairs may have one that matters");
}

#[test]
fn a_network_namespace_with_a_name_goes_by_it() {
    let mut world = World::new();
    world.veth(10, Some(1), 3);
    world.namespace(100, Some(1), 1000).path = Some("/run/netns/blue".into());
    assert_eq!(world.look().ids(), ["host", "netns/blue"]);
    world.namespaces[0].path = Some("/run/docker/netns/5e8c0ffee123".into());
    assert_eq!(world.look().ids(), ["host", "netns/100"], "a file of a runtime's own is no name");
}
