//! The world as it is known, the kernel side, and the collector: each change is taken in, each tick judged.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use jiff::Timestamp;
use netobs_common::endpoint::EndpointId;

use super::{
    conntrack::Tracker,
    drops, elsewhere,
    hidden::Hidden,
    inside::Inside,
    journal,
    placement::Placed,
    processes, publish,
    seen::{self, Seen},
    sockets::Sockets,
    tables,
    tunnels::Underlay,
};
use crate::{
    collector::{Clock, Collector, DropReading, Names, Reading},
    failure,
    host::{
        environment,
        facts::{Facts, HostEvent},
        health::WatchHealth,
        namespaces,
    },
    identity::{
        claim::{Statement, Subject},
        observed::{Namespace, Observed},
        registry::Registry,
        services::Services,
    },
    kernel::{self, AttachMode, Drain, Kernel, Options},
    report::{InterfaceState, Report},
    runtime::{
        facts::pod::{PodUpdate, Pods, RuntimePod},
        facts::{
            Containers, RuntimeContainer, RuntimeState, RuntimeUpdate,
            cluster::{Cluster, ClusterUpdate},
        },
        guests::watch::Look,
        namespaces::NamespaceReader,
    },
    settings::{Attach, Settings},
};

/// Everything the agent knows.
pub(super) struct Observer {
    pub(super) settings: Settings,
    pub(super) node: Arc<str>,
    own_namespace: u64,
    own_cgroup: String,
    pub(super) kernel: Kernel,
    pub(super) owners: Result<(), Arc<str>>,
    pub(super) drops: drops::Watch,
    sockets: Sockets,
    pub(super) journal: journal::Watch,
    drain: Drain,
    pub(super) facts: Facts,
    pub(super) uplinks: BTreeSet<u32>,
    pub(super) underlay: Underlay,
    synced: bool,
    pub(super) containers: Containers,
    pub(super) pods: Pods,
    /// This node's name in the cluster.
    pub(super) cluster_node: Arc<str>,
    pub(super) cluster_state: Option<RuntimeState>,
    statements: Vec<Statement>,
    /// UIDs of pods that the cluster says are not to be shown.
    ignored: HashSet<Arc<str>>,
    hidden: Hidden,
    services: Services,
    /// What was last seen of virtual machines; none before the first look.
    pub(super) guests: Option<Look>,
    seen: Seen,
    pub(super) reader: NamespaceReader,
    pub(super) namespaces: Vec<Namespace>,
    pub(super) inside: Inside,
    namespaces_read: Instant,
    pub(super) registry: Registry,
    pub(super) collector: Collector,
    pub(super) placed: BTreeMap<u32, Placed>,
    /// Interfaces that programs are still to be put on, in the order in which they appeared.
    pub(super) waiting: VecDeque<u32>,
    /// Ends of pairs whose other end is here too, with the time until which it may still be moved.
    pub(super) deferred: BTreeMap<u32, Instant>,
    /// Interfaces that attaching failed on, when and by which name.
    pub(super) failed: HashMap<u32, (Instant, String)>,
    /// Interfaces that programs are not on, and why.
    pub(super) unplaced: HashMap<u32, (InterfaceState, Arc<str>)>,
    pub(super) health: Vec<(&'static str, Arc<WatchHealth>)>,
    pub(super) unwritten: usize,
    /// The last interface looked at for programs before ours.
    pub(super) looked_at: u32,
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
        let own_namespace = namespaces::own_namespace()?;
        let mut kernel = Kernel::load(Options {
            max_flows: settings.max_flows,
            attach,
            // Inodes of namespaces are 32 bits wide (`ns_common.inum`, Linux 6.18).
            own_network: u32::try_from(own_namespace).unwrap_or(0),
        })?;
        let owners = match environment::cgroup2() {
            Some(root) => kernel.record_owners(&root).map_err(|error| failure::one_line(&error).into()),
            None => Err("no version 2 cgroup hierarchy is mounted".into()),
        };
        if let Err(why) = &owners {
            tracing::warn!(%why, "owners of host sockets stay unknown");
        }
        let mut collector = Collector::default();
        let drops = drops::Watch::start(&mut kernel, &mut collector, own_namespace);
        let node = nix::sys::utsname::uname()?;
        let mut observer = Self {
            settings: settings.clone(),
            node: node.nodename().to_string_lossy().into(),
            own_namespace,
            own_cgroup: std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
            kernel,
            owners,
            drops,
            sockets: Sockets::new(),
            journal: journal::Watch::default(),
            drain: Drain::default(),
            facts: Facts::default(),
            uplinks: BTreeSet::new(),
            underlay: Underlay::default(),
            synced: false,
            containers: Containers::default(),
            pods: Pods::default(),
            cluster_node: settings.node_name.as_deref().unwrap_or(&node.nodename().to_string_lossy()).into(),
            cluster_state: None,
            statements: Vec::new(),
            ignored: HashSet::new(),
            hidden: Hidden::default(),
            services: Services::default(),
            guests: None,
            seen: Seen::default(),
            reader: NamespaceReader::default(),
            namespaces: Vec::new(),
            inside: Inside::default(),
            namespaces_read: Instant::now(),
            registry: Registry::default(),
            collector,
            placed: BTreeMap::new(),
            waiting: VecDeque::new(),
            deferred: BTreeMap::new(),
            failed: HashMap::new(),
            unplaced: HashMap::new(),
            health: Vec::new(),
            unwritten: 0,
            looked_at: 0,
            before: kernel::monotonic_now(),
            tick_seconds: 0.0,
        };
        observer.look_elsewhere(&Cluster::default());
        Ok(observer)
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

    /// Whether somebody who had no address when looked at may have one by now.
    pub(super) fn awaits_addresses(&self) -> bool {
        self.reader.awaits_addresses(Instant::now())
    }

    /// Takes in changes of the host and attaches what appeared; whether namespaces are to be read again.
    pub(super) fn host_changed(&mut self, events: impl Iterator<Item = HostEvent>) -> bool {
        let (mut matters, mut changed) = (false, false);
        for event in events {
            if let HostEvent::NeighbourFailed { link, address } = event {
                self.collector.neighbour_failed(link, address, kernel::monotonic_now());
                continue;
            }
            changed = true;
            self.journal.host(&event, &self.facts, Timestamp::now());
            self.facts.apply(&event);
            match &event {
                HostEvent::Synced(_) => (self.synced, matters) = (true, true),
                HostEvent::LinkGone(link) => {
                    self.remove(link.index);
                    self.registry.forget_interface(link.index);
                    self.seen.forget(link.index);
                    matters = true;
                }
                HostEvent::LinkAppeared(_) | HostEvent::LinkChanged { .. } => matters = true,
                HostEvent::FactsChanged(tables) => matters |= tables.namespaces,
                HostEvent::NeighbourFailed { .. } => {}
            }
        }
        // Nothing of what is judged below.
        if !changed {
            return false;
        }
        self.uplinks = self.facts.uplinks(&self.settings.uplinks);
        self.underlay = Underlay::of(&self.facts, &self.uplinks, &self.settings.vxlan_ports);
        self.seen.settle(&self.facts.links, kernel::monotonic_now());
        self.judge();
        matters
    }

    /// Takes in what a runtime says.
    pub(super) fn containers_changed(&mut self, update: RuntimeUpdate) {
        self.containers.apply(update);
        self.look_at_owners();
        self.judge();
    }

    /// Takes in what the pod runtime says.
    pub(super) fn pods_changed(&mut self, update: PodUpdate) {
        self.pods.apply(update);
        self.look_at_owners();
        self.judge();
    }

    /// Whose sockets on the host's stack are to be told from the host's own; whether anybody of them ended unsaid.
    fn look_at_owners(&mut self) -> bool {
        let containers = self.containers.by_id.values().filter(|one| one.is_host_network());
        let containers = containers.map(|one| (&one.id, one.pid));
        let pods = || self.pods.by_sandbox.values().filter(|one| one.host_network);
        let of_pods = pods().flat_map(|pod| pod.containers.iter().map(|one| (&one.id, one.pid)));
        let sandboxes = pods().map(|pod| (&pod.sandbox, pod.pid));
        self.sockets.settle(containers.chain(of_pods), sandboxes)
    }

    /// Takes in what the cluster's API says. What it said stays while it is away.
    pub(super) fn cluster_changed(&mut self, update: ClusterUpdate) {
        match update {
            ClusterUpdate::State(state) => self.cluster_state = Some(state),
            ClusterUpdate::Cluster(cluster) => self.look_elsewhere(&cluster),
        }
    }

    fn look_elsewhere(&mut self, cluster: &Cluster) {
        let places = elsewhere::places(&self.settings, cluster, &self.cluster_node);
        self.registry.observe_elsewhere(places, Instant::now());
        self.statements = elsewhere::statements(cluster);
        let ignored = cluster.pods.iter().filter(|pod| pod.ignored);
        self.ignored = ignored.flat_map(|pod| pod.uids.iter().cloned()).collect();
        self.services = Services::of(&cluster.services);
        self.judge();
    }

    /// Numbers of endpoints that are not to be shown.
    fn hidden(&mut self) -> HashSet<EndpointId> {
        let by_runtime = self.pods.by_sandbox.values().filter(|pod| pod.ignored).map(|pod| &pod.uid);
        let uids: HashSet<&Arc<str>> = by_runtime.chain(&self.ignored).collect();
        if uids.is_empty() && self.hidden.is_empty() {
            return HashSet::new();
        }
        let of_pod = |one: &'_ Statement| match &one.about {
            Subject::Pod(uid) => Some(Arc::clone(uid)),
            _ => None,
        };
        let by_cluster: HashSet<Arc<str>> = self.statements.iter().filter_map(of_pod).collect();
        // A pod runtime does not know what was asked of a namespace: only the cluster says that a pod may be shown.
        let asked = |uid: &Arc<str>| {
            if uids.contains(uid) { Some(true) } else { by_cluster.contains(uid).then_some(false) }
        };
        let endpoints = self.registry.endpoints();
        let living = endpoints.iter().map(|one| (one.number, one.uid.as_ref()));
        self.hidden.settle(living, asked, |number| self.registry.by_number(number).is_some());
        self.hidden.numbers().clone()
    }

