//! A made-up host: `docker0` with containers a and b, `br1` with c, an uplink and loopback. Packets of
//! connections become readings, readings become reports, and what had to be counted is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use netobs_common::{
    counters::Counters,
    drop::{DropCounters, DropKey, DropRestKey, Dropped},
    endpoint::{Kind, Party},
    hook::Hook,
    icmp_error::{IcmpError, IcmpErrorKey},
    interface::{Interface, Role},
    tunnel::Encapsulation,
    wire::TcpFlags,
};

use super::{
    journey::Connection,
    kernel::{Frame, Kernel},
};
use crate::{
    collector::{Clock, Collector, DropReading, Names, Reading},
    flow::{
        conversation::{Conversation, Counting},
        translation::Translations,
    },
    host::facts::{Address, AddressScope, Facts, Link, LinkCounters, LinkKind, Route, RouteKind, table},
    identity::{
        observed::{Namespace, Observed, Process},
        registry::Registry,
    },
    report::{Direction, DropRow, FlowRow, KindName, PairRow, ProtocolName, Totals},
    runtime::facts::{RuntimeContainer, RuntimeName, RuntimeNetwork},
};

pub(super) const SECOND: u64 = 1_000_000_000;

/// Bytes by who sends, who receives, and protocol.
pub(super) type Books = BTreeMap<(KindName, KindName, ProtocolName), Counters>;

/// What a tick publishes.
pub(super) struct Tick {
    pub(super) rows: Vec<FlowRow>,
    pub(super) pairs: Vec<PairRow>,
    pub(super) drops: Vec<DropRow>,
    pub(super) totals: Totals,
}

pub(super) struct Host {
    pub(super) kernel: Kernel,
    pub(super) collector: Collector,
    pub(super) translations: Translations,
    pub(super) registry: Registry,
    pub(super) now: u64,
    /// What had to be counted.
    pub(super) truth: Books,
    /// Every connection is tracked from its first packet.
    pub(super) tracking: bool,
    /// What the kernel dropped.
    pub(super) drops: BTreeMap<DropKey, DropCounters>,
    pub(super) drops_rest: Vec<(DropRestKey, Dropped)>,
    /// The kernel side's table of ICMP errors.
    pub(super) errors: BTreeMap<[u8; size_of::<IcmpErrorKey>()], IcmpError>,
    /// Behind which everything else lies, on the uplink; behind any of several.
    pub(super) gateways: Vec<IpAddr>,
    facts: Facts,
    last: Totals,
    seen: Instant,
    numbers: BTreeMap<u32, u32>,
    links: Vec<Link>,
    addresses: Vec<Address>,
    namespaces: Vec<Namespace>,
    containers: Vec<Arc<RuntimeContainer>>,
}

impl Host {
    pub(super) fn new() -> Self {
        let mut host = Self::without_containers();
        host.container("va", "a", 3, "172.17.0.2");
        host.container("vb", "b", 3, "172.17.0.3");
        host.container("vc", "c", 4, "172.18.0.2");
        host.look();
        host
    }

    /// Interfaces and their far ends, and nobody known behind them.
    pub(super) fn without_containers() -> Self {
        let mut host = Self {
            kernel: Kernel::default(),
            collector: Collector::default(),
            translations: Translations::default(),
            registry: Registry::default(),
            now: 1_000 * SECOND,
            truth: Books::new(),
            tracking: true,
            drops: BTreeMap::new(),
            drops_rest: Vec::new(),
            errors: BTreeMap::new(),
            gateways: Vec::new(),
            facts: Facts::default(),
            last: Totals::default(),
            seen: Instant::now(),
            numbers: BTreeMap::new(),
            links: vec![
                link(1, "lo", LinkKind::Loopback, None),
                link(2, "eth0", LinkKind::Physical, None),
                link(3, "docker0", LinkKind::Bridge, None),
                link(4, "br1", LinkKind::Bridge, None),
                link(10, "va", LinkKind::Veth, Some(3)),
                link(11, "vb", LinkKind::Veth, Some(3)),
                link(12, "vc", LinkKind::Veth, Some(4)),
            ],
            addresses: Vec::new(),
            namespaces: Vec::new(),
            containers: Vec::new(),
        };
        for (on, address, prefix) in
            [(1, "127.0.0.1", 8), (2, "198.51.100.1", 24), (3, "172.17.0.1", 16), (4, "172.18.0.1", 16)]
        {
            host.address(on, address, prefix);
        }
        host.look();
        host
    }

