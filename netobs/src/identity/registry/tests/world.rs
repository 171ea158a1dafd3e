//! A small host to judge: links, namespaces and containers put together in a few words.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    host::facts::{
        Address, AddressScope, Facts, FdbEntry, Link, LinkCounters, LinkKind, Neighbour, NeighbourState,
        Route, RouteKind, firewall::Ruleset, table,
    },
    identity::{
        claim::Statement,
        endpoint::Endpoint,
        observed::{Namespace, Observed, Process},
        registry::Registry,
    },
    runtime::{
        facts::guest::Guest,
        facts::pod::RuntimePod,
        facts::{RuntimeContainer, RuntimeName, RuntimeNetwork},
    },
};

pub(super) const OWN: u64 = 4_026_531_840;
pub(super) const UPLINK: u32 = 2;

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

/// A container's id, 64 digits.
pub(super) fn id(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

pub(super) struct World {
    pub(super) registry: Registry,
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) fdb: Vec<FdbEntry>,
    pub(super) namespaces: Vec<Namespace>,
    pub(super) containers: Vec<Arc<RuntimeContainer>>,
    pub(super) pods: Vec<Arc<RuntimePod>>,
    pub(super) guests: Vec<Arc<Guest>>,
    /// When guests were looked at, if not just now.
    pub(super) guests_looked_at: Option<Instant>,
    pub(super) seen: BTreeMap<u32, BTreeSet<IpAddr>>,
    pub(super) nat_rules: Option<Ruleset>,
    pub(super) statements: Vec<Statement>,
    pub(super) own_cgroup: &'static str,
    pub(super) now: Instant,
}

impl World {
    /// A host with an uplink, and `docker0` (index 3, 172.17.0.1/16).
    pub(super) fn new() -> Self {
        let mut world = Self {
            registry: Registry::default(),
            links: vec![link(UPLINK, "eth0", LinkKind::Physical)],
            addresses: Vec::new(),
            routes: Vec::new(),
            neighbours: Vec::new(),
            fdb: Vec::new(),
            namespaces: Vec::new(),
            containers: Vec::new(),
            pods: Vec::new(),
            guests: Vec::new(),
            guests_looked_at: None,
            seen: BTreeMap::new(),
            nat_rules: None,
            statements: Vec::new(),
            own_cgroup: "0::/\n",
            now: Instant::now(),
        };
        world.address(UPLINK, "198.51.100.7", 24);
        world.bridge(3, "docker0", "172.17.0.1", 16);
        world
    }

    pub(super) fn look(&mut self) -> &mut Self {
        let facts = Facts::from_lists(
            self.links.clone(),
            self.addresses.clone(),
            self.routes.clone(),
            self.neighbours.clone(),
            self.fdb.clone(),
        );
        let observed = Observed {
            node: "node-1",
            own_namespace: OWN,
            own_cgroup: self.own_cgroup,
            facts: &facts,
            uplinks: &BTreeSet::from([UPLINK]),
            namespaces: &self.namespaces,
            containers: &self.containers,
            pods: &self.pods,
            guests: &self.guests,
            guests_looked_at: self.guests_looked_at.or(Some(self.now)),
            seen: &self.seen,
            nat_rules: self.nat_rules.as_ref(),
            statements: &self.statements,
        };
        self.registry.observe(&observed, self.now);
        self
    }

    pub(super) fn later(&mut self, seconds: u64) -> &mut Self {
        self.now += Duration::from_secs(seconds);
        self
    }

    pub(super) fn bridge(&mut self, index: u32, name: &str, address: &str, prefix: u8) {
        self.links.push(link(index, name, LinkKind::Bridge));
        self.address(index, address, prefix);
        let network = ipnet::IpNet::new(ip(address), prefix).unwrap().trunc();
        self.route(&network.to_string(), index);
    }

    pub(super) fn route(&mut self, to: &str, link: u32) {
        self.routes.push(Route {
            table: table::MAIN,
            destination: to.parse().unwrap(),
            metric: 0,
            link: Some(link),
            gateway: None,
            preferred_source: None,
            kind: RouteKind::Unicast,
        });
    }

    pub(super) fn address(&mut self, on: u32, address: &str, prefix: u8) {
        self.addresses.push(self::address(on, address, prefix));
    }

    /// The host's end of a pair, a port of `master` unless that is 0.
    pub(super) fn veth(&mut self, index: u32, nsid: Option<i32>, master: u32) -> &mut Link {
        self.links.push(Link {
            master: (master != 0).then_some(master),
            peer_namespace: nsid,
            lower: Some(2),
            ..link(index, &format!("veth{index}"), LinkKind::Veth)
        });
        self.links.last_mut().unwrap()
    }

    pub(super) fn link(&mut self, index: u32) -> &mut Link {
        self.links.iter_mut().find(|one| one.index == index).unwrap()
    }

