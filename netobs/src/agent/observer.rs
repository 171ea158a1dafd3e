//! The world as it is known, the kernel side, and the collector: each change is taken in, each tick judged.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use jiff::Timestamp;
use netobs_common::{
    endpoint::Kind,
    interface::{Interface, Role},
};

use super::{conntrack::Tracker, interfaces, publish, tables};
use crate::{
    collector::{Baseline, Clock, Collector, Names, Reading},
    failure,
    flow::table::Directory as _,
    host::{
        environment,
        facts::{Facts, HostEvent, LinkKind},
        health::WatchHealth,
        namespaces,
    },
    identity::{
        observed::{Namespace, Observed},
        registry::Registry,
    },
    kernel::{self, AttachMode, Attached, Drain, Kernel, Options},
    report::{InterfaceState, Report},
    runtime::{
        facts::{Containers, RuntimeContainer, RuntimeUpdate},
        namespaces::NamespaceReader,
    },
    settings::{Attach, Settings},
};

/// Interfaces that programs are put on before anything else gets its turn: 0.2 s.
const AT_ONCE: usize = 8;
/// How long an end of a pair waits for the other end to be moved away.
const MOVED_WITHIN: Duration = Duration::from_millis(100);

/// An interface that programs are on.
pub(super) struct Placed {
    pub(super) number: u32,
    pub(super) attached: Attached,
    pub(super) told: Interface,
    /// Both counts at the first tick after attaching.
    pub(super) baseline: Option<Baseline>,
}

/// Everything the agent knows.
pub(super) struct Observer {
    pub(super) settings: Settings,
    pub(super) node: Arc<str>,
    own_namespace: u64,
    own_cgroup: String,
    pub(super) kernel: Kernel,
    pub(super) owners: Result<(), Arc<str>>,
    drain: Drain,
    pub(super) facts: Facts,
    pub(super) uplinks: BTreeSet<u32>,
    synced: bool,
    pub(super) containers: Containers,
    pub(super) reader: NamespaceReader,
    namespaces: Vec<Namespace>,
    namespaces_read: Instant,
    pub(super) registry: Registry,
    pub(super) collector: Collector,
    pub(super) placed: BTreeMap<u32, Placed>,
    /// Interfaces that programs are still to be put on, in the order in which they appeared.
    waiting: VecDeque<u32>,
    /// Ends of pairs whose other end is here too, with the time until which it may still be moved.
    deferred: BTreeMap<u32, Instant>,
    /// Interfaces that programs are not on, and why.
    pub(super) unplaced: HashMap<u32, (InterfaceState, Arc<str>)>,
    pub(super) health: Vec<(&'static str, Arc<WatchHealth>)>,
    pub(super) unwritten: usize,
    before: u64,
    pub(super) tick_seconds: f64,
}

impl Observer {
    /// Loads the kernel side. Nothing is attached before the host's interfaces are known.
    pub(super) fn start(settings: &Settings) -> Result<Self> {
        let removed = kernel::cleanup()?;
        for one in &removed {
            tracing::info!(removed = %one, "left behind by an agent that was killed");
        }
        let attach = match settings.attach {
            Attach::Auto => AttachMode::Auto,
            Attach::Tcx => AttachMode::Tcx,
            Attach::Clsact => AttachMode::Clsact,
        };
        let mut kernel = Kernel::load(Options { max_flows: settings.max_flows, attach })?;
        let owners = match environment::cgroup2() {
            Some(root) => kernel.record_owners(&root).map_err(|error| failure::one_line(&error).into()),
            None => Err("no version 2 cgroup hierarchy is mounted".into()),
        };
        if let Err(why) = &owners {
            tracing::warn!(%why, "owners of host sockets stay unknown");
        }
        let node = nix::sys::utsname::uname()?;
        Ok(Self {
            settings: settings.clone(),
            node: node.nodename().to_string_lossy().into(),
            own_namespace: namespaces::own_namespace()?,
            own_cgroup: std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
            kernel,
            owners,
            drain: Drain::default(),
            facts: Facts::default(),
            uplinks: BTreeSet::new(),
            synced: false,
            containers: Containers::default(),
            reader: NamespaceReader::default(),
            namespaces: Vec::new(),
            namespaces_read: Instant::now(),
            registry: Registry::default(),
            collector: Collector::default(),
            placed: BTreeMap::new(),
            waiting: VecDeque::new(),
            deferred: BTreeMap::new(),
            unplaced: HashMap::new(),
            health: Vec::new(),
            unwritten: 0,
            before: kernel::monotonic_now(),
            tick_seconds: 0.0,
        })
    }

