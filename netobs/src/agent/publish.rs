//! What the observer knows → the report.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use netobs_common::{counters::Counters, endpoint::EndpointId, hook::Hook};

use super::{links, names, observer::Observer, placement::Placed};
use crate::{
    collector::{Baseline, Collector, Coverage, in_our_bytes},
    host::{
        facts::{Facts, LinkCounters, LinkKind},
        sysctl,
    },
    kernel::Drain,
    report::{
        ConntrackUse, DropRow, FlowRow, Health, InterfaceCounts, InterfaceState, MapUse, PairRow, Report,
        Shown, SourceState, Totals, Unseen,
    },
    runtime::{facts::RuntimeState, guests::read::LibvirtState},
    settings::CriSocket,
};

type Counted = HashMap<u32, LinkCounters>;

/// Remembers both counts of interfaces that have been attached since the last tick.
pub(super) fn baselines(
    placed: &mut BTreeMap<u32, Placed>,
    collector: &Collector,
    facts: &Facts,
    counted: &Counted,
) {
    for (index, one) in placed.iter_mut().filter(|(_, one)| one.baseline.is_none()) {
        if let Some(link) = facts.links.get(index)
            && let Some(counters) = counted.get(index)
        {
            one.baseline = Some(Baseline {
                seen: seen(collector, one.number),
                counted: in_our_bytes(&link.kind, *counters),
            });
        }
    }
}

const HOOKS: [Hook; 2] = [Hook::INGRESS, Hook::EGRESS];

fn seen(collector: &Collector, number: u32) -> [Counters; 2] {
    HOOKS.map(|hook| collector.seen_at(number, hook))
}

/// The agent about itself.
pub(super) fn health(observer: &Observer, tracked: State, drain: &Drain, counted: &Counted) -> Health {
    let conntrack = conntrack_use();
    let maps = drain.fill.iter().map(|fill| MapUse {
        map: fill.table,
        entries: fill.entries,
        capacity: fill.capacity,
    });
    let lost = observer.health.iter().map(|(source, health)| (*source, health.counts().losses));
    let drops = &observer.collector.drops;
    let details = drops.without_detail() + drops.apart().get("uncounted").copied().unwrap_or(0);
    let lost = lost.chain([("drop_details", details), ("drops", drain.drops.missed)]);
    let lost = lost.chain([("icmp_errors", observer.collector.unlisted_errors())]);
    let mut attach: Vec<_> = observer.placed.values().map(|one| one.attached).collect();
    attach.sort_unstable();
    attach.dedup();
    Health {
        conntrack,
        interfaces: interfaces(observer, counted),
        skipped: observer.collector.skipped().clone(),
        spilled: observer.collector.spilled(),
        maps: maps.collect(),
        lost_events: lost.collect(),
        sources: sources(observer, with_use(tracked, conntrack)),
        not_found: not_found(observer),
        attach: attach.into_iter().map(|one| one.name().into()).collect(),
        tick_seconds: observer.tick_seconds,
    }
}

fn interfaces(observer: &Observer, counted: &Counted) -> Vec<InterfaceCounts> {
    let row = |(index, link): (&u32, &crate::host::facts::Link)| {
        let name: Arc<str> = link.name.as_str().into();
        if let Some(placed) = observer.placed.get(index) {
            let now = seen(&observer.collector, placed.number);
            let coverage = match (&placed.baseline, counted.get(index)) {
                (Some(baseline), Some(counters)) => {
                    Coverage::since(baseline, now, in_our_bytes(&link.kind, *counters))
                }
                _ => Coverage { seen: [Counters::ZERO; 2], counted: [Counters::ZERO; 2] },
            };
            let Coverage { seen, counted } = coverage;
            return InterfaceCounts {
                name,
                ifindex: *index,
                state: if placed.preceded { InterfaceState::Blind } else { InterfaceState::Attached },
                reason: placed.preceded.then(|| "another program runs before netobs".into()),
                seen,
                skipped: HOOKS.map(|hook| observer.collector.skipped_at(placed.number, hook)),
                counted,
            };
        }
        let (state, reason) = match observer.unplaced.get(index) {
            Some((state, why)) => (*state, Some(Arc::clone(why))),
            None => (InterfaceState::Failed, None),
        };
        let nothing = [Counters::ZERO; 2];
        InterfaceCounts {
            name,
            ifindex: *index,
            state,
            reason,
            seen: nothing,
            skipped: nothing,
            counted: nothing,
        }
    };
    observer.facts.links.iter().map(row).collect()
}

/// Of the calling thread's network namespace.
fn conntrack_use() -> Option<ConntrackUse> {
    Some(ConntrackUse {
        entries: sysctl::read_u64("net.netfilter.nf_conntrack_count")?,
        limit: sysctl::read_u64("net.netfilter.nf_conntrack_max")?,
    })
}

/// A table without room drops what is new, so that is what there is to say of it.
fn with_use(state: State, used: Option<ConntrackUse>) -> State {
    match used.filter(ConntrackUse::is_full) {
        Some(ConntrackUse { entries, limit }) => (
            "failing",
            Some(format!("the table is full, {entries} of {limit}: new connections are dropped").into()),
        ),
        None => state,
    }
}