    /// A namespace with one process, by default in no container's cgroup.
    pub(super) fn namespace(&mut self, inode: u64, nsid: Option<i32>, pid: u32) -> &mut Namespace {
        let process = Process { pid, start_time: u64::from(pid) * 10, cgroup: "0::/x.service\n".into() };
        self.namespaces.push(Namespace { inode, nsid, processes: vec![process], ..Namespace::default() });
        self.namespaces.last_mut().unwrap()
    }

    pub(super) fn container(&mut self, n: u8, name: &str, pid: u32) -> &mut RuntimeContainer {
        self.containers.push(Arc::new(RuntimeContainer {
            id: id(n).into(),
            name: name.into(),
            image: "image:1".into(),
            runtime: RuntimeName::Docker,
            pid,
            started_at: Some(jiff::Timestamp::from_second(i64::from(n)).unwrap()),
            labels: BTreeMap::new(),
            network_mode: "default".into(),
            networks: Vec::new(),
            ports: Vec::new(),
            sandbox_key: None,
        }));
        Arc::get_mut(self.containers.last_mut().unwrap()).unwrap()
    }

    /// A pod of the runtime's, by default 10.244.1.5 on a network that no interface of the host belongs to.
    pub(super) fn pod(&mut self, n: u8, name: &str, pid: u32) -> &mut RuntimePod {
        self.pods.push(Arc::new(RuntimePod {
            sandbox: id(n).into(),
            uid: format!("uid-{n}").into(),
            namespace: "shop".into(),
            name: name.into(),
            workload: None,
            runtime: "containerd".into(),
            created_at: Some(jiff::Timestamp::from_second(i64::from(n)).unwrap()),
            host_network: false,
            pid,
            netns: None,
            ignored: false,
            addresses: vec![ip("10.244.1.5")],
            containers: Vec::new(),
        }));
        Arc::get_mut(self.pods.last_mut().unwrap()).unwrap()
    }

    /// The bridged container everybody knows: veth 10, namespace 100, process 1000, 172.17.0.2.
    pub(super) fn with_web() -> Self {
        let mut world = Self::new();
        world.veth(10, Some(0), 3);
        world.namespace(100, Some(0), 1000);
        world.container(1, "web", 1000).networks.push(on_bridge("bridge", "docker0", "172.17.0.2", 2));
        world
    }

    pub(super) fn learned(&mut self, port: u32, bridge: u32, mac: [u8; 6]) {
        self.fdb.push(FdbEntry {
            link: port,
            mac,
            vlan: None,
            remote: None,
            bridge: Some(bridge),
            own_table: false,
            is_local: false,
            permanent: false,
        });
    }

    pub(super) fn neighbour(&mut self, on: u32, address: &str, mac: [u8; 6]) {
        self.neighbours.push(Neighbour {
            link: on,
            address: ip(address),
            mac: Some(mac),
            state: NeighbourState::Stale,
        });
    }

    /// The endpoint behind an interface.
    #[track_caller]
    pub(super) fn behind(&self, interface: u32) -> Arc<Endpoint> {
        let owner = self.registry.owner_of(interface).expect("an owner");
        Arc::clone(self.registry.by_number(owner).expect("an endpoint"))
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.registry.endpoints().iter().map(|one| one.id.to_string()).collect()
    }

    #[track_caller]
    pub(super) fn named(&self, id: &str) -> Arc<Endpoint> {
        let found = self.registry.endpoints().into_iter().find(|one| &*one.id == id);
        found.unwrap_or_else(|| panic!("{id} is not among {:?}", self.ids()))
    }

    pub(super) fn at(&self, segment: u32, address: &str) -> Option<Arc<str>> {
        let number = self.registry.lookup(segment, ip(address))?;
        self.registry.by_number(number).map(|one| Arc::clone(&one.id))
    }
}

pub(super) fn link(index: u32, name: &str, kind: LinkKind) -> Link {
    Link {
        index,
        name: name.into(),
        kind,
        mac: Some(mac(index as u8)),
        master: None,
        lower: None,
        peer_namespace: None,
        up: true,
        carrier: true,
        carrier_losses: 0,
        arphrd: 1,
        mtu: 1500,
        counters: LinkCounters::default(),
    }
}

pub(super) fn address(on: u32, address: &str, prefix: u8) -> Address {
    Address {
        link: on,
        address: ip(address),
        prefix,
        scope: AddressScope::Global,
        peer: None,
        broadcast: None,
    }
}

/// A network switched by a bridge, with hardware address 02::`last`.
pub(super) fn on_bridge(name: &str, bridge: &str, address: &str, last: u8) -> RuntimeNetwork {
    RuntimeNetwork {
        name: name.into(),
        id: format!("{name}-id").into(),
        driver: "bridge".into(),
        bridge_interface: Some(bridge.into()),
        parent: None,
        address: Some(ip(address)),
        address6: None,
        prefix: 16,
        mac: Some(mac(last)),
        gateway: None,
    }
}

pub(super) fn on_parent(driver: &str, parent: &str, address: &str) -> RuntimeNetwork {
    RuntimeNetwork {
        driver: driver.into(),
        bridge_interface: None,
        parent: Some(parent.into()),
        ..on_bridge("lan", "", address, 0x77)
    }
}