    /// A reader of notifications whose losses are to be published.
    pub(super) fn watches(&mut self, source: &'static str, health: Arc<WatchHealth>) {
        self.health.push((source, health));
    }

    /// Whether the host's interfaces are known.
    pub(super) const fn is_synced(&self) -> bool {
        self.synced
    }

    pub(super) fn namespaces_age(&self) -> Duration {
        self.namespaces_read.elapsed()
    }

    /// Takes in changes of the host and attaches what appeared; whether namespaces are to be read again.
    pub(super) fn host_changed(&mut self, events: impl Iterator<Item = HostEvent>) -> bool {
        let mut matters = false;
        for event in events {
            self.facts.apply(&event);
            match &event {
                HostEvent::Synced(_) => (self.synced, matters) = (true, true),
                HostEvent::LinkGone(link) => {
                    self.remove(link.index);
                    self.registry.forget_interface(link.index);
                    matters = true;
                }
                HostEvent::LinkAppeared(_) | HostEvent::LinkChanged { .. } => matters = true,
                HostEvent::FactsChanged(tables) => matters |= tables.namespaces,
            }
        }
        self.uplinks = self.facts.uplinks(&self.settings.uplinks);
        self.judge();
        matters
    }

    /// Takes in what a runtime says.
    pub(super) fn containers_changed(&mut self, update: RuntimeUpdate) {
        self.containers.apply(update);
        self.judge();
    }

    /// Reads the network namespaces of the host.
    pub(super) async fn read_namespaces(&mut self) {
        let containers: Vec<Arc<RuntimeContainer>> = self.containers.by_id.values().cloned().collect();
        self.namespaces_read = Instant::now();
        match self.reader.read(&containers).await {
            Ok(found) => {
                self.namespaces = found;
                self.judge();
            }
            Err(error) => tracing::warn!(error = %failure::one_line(&error), "namespaces stay as they were"),
        }
    }

    /// Who is who, now: endpoints first, then interfaces, then what the kernel side looks up.
    fn judge(&mut self) {
        if !self.synced {
            return;
        }
        let containers: Vec<Arc<RuntimeContainer>> = self.containers.by_id.values().cloned().collect();
        let observed = Observed {
            node: &self.node,
            own_namespace: self.own_namespace,
            own_cgroup: &self.own_cgroup,
            facts: &self.facts,
            uplinks: &self.uplinks,
            namespaces: &self.namespaces,
            containers: &containers,
            statements: &[],
        };
        self.registry.observe(&observed, Instant::now());
        self.place_all();
        self.place_waiting();
        self.write();
    }

    /// What the kernel side looks up addresses by.
    fn write(&mut self) {
        let number = |index: u32| self.placed.get(&index).map(|placed| placed.number);
        let addresses = tables::addresses(&self.registry, number);
        let prefixes = tables::prefixes(&self.facts, &self.uplinks);
        self.unwritten = self.kernel.set_addresses(addresses) + self.kernel.set_prefixes(prefixes);
    }

    /// Whether interfaces wait for programs.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Puts programs on a few of the waiting interfaces: the kernel takes some 25 ms for each (two hooks, each
    /// with a grace period under the lock of the network configuration, Linux 6.18), and ticks go on meanwhile.
    pub(super) fn place_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        for _ in 0..AT_ONCE {
            let Some(index) = self.waiting.pop_front() else { break };
            self.attach(index);
        }
        if self.waiting.is_empty() {
            // Ports and addresses refer to bridges that have a number only now.
            self.place_all();
            self.write();
        }
    }