fn sources(observer: &Observer, conntrack: State) -> Vec<SourceState> {
    let docker = runtime(observer.settings.docker_socket.is_some(), observer.containers.state.as_ref());
    let cri = runtime(observer.settings.cri_socket != CriSocket::Off, observer.pods.state.as_ref());
    let owners = match &observer.owners {
        Ok(()) => ("ready", None),
        Err(why) => ("failing", Some(Arc::clone(why))),
    };
    let netns = match observer.reader.refused() {
        None => ("ready", None),
        Some(why) => ("failing", Some(Arc::clone(why))),
    };
    let inside = match (&observer.inside.refused, observer.settings.inside) {
        (_, false) => ("disabled", None),
        (None, true) => ("ready", None),
        (Some(why), true) => ("failing", Some(Arc::clone(why))),
    };
    let drops = match &observer.drops.seen {
        Ok(()) => ("ready", None),
        Err(why) => ("failing", Some(Arc::clone(why))),
    };
    let kubernetes = runtime(observer.settings.kubeconfig.is_asked(), observer.cluster_state.as_ref());
    let (libvirt, monitors) = guests(observer);
    let state = |source, (state, detail)| SourceState { source, state, detail };
    vec![
        state("conntrack", conntrack),
        state("cri", cri),
        state("docker", docker),
        state("drops", drops),
        state("kubernetes_api", kubernetes),
        state("inside", inside),
        state("libvirt", libvirt),
        state("netlink", ("ready", None)),
        state("netns", netns),
        state("qemu_process", monitors),
        state("socket_owners", owners),
    ]
}

/// A runtime that is asked, or not.
fn runtime(asked: bool, state: Option<&RuntimeState>) -> State {
    match (asked, state) {
        (false, _) => ("disabled", None),
        (true, None) => ("absent", Some("not asked yet".into())),
        (true, Some(state)) => {
            let detail = match state {
                RuntimeState::Absent { why, .. } | RuntimeState::Unreachable { why, .. } => Arc::clone(why),
                RuntimeState::Ready { runtime, version, .. } => format!("{runtime} {version}").into(),
            };
            (state.name(), Some(detail))
        }
    }
}

/// A source's state, and what it said.
pub(super) type State = (&'static str, Option<Arc<str>>);

/// libvirt's files, and the monitors' processes.
fn guests(observer: &Observer) -> (State, State) {
    let Some(look) = &observer.guests else {
        return (("absent", Some("not looked at yet".into())), ("absent", Some("not looked at yet".into())));
    };
    let directory = || observer.settings.libvirt_dir.as_deref().unwrap_or(Path::new("")).display();
    let libvirt = match &look.guests.libvirt {
        LibvirtState::Off => ("disabled", None),
        LibvirtState::Absent => ("absent", Some(format!("no directory {}", directory()).into())),
        LibvirtState::Ready => ("ready", None),
        LibvirtState::Failing(why) => ("failing", Some(Arc::clone(why))),
    };
    let monitors = match (&look.rules, look.guests.refused) {
        (_, 1..) => {
            ("failing", Some("descriptors of a monitor may not be read: CAP_SYS_PTRACE is missing".into()))
        }
        _ if look.guests.left_out > 0 => {
            ("failing", Some("too many processes with a monitor's name: not all were looked at".into()))
        }
        (Some(Err(why)), 0) => ("failing", Some(format!("modes stay unknown: {why}").into())),
        (_, 0) => ("ready", None),
    };
    (libvirt, monitors)
}

fn not_found(observer: &Observer) -> Vec<Unseen> {
    let mut missing = Vec::new();
    let endpoints = observer.registry.endpoints();
    let has = |kind| endpoints.iter().any(|one| one.kind == kind);
    if !has(netobs_common::endpoint::Kind::CONTAINER) {
        let socket = observer.settings.docker_socket.as_ref();
        let docker = socket.map_or_else(String::new, |path| format!("{}, ", path.display()));
        missing.push(Unseen {
            what: "containers".into(),
            looked: format!("{docker}cgroups, network namespaces").into(),
        });
    }
    if !observer.facts.links.values().any(|link| is_guests(&link.kind)) {
        missing.push(Unseen { what: "VMs".into(), looked: "tap and macvtap interfaces".into() });
    }
    if observer.uplinks.is_empty() {
        missing.push(Unseen { what: "uplink".into(), looked: "default routes; name it by --uplink".into() });
    }
    missing
}

fn is_guests(kind: &LinkKind) -> bool {
    matches!(kind, LinkKind::Tun { tap: true } | LinkKind::Macvtap)
}

/// The report of a tick.
pub(super) fn report(
    observer: &Observer,
    hidden: &HashSet<EndpointId>,
    (time, interval): (Timestamp, Duration),
    (flows, pairs, drops): (Option<Vec<Arc<FlowRow>>>, Vec<PairRow>, Vec<DropRow>),
    journal: Arc<Shown>,
    (totals, health): (Totals, Health),
) -> Report {
    let shown = observer.registry.endpoints().into_iter().filter(|one| !hidden.contains(&one.number));
    let mut endpoints: Vec<_> = shown.map(|one| names::row(&one)).collect();
    endpoints.sort_by(|one, other| one.id.cmp(&other.id));
    let links = links::rows(&observer.facts, &observer.uplinks);
    Report {
        time,
        node: Arc::clone(&observer.node),
        interval,
        endpoints,
        links,
        lists_flows: flows.is_some(),
        flows: flows.unwrap_or_default(),
        pairs,
        drops,
        journal,
        totals,
        health,
    }
}