    /// Takes in from which addresses guests send.
    fn look_for_addresses(&mut self, now: u64) {
        let taps: HashMap<u32, u32> = self
            .placed
            .iter()
            .filter(|(_, one)| seen::is_tap(one.told.role))
            .map(|(index, one)| (one.number, *index))
            .collect();
        if taps.is_empty() {
            return;
        }
        let facts = &self.facts;
        let news = self.seen.take(self.drain.flows.iter(), now, |number| {
            let index = *taps.get(&number)?;
            let bridge = facts.bridge_of(index);
            Some((index, bridge.unwrap_or(0), facts.connected_prefixes(bridge.unwrap_or(index))))
        });
        if news {
            self.judge();
        }
    }

    /// Takes in what was seen of virtual machines.
    pub(super) fn guests_changed(&mut self, look: Look) {
        // A look that finds the same ones once more says that they still hold their taps.
        let matters =
            !look.guests.guests.is_empty() || self.guests.as_ref().is_none_or(|before| before.differs(&look));
        self.guests = Some(look);
        if matters {
            self.judge();
        }
    }

    /// Reads the network namespaces of the host.
    pub(super) async fn read_namespaces(&mut self) {
        let containers = self.containers.by_id.values().map(|one| one.pid);
        let pods = self.pods.by_sandbox.values().map(|one| one.pid);
        let pids = containers.chain(pods).filter(|pid| *pid != 0).collect();
        self.namespaces_read = Instant::now();
        let mut leads: BTreeMap<i32, BTreeSet<u32>> = BTreeMap::new();
        for link in self.facts.links.values() {
            if let Some(namespace) = link.peer_namespace {
                leads.entry(namespace).or_default().insert(link.index);
            }
        }
        match self.reader.read(pids, &leads).await {
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
        // On the host's network nothing but its process tells whether somebody lives.
        let sockets = &self.sockets;
        let containers = self.containers.by_id.values();
        let living = containers.filter(|one| !(one.is_host_network() && sockets.has_ended(&one.id, one.pid)));
        let containers: Vec<Arc<RuntimeContainer>> = living.cloned().collect();
        let pods = self.pods.by_sandbox.values();
        let living = pods.filter(|one| !(one.host_network && sockets.has_ended(&one.sandbox, one.pid)));
        let pods: Vec<Arc<RuntimePod>> = living.cloned().collect();
        let observed = Observed {
            node: &self.node,
            own_namespace: self.own_namespace,
            own_cgroup: &self.own_cgroup,
            facts: &self.facts,
            uplinks: &self.uplinks,
            namespaces: &self.namespaces,
            containers: &containers,
            pods: &pods,
            guests: self.guests.as_ref().map(|look| look.guests.guests.as_slice()).unwrap_or_default(),
            guests_looked_at: self.guests.as_ref().map(|look| look.began),
            seen: self.seen.believed(),
            nat_rules: self.guests.as_ref().and_then(|look| look.rules.as_ref()?.as_deref().ok()),
            statements: &self.statements,
        };
        self.registry.observe(&observed, Instant::now());
        self.watch_namespaces();
        self.place_all();
        self.place_waiting();
        self.write();
    }

    /// What the kernel side looks up addresses by.
    pub(super) fn write(&mut self) {
        let number = |index: u32| self.placed.get(&index).map(|placed| placed.number);
        let addresses = tables::addresses(&self.registry, number);
        let prefixes = tables::prefixes(&self.facts, &self.uplinks, &self.registry);
        self.unwritten = self.kernel.set_addresses(addresses) + self.kernel.set_prefixes(prefixes);
    }

    /// Reads the kernel side and judges. Rows of conversations are made only where somebody `looks` at them.
    pub(super) async fn tick(&mut self, tracker: &mut Tracker, looks: bool) -> Result<Report> {
        let began = Instant::now();
        self.place_failed();
        self.look_for_programs_before_ours();
        self.place_inside();
        let now = kernel::monotonic_now();
        self.kernel.drain(&mut self.drain)?;
        let counted = crate::host::counters::link_counters().await;
        tracker.hear(now).await;
        self.look_for_addresses(now);

        if self.look_at_owners() {
            self.judge();
        }
        self.sockets.scan().await;
        self.sockets.ask(&self.kernel, &self.drain.flows, now);
        let hidden = self.hidden();
        let names = Names::of(&self.registry)
            .without(&hidden)
            .with_services(&self.services)
            .with_sockets(&self.sockets.owners, Duration::from_nanos(now));
        let reading = Reading {
            flows: &self.drain.flows,
            paths: &self.drain.paths,
            skips: &self.drain.skips,
            spill: &self.drain.spill,
            drops: DropReading {
                detailed: &self.drain.drops.detailed,
                rest: &self.drain.drops.rest,
                apart: &self.drain.drops.apart,
            },
            now,
        };
        self.collector.read(&reading, &names, tracker.translations());
        self.collector.hear_errors(
            &self.drain.errors,
            &self.drain.unlisted_errors,
            &names,
            tracker.translations(),
        );
        self.collector.hear_neighbours(&self.facts, &names, tracker.translations());
        for key in self.collector.quiet_errors(now) {
            let last = self.kernel.take_error(&key)?;
            self.collector.error_taken(&key, last, &names, tracker.translations());
        }
        for key in self.collector.expire(now) {
            let last = self.kernel.take_flow(&key)?;
            self.collector.flows.taken(&key, last);
        }
        self.collector.settle(&names, now);
        make_room(&mut self.collector, &mut self.kernel, &self.drain, &names, now)?;
        drops::make_room(&mut self.collector, &mut self.kernel, &self.drain, &names, tracker, now)?;
        self.drops.ask(&mut self.collector).await;
        processes::ask(&mut self.collector, &self.kernel, &names);

        let interval = Duration::from_nanos(now.saturating_sub(self.before).max(1));
        self.before = now;
        let clock = Clock { monotonic: now, wall: Timestamp::now() };
        let flows = looks.then(|| self.collector.rows(&names, clock, interval));
        if !looks {
            self.collector.forget_rows();
        }
        let dropped = self.collector.drop_rows(&names, clock);
        let totals = self.collector.totals(&names);
        self.journal.verdicts(self.collector.take_changes(), &names, clock.wall);
        self.journal.drops(&dropped, clock);
        self.journal.settings(&self.facts, clock.wall);
        let journal = self.journal.shown();
        let pairs = if looks { self.collector.pair_rows(&names, clock) } else { Vec::new() };
        self.collector.flows.close_tick();
        // Without the interfaces' own counters there is nothing to compare with, and the rest goes on.
        let counted = counted.unwrap_or_default();
        publish::baselines(&mut self.placed, &self.collector, &self.facts, &counted);
        let health = publish::health(self, tracker.state(), &self.drain, &counted);
        self.tick_seconds = began.elapsed().as_secs_f64();
        let rows = (flows, pairs, dropped);
        Ok(publish::report(self, &hidden, (clock.wall, interval), rows, journal, (totals, health)))
    }
}

/// Takes what is of no more use out of the kernel's exact tables, booked to the last packet: they are keyed by
/// numbers that are never used again, so they would fill for good.
fn make_room(
    collector: &mut Collector,
    kernel: &mut Kernel,
    drain: &Drain,
    names: &Names<'_>,
    now: u64,
) -> Result<()> {
    let crowded = drain.fill.iter().any(|fill| fill.table == "paths" && fill.entries * 2 > fill.capacity);
    for key in collector.idle_paths(now, crowded, names) {
        let last = kernel.take_path(&key)?;
        collector.path_taken(&key, last, names, now);
    }
    for key in collector.gone_skips(&drain.skips) {
        let last = kernel.take_skip(&key)?;
        collector.skip_taken(&key, last);
    }
    collector.forget_interfaces();
    Ok(())
}