    fn place_all(&mut self) {
        // Bridges first: their ports refer to them.
        let mut links: Vec<u32> = self.facts.links.keys().copied().collect();
        links.sort_by_key(|index| self.facts.links.get(index).is_some_and(|link| link.master.is_some()));
        for index in links {
            self.place(index);
        }
    }

    /// What the kernel side is to be told of an interface, with its number left open; why it is not observed.
    fn described(&self, index: u32) -> Option<Result<Interface, &'static str>> {
        let link = self.facts.links.get(&index)?;
        let role = match interfaces::role(link, &self.uplinks) {
            Ok(role) => role,
            Err(why) => return Some(Err(why)),
        };
        let number = self.placed.get(&index).map_or(0, |placed| placed.number);
        let bridge = self.facts.bridge_of(index).and_then(|one| self.placed.get(&one)).map(|one| one.number);
        let owner = self.registry.owner_of(index).map(|owner| {
            (owner, self.registry.by_number(owner).map_or(Kind::UNKNOWN, |endpoint| endpoint.kind))
        });
        Some(Ok(interfaces::describe(&self.facts, link, role, number, bridge, owner)))
    }

    fn place(&mut self, index: u32) {
        match self.described(index) {
            None => {}
            Some(Err(why)) => {
                self.remove(index);
                self.unplaced.insert(index, (InterfaceState::Skipped, why.into()));
            }
            Some(Ok(told)) if self.placed.contains_key(&index) => self.tell(index, told),
            // Tried once: it is tried again when it is another interface.
            Some(Ok(_)) if matches!(self.unplaced.get(&index), Some((InterfaceState::Failed, _))) => {}
            Some(Ok(_)) if self.waiting.contains(&index) => {}
            Some(Ok(_)) if self.may_be_moved(index) => {}
            Some(Ok(_)) => {
                self.deferred.remove(&index);
                self.waiting.push_back(index);
            }
        }
    }

    /// Runtimes make a pair and move one end a moment later: until then it is not worth the kernel's time to
    /// attach to that end, and the other one is attached as soon as it has gone.
    fn may_be_moved(&mut self, index: u32) -> bool {
        let Some(link) = self.facts.links.get(&index) else { return false };
        let other_is_here = link.peer_namespace.is_none()
            && link.lower.and_then(|other| self.facts.links.get(&other)).is_some_and(|other| {
                other.kind == LinkKind::Veth && other.lower == Some(index) && other.peer_namespace.is_none()
            });
        if link.kind != LinkKind::Veth || !other_is_here {
            return false;
        }
        let now = Instant::now();
        now < *self.deferred.entry(index).or_insert(now + MOVED_WITHIN)
    }

    /// When the next deferred interface is due.
    pub(super) fn deferred_until(&self) -> Option<Instant> {
        self.deferred.values().min().copied()
    }

    /// Attaches deferred interfaces whose other end has stayed.
    pub(super) fn place_deferred(&mut self) {
        let now = Instant::now();
        let due: Vec<u32> =
            self.deferred.iter().filter(|(_, at)| **at <= now).map(|(index, _)| *index).collect();
        for index in due {
            self.place(index);
            self.deferred.remove(&index);
        }
        self.place_waiting();
    }

    fn attach(&mut self, index: u32) {
        // It may have gone, or become another kind of interface, while it waited.
        let Some(Ok(mut told)) = self.described(index) else { return };
        let Some(name) = self.facts.links.get(&index).map(|link| link.name.clone()) else { return };
        let number = self.collector.interfaces.begin(index, &name);
        told.id = number;
        if told.role == Role::BRIDGE {
            told.segment = number;
        }
        match self.kernel.attach(index, &name, told) {
            Ok(attached) => {
                self.unplaced.remove(&index);
                self.placed.insert(index, Placed { number, attached, told, baseline: None });
                if let Some(one) = self.collector.interfaces.get_mut(number) {
                    one.kernel = told;
                }
                tracing::debug!(interface = %name, role = told.role.name(), how = attached.name(), "attached");
            }
            Err(error) => {
                let why = failure::one_line(&error);
                tracing::debug!(interface = %name, %why, "not observed");
                self.unplaced.insert(index, (InterfaceState::Failed, why.into()));
                if let Some(one) = self.collector.interfaces.get_mut(number) {
                    one.alive = false;
                }
            }
        }
    }

    fn tell(&mut self, index: u32, told: Interface) {
        let Some(placed) = self.placed.get_mut(&index) else { return };
        let name = self.facts.links.get(&index).map_or("", |link| link.name.as_str());
        if let Some(one) = self.collector.interfaces.get_mut(placed.number) {
            if &*one.name != name {
                one.name = name.into();
            }
            one.kernel = told;
        }
        if placed.told == told {
            return;
        }
        match self.kernel.set_interface(index, told) {
            Ok(()) => placed.told = told,
            Err(error) => tracing::warn!(interface = %name, why = %failure::one_line(&error), "not told"),
        }
    }

    fn remove(&mut self, index: u32) {
        self.waiting.retain(|one| *one != index);
        self.deferred.remove(&index);
        self.unplaced.remove(&index);
        if let Some(placed) = self.placed.remove(&index) {
            self.kernel.detach(index);
            if let Some(one) = self.collector.interfaces.get_mut(placed.number) {
                one.alive = false;
            }
        }
    }

    /// Reads the kernel side, judges, publishes.
    pub(super) async fn tick(&mut self, tracker: &mut Tracker) -> Result<Report> {
        let began = Instant::now();
        let now = kernel::monotonic_now();
        self.kernel.drain(&mut self.drain)?;
        let counted = crate::host::counters::link_counters().await;
        tracker.update(now);

        let names = Names::of(&self.registry);
        let reading = Reading {
            flows: &self.drain.flows,
            paths: &self.drain.paths,
            skips: &self.drain.skips,
            spill: &self.drain.spill,
            now,
        };
        self.collector.read(&reading, &names, tracker.translations());
        for key in self.collector.expire(&names, now) {
            let last = self.kernel.take_flow(&key)?;
            self.collector.flows.taken(&key, last);
        }
        self.collector.settle(&names, now);
        ask_owners(&mut self.collector, &self.kernel, &names);

        let interval = Duration::from_nanos(now.saturating_sub(self.before).max(1));
        self.before = now;
        let clock = Clock { monotonic: now, wall: Timestamp::now() };
        let flows = self.collector.rows(&names, clock, interval);
        let totals = self.collector.totals(&names);
        self.collector.flows.close_tick();
        if let Ok(counted) = counted {
            publish::baselines(&mut self.placed, &self.collector, &self.facts, &counted);
            let health = publish::health(self, tracker.state(), &self.drain, &counted);
            let report = publish::report(self, clock.wall, interval, flows, totals, health);
            self.tick_seconds = began.elapsed().as_secs_f64();
            return Ok(report);
        }
        let health = publish::health(self, tracker.state(), &self.drain, &HashMap::new());
        self.tick_seconds = began.elapsed().as_secs_f64();
        Ok(publish::report(self, clock.wall, interval, flows, totals, health))
    }
}

/// A connection of the host to one of its endpoints may be `docker-proxy`'s, made on behalf of another one.
fn ask_owners(collector: &mut Collector, kernel: &Kernel, names: &Names<'_>) {
    const PROXY: &[u8] = b"docker-proxy";
    for conversation in collector.flows.iter_mut().filter(|one| one.settled && !one.owner_asked) {
        conversation.owner_asked = true;
        if names.kind(conversation.source) != Kind::HOST {
            continue;
        }
        let sockets = conversation.sightings.iter().map(|sighting| sighting.latest.socket);
        let owner = sockets.filter(|cookie| *cookie != 0).find_map(|cookie| kernel.owner(cookie));
        if owner.is_some_and(|owner| owner.command.starts_with(PROXY)) {
            conversation.proxied_by = Some("docker-proxy".into());
        }
    }
}