    pub(super) fn address(&mut self, on: u32, address: &str, prefix: u8) {
        self.addresses.push(Address {
            link: on,
            address: address.parse().unwrap(),
            prefix,
            scope: AddressScope::Global,
            peer: None,
            broadcast: None,
        });
    }

    pub(super) fn veth(&mut self, index: u32, name: &str, bridge: u32) {
        self.links.push(link(index, name, LinkKind::Veth, Some(bridge)));
    }

    /// A WireGuard device of the host's.
    pub(super) fn wireguard(&mut self, index: u32, name: &str) {
        self.links.push(link(index, name, LinkKind::Wireguard, None));
    }

    /// The runtime names who is behind an interface. Known from the next [`Self::look`] on.
    pub(super) fn container(&mut self, behind: &str, name: &str, bridge: u32, address: &str) {
        let bridge_name: Arc<str> = if bridge == 3 { "docker0" } else { "br1" }.into();
        let veth = self.links.iter_mut().find(|one| one.name == behind).unwrap();
        let nsid = i32::try_from(veth.index).unwrap();
        let pid = 1_000 + veth.index;
        let own_mac = [2, 1, 0, 0, 0, veth.index as u8];
        veth.peer_namespace = Some(nsid);
        let inode = u64::from(pid) + 100_000;
        let process = Process { pid, start_time: 1, cgroup: "0::/x.service\n".into() };
        self.namespaces.push(Namespace {
            inode,
            nsid: Some(nsid),
            processes: vec![process],
            ..Namespace::default()
        });
        let network = RuntimeNetwork {
            name: bridge_name.clone(),
            id: bridge_name.clone(),
            driver: "bridge".into(),
            bridge_interface: Some(bridge_name),
            parent: None,
            address: Some(address.parse().unwrap()),
            address6: None,
            prefix: 16,
            mac: Some(own_mac),
            gateway: None,
        };
        self.containers.push(Arc::new(RuntimeContainer {
            id: format!("{pid:064x}").into(),
            name: name.into(),
            image: "image:1".into(),
            runtime: RuntimeName::Docker,
            pid,
            started_at: Some(Timestamp::UNIX_EPOCH),
            labels: BTreeMap::new(),
            network_mode: "default".into(),
            networks: vec![network],
            ports: Vec::new(),
            sandbox_key: None,
        }));
    }

    /// Looks at the world, and tells the kernel side.
    pub(super) fn look(&mut self) {
        let connected = self.addresses.iter().map(|one| {
            let network = ipnet::IpNet::new(one.address, one.prefix).unwrap().trunc();
            route(network, one.link)
        });
        let mut routes: Vec<Route> = connected.collect();
        let default = route("0.0.0.0/0".parse().unwrap(), 2);
        routes.extend(self.gateways.iter().map(|one| Route { gateway: Some(*one), ..default.clone() }));
        if self.gateways.is_empty() {
            routes.push(default);
        }
        let facts =
            Facts::from_lists(self.links.clone(), self.addresses.clone(), routes, Vec::new(), Vec::new());
        let observed = Observed {
            node: "node-1",
            own_namespace: 4_026_531_840,
            own_cgroup: "0::/\n",
            facts: &facts,
            uplinks: &BTreeSet::from([2]),
            namespaces: &self.namespaces,
            containers: &self.containers,
            pods: &[],
            guests: &[],
            guests_looked_at: None,
            seen: &BTreeMap::new(),
            nat_rules: None,
            statements: &[],
        };
        self.registry.observe(&observed, self.seen);
        self.facts = facts.clone();
        let links = self.links.clone();
        for one in &links {
            self.tell(one);
        }
        let number = |index: u32| if index == 0 { 0 } else { self.numbers[&index] };
        let known = self.registry.addresses().map(|(segment, address, owner)| {
            ((number(segment), address), Party::new(owner.endpoint, owner.kind, owner.own_interface))
        });
        self.kernel.addresses = known.collect();
        let inner = self.links.iter().filter(|one| one.index != 2);
        self.kernel.prefixes = inner.flat_map(|one| facts.connected_prefixes(one.index)).collect();
    }

    /// As the agent describes interfaces.
    fn tell(&mut self, link: &Link) {
        let number = match self.numbers.get(&link.index) {
            Some(number) => *number,
            None => self.collector.interfaces.begin(link.index, &link.name),
        };
        self.numbers.insert(link.index, number);
        let role = match (&link.kind, link.index) {
            (_, 2) => Role::UPLINK,
            (LinkKind::Loopback, _) => Role::LOOPBACK,
            (LinkKind::Bridge, _) => Role::BRIDGE,
            (LinkKind::Wireguard, _) => Role::OVERLAY,
            _ => Role::VETH,
        };
        let owner = self.registry.owner_of(link.index).filter(|_| role == Role::VETH).unwrap_or_default();
        let told = Interface {
            id: number,
            owner,
            segment: match link.master {
                Some(bridge) => self.numbers[&bridge],
                None if role == Role::BRIDGE => number,
                None => 0,
            },
            role,
            port: u8::from(link.master.is_some()),
            owner_kind: self.registry.by_number(owner).map_or(Kind::UNKNOWN, |one| one.kind),
            ..Interface::default()
        };
        self.kernel.interfaces.insert(number, told);
        let facts = Facts::from_lists(self.links.clone(), vec![], vec![], vec![], vec![]);
        let one = self.collector.interfaces.get_mut(number).unwrap();
        (one.kernel, one.height) = (told, facts.height(link.index, &BTreeSet::from([2])));
        if link.kind == LinkKind::Wireguard {
            one.seals = Encapsulation::WIREGUARD;
        }
    }

    pub(super) fn number(&self, name: &str) -> u32 {
        let link = self.links.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("no {name}"));
        self.numbers[&link.index]
    }

    pub(super) fn index(&self, name: &str) -> u32 {
        self.links.iter().find(|one| one.name == name).unwrap().index
    }

    /// A packet goes its whole way.
    pub(super) fn send(&mut self, connection: &Connection, forward: bool, flags: u8, length: u32) {
        let all = 0..connection.steps(forward).len();
        self.must_count(connection, forward, length);
        self.part(connection, forward, flags, length, all);
    }

    /// Books what a packet must be counted as.
    pub(super) fn must_count(&mut self, connection: &Connection, forward: bool, length: u32) {
        let [source, destination] = connection.kinds;
        let (from, to) = if forward { (source, destination) } else { (destination, source) };
        let protocol = connection.original.protocol().into();
        self.truth.entry((from, to, protocol)).or_default().add(Counters::one(1, length));
        if self.tracking && !connection.group {
            self.translations.add(connection.tracked());
        }
    }

    /// A packet passes some of its hooks.
    pub(super) fn part(
        &mut self,
        connection: &Connection,
        forward: bool,
        flags: u8,
        length: u32,
        steps: Range<usize>,
    ) {
        for step in &connection.steps(forward)[steps] {
            let frame = Frame {
                tuple: connection.seen_as(forward, step.form),
                flags: TcpFlags(flags),
                length,
                group: connection.group && (forward || !connection.asks),
                asks: connection.asks && forward,
                mac: connection.mac,
            };
            let from = step.from.map_or(0, |name| self.index(name));
            self.kernel.see(self.number(step.interface), step.hook, from, &frame, self.now);
            self.now += 1_000;
        }
    }

    /// SYN, SYN with ACK, ACK, and a request of 1,000 bytes with an answer of 2,000.
    pub(super) fn talk(&mut self, connection: &Connection) {
        for (forward, flags, length) in [
            (true, SYN, 74),
            (false, SYN | ACK, 74),
            (true, ACK, 66),
            (true, ACK, 1_000),
            (false, ACK, 2_000),
        ] {
            self.now += 1_000_000;
            self.send(connection, forward, flags, length);
        }
    }

    /// A second passes.
    pub(super) fn second(&mut self) -> Tick {
        self.later(SECOND)
    }

    /// Time passes, and a reading is judged.
    pub(super) fn later(&mut self, nanoseconds: u64) -> Tick {
        self.now += nanoseconds;
        self.seen += Duration::from_nanos(nanoseconds);
        let flows: Vec<_> = self.kernel.flows.iter().map(|(key, read)| (*key, *read)).collect();
        let paths: Vec<_> = self.kernel.paths.iter().map(|(key, read)| (*key, *read)).collect();
        let (skips, now) = (Default::default(), self.now);
        let names = Names::of(&self.registry);
        let drops: Vec<_> = self.drops.iter().map(|(key, read)| (*key, *read)).collect();
        let drops = DropReading { detailed: &drops, rest: &self.drops_rest, apart: &[] };
        let reading = Reading { flows: &flows, paths: &paths, skips: &skips, spill: &[], drops, now };
        self.collector.read(&reading, &names, &self.translations);
        super::errors::hear(&mut self.errors, &mut self.collector, &names, &self.translations, now);
        self.collector.hear_neighbours(&self.facts, &names, &self.translations);
        for key in self.collector.expire(now) {
            let last = self.kernel.flows.remove(&key);
            self.collector.flows.taken(&key, last);
        }
        self.collector.settle(&names, now);
        let clock = Clock { monotonic: now, wall: Timestamp::UNIX_EPOCH };
        let drops = self.collector.drop_rows(&names, clock);
        let rows = self.collector.rows(&names, clock, Duration::from_nanos(nanoseconds));
        let totals = self.collector.totals(&names);
        let pairs = self.collector.pair_rows(&names, clock);
        counted_as_listed(&pairs, &totals);
        self.collector.flows.close_tick();
        never_falls(&self.last, &totals);
        self.last = totals.clone();
        Tick { rows: rows.iter().map(|row| FlowRow::clone(row)).collect(), pairs, drops, totals }
    }

    /// Where a conversation's directions are counted, as `va I`.
    pub(super) fn counted_at(&self, id: &str) -> [String; 2] {
        let found = |one: &&Conversation| &*one.id == id;
        let conversation = self.collector.flows.iter().find(found).unwrap();
        conversation.counting.map(|counting| match counting {
            Counting::At(place) => {
                let name = &self.collector.interfaces.get(place.interface).unwrap().name;
                format!("{name} {}", if place.hook == Hook::INGRESS { "I" } else { "E" })
            }
            other => format!("{other:?}"),
        })
    }
}

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

/// What is booked, by who sends and who receives.
pub(super) fn books(totals: &Totals) -> Books {
    let mut books = Books::new();
    for (labels, counters) in &totals.paths {
        let ends = match labels.direction {
            Direction::Reply => (labels.destination_kind, labels.source_kind),
            Direction::Forward | Direction::Unknown => (labels.source_kind, labels.destination_kind),
        };
        books.entry((ends.0, ends.1, labels.protocol)).or_default().add(*counters);
    }
    books
}

/// The rows of pairs are what the gauge counts.
#[track_caller]
fn counted_as_listed(pairs: &[PairRow], totals: &Totals) {
    let mut counts = BTreeMap::new();
    for pair in pairs {
        *counts.entry((pair.labels, pair.verdict)).or_insert(0) += 1;
    }
    let gauge = totals.pairs.iter().filter(|(_, count)| **count > 0);
    assert_eq!(counts, gauge.map(|(key, count)| (*key, *count)).collect());
}

#[track_caller]
fn never_falls(before: &Totals, now: &Totals) {
    for (labels, counters) in &before.paths {
        let later = now.paths.get(labels).copied().unwrap_or_default();
        assert!(
            later.bytes >= counters.bytes && later.packets >= counters.packets,
            "a counter fell: {labels:?} from {counters:?} to {later:?}"
        );
    }
    assert!(now.overflow_packets >= before.overflow_packets);
}

fn link(index: u32, name: &str, kind: LinkKind, master: Option<u32>) -> Link {
    Link {
        index,
        name: name.into(),
        kind,
        mac: Some([2, 0, 0, 0, 0, index as u8]),
        master,
        lower: master.map(|_| 2),
        peer_namespace: None,
        up: true,
        carrier: true,
        carrier_losses: 0,
        arphrd: 1,
        mtu: 1500,
        counters: LinkCounters::default(),
    }
}

fn route(destination: ipnet::IpNet, link: u32) -> Route {
    Route {
        table: table::MAIN,
        destination,
        metric: 0,
        link: Some(link),
        gateway: None,
        preferred_source: None::<IpAddr>,
        kind: RouteKind::Unicast,
    }
}
