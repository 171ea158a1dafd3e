//! Bookings → the counters of the metrics. A counter only grows, and nothing is ever moved.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use netobs_common::{
    counters::Counters,
    drop::Dropped,
    endpoint::{EndpointId, Kind},
    interface::Role,
    wire::Protocol,
};

use super::{class, loss, order, reporter};
use crate::{
    evidence::{facts, progress, verdict},
    flow::{
        conversation::{Conversation, Loss, Place},
        interfaces::Interfaces,
        table::{Booking, Directory},
    },
    report::{
        Direction, DropLabels, EvidenceKind, HopDirection, HopName, KindName, Nat, Outcome, PairLabels,
        PathFlowLabels, PathLabels, Reporter, Totals, Verdict, WorkloadAmounts, WorkloadLabels,
    },
};

/// The name a workload goes by in the metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkloadName {
    /// Namespace, empty where there is none.
    pub namespace: Arc<str>,
    /// Workload, else the endpoint's name; `host`, `external`.
    pub workload: Arc<str>,
}

/// Names workloads.
pub trait Workloads {
    /// The workload of an endpoint.
    fn workload(&self, endpoint: EndpointId) -> WorkloadName;
}

/// The counters.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Everything booked.
    pub totals: Totals,
    /// When a row of workloads was booked to last, nanoseconds of the monotonic clock.
    last_booked: HashMap<WorkloadLabels, u64>,
    /// Now.
    pub now: u64,
}

/// How long a row of workloads stays after the last booking to it, if one of them has no endpoint any more.
/// Long enough for a scrape to see its last value, in nanoseconds.
pub const GONE_FOR: u64 = 300_000_000_000;

impl Ledger {
    /// Books bytes of a conversation.
    pub fn book<D: Directory + Workloads>(
        &mut self,
        conversation: &Conversation,
        booking: Booking,
        interfaces: &Interfaces,
        directory: &D,
    ) {
        let flow = flow_labels(conversation, interfaces, directory);
        let (forward, reply) = locality(conversation, directory);
        let (direction, reporter) = match booking.direction {
            HopDirection::Forward => (Direction::Forward, reporter::of(forward, reply)),
            HopDirection::Reply => (Direction::Reply, reporter::of(reply, forward)),
        };
        let labels = PathLabels {
            source_kind: flow.source_kind,
            destination_kind: flow.destination_kind,
            path: flow.path,
            nat: conversation.nat(),
            protocol: flow.protocol,
            direction,
            reporter,
        };
        self.add(labels, [conversation.source, conversation.destination], booking.counters, directory);
    }

    /// Counts the beginning of a conversation that is settled: under its labels everything else is counted.
    pub fn open<D: Directory>(
        &mut self,
        conversation: &mut Conversation,
        interfaces: &Interfaces,
        directory: &D,
    ) {
        if conversation.opened.is_some() {
            return;
        }
        let labels = flow_labels(conversation, interfaces, directory);
        *self.totals.opened.entry(labels).or_default() += 1;
        let nat = conversation.nat();
        if nat != Nat::None {
            *self.totals.translations.entry(nat).or_default() += 1;
        }
        conversation.opened = Some(labels);
    }

    /// Counts what is new of a conversation: what it proves, and its end.
    pub fn witness<D: Directory + Workloads>(&mut self, conversation: &mut Conversation, directory: &D) {
        let Some(labels) = conversation.opened else { return };
        let news = conversation.evidenced == 0 || conversation.moved;
        for fact in news.then(|| facts::of(conversation)).into_iter().flatten() {
            let bit = 1 << fact.kind as u16;
            if conversation.evidenced & bit == 0 {
                conversation.evidenced |= bit;
                *self.totals.evidence.entry((labels.into(), fact.kind)).or_default() += 1;
            }
        }
        if !conversation.attempted
            && let Some(outcome) = verdict::outcome(conversation, self.now)
        {
            conversation.attempted = true;
            *self.totals.attempts.entry((labels.into(), outcome)).or_default() += 1;
            let (forward, reply) = locality(conversation, directory);
            let kinds = [labels.source_kind, labels.destination_kind];
            let ends = [conversation.source, conversation.destination];
            let more = WorkloadAmounts { attempts: 1, ..WorkloadAmounts::default() };
            self.add_workload(kinds, reporter::of(forward, reply), ends, more, directory);
        }
        if let Some((close, _)) = conversation.ended.filter(|_| !conversation.closed) {
            conversation.closed = true;
            *self.totals.closed.entry((labels, close)).or_default() += 1;
        }
    }

    /// Counts what TCP headers said since a conversation was looked at last.
    pub fn progress<D: Directory>(
        &mut self,
        conversation: &mut Conversation,
        interfaces: &Interfaces,
        directory: &D,
    ) {
        let Some(labels) = conversation.opened else { return };
        if conversation.protocol() != Protocol::TCP || !conversation.moved {
            return;
        }
        let first = HopDirection::BOTH.map(|direction| order::first(conversation, direction, interfaces));
        let (source_is_here, destination_is_here) = locality(conversation, directory);
        let ends = progress::Ends { source_is_here, destination_is_here };
        let news = progress::follow(conversation, first, ends);
        if news == progress::News::default() {
            return;
        }
        let totals = self.totals.tcp.entry(labels.into()).or_default();
        news.handshake.into_iter().for_each(|one| totals.handshakes.observe(one));
        news.round_trips.into_iter().flatten().for_each(|one| totals.round_trips.observe(one));
        totals.retransmits += news.retransmits;
        totals.resets += u64::from(news.reset);
    }

    /// Counts what a conversation lost between its hops, once they are quiet: a count never falls, so it waits until
    /// nothing can arrive any more.
    pub fn lose<D: Directory>(
        &mut self,
        conversation: &mut Conversation,
        interfaces: &Interfaces,
        directory: &D,
    ) {
        let last = conversation.last_seen();
        if conversation.losses_at == last || self.now.saturating_sub(last) < loss::QUIET {
            return;
        }
        let Some(PathFlowLabels { path, .. }) = conversation.opened else { return };
        let mut found = Vec::new();
        for direction in HopDirection::BOTH {
            for step in loss::steps(conversation, direction, interfaces, directory, self.now) {
                if let loss::Lost::Segments(segments @ 1..) = step.lost {
                    let seen = (step.from.first_seen, step.from.last_seen());
                    let (from, to) = (step.from.place(), step.to.place());
                    found.push(Loss { from, to, direction, segments, seen });
                }
            }
        }
        for one in found {
            let same = |known: &&mut Loss| {
                (known.from, known.to, known.direction) == (one.from, one.to, one.direction)
            };
            let known = conversation.losses.iter_mut().find(same);
            let more = one.segments.saturating_sub(known.as_ref().map_or(0, |known| known.segments));
            match known {
                Some(known) if more > 0 => *known = one,
                Some(_) => {}
                None => conversation.losses.push(one),
            }
            let hop = |place: Place| {
                let role = interfaces.get(place.interface).map_or(Role::OTHER, |one| one.role());
                HopName::of(role.into(), place.hook.into())
            };
            *self.totals.hop_lost.entry((path, hop(one.from), hop(one.to))).or_default() += more;
            conversation.moved = true;
        }
        conversation.losses_at = last;
    }

    /// Books packets that the kernel dropped, and what no conversation says of them: that there were any, and what
    /// became of the attempt to connect that the first of them was.
    pub fn book_drop<D: Directory + Workloads>(
        &mut self,
        labels: DropLabels,
        ends: [EndpointId; 2],
        count: Dropped,
        (is_evidence, outcome): (bool, Option<Outcome>),
        directory: &D,
    ) {
        self.totals.dropped.entry(labels).or_default().add(count);
        if is_evidence {
            *self.totals.evidence.entry((labels.pair, EvidenceKind::Drop)).or_default() += 1;
        }
        if let Some(outcome) = outcome {
            *self.totals.attempts.entry((labels.pair, outcome)).or_default() += 1;
        }
        let attempts = u64::from(outcome.is_some());
        let more = WorkloadAmounts { attempts, dropped: count.packets, ..WorkloadAmounts::default() };
        let [forward, reply] = ends.map(|end| reporter::is_local(end, directory.kind(end)));
        let kinds = [labels.pair.source_kind, labels.pair.destination_kind];
        self.add_workload(kinds, reporter::of(forward, reply), ends, more, directory);
    }

    /// Counts ICMP errors about a conversation's packets, each once.
    pub fn errors(&mut self, conversation: &mut Conversation) {
        let Some(labels) = conversation.opened else { return };
        for error in &mut conversation.errors {
            let more = error.count.saturating_sub(error.booked);
            if more > 0 {
                error.booked = error.count;
                *self.totals.icmp_errors.entry((labels.into(), error.class())).or_default() += more;
            }
        }
    }

    /// Books packets without flow detail.
    pub fn book_overflow<W: Workloads>(
        &mut self,
        labels: PathLabels,
        parties: [EndpointId; 2],
        counters: Counters,
        workloads: &W,
    ) {
        self.totals.overflow_packets += counters.packets;
        self.add(labels, parties, counters, workloads);
    }

    fn add<W: Workloads>(
        &mut self,
        labels: PathLabels,
        [source, destination]: [EndpointId; 2],
        counters: Counters,
        workloads: &W,
    ) {
        self.totals.paths.entry(labels).or_default().add(counters);
        if labels.source_kind == KindName::Unknown
            || (labels.destination_kind == KindName::Unknown && destination != EndpointId::GROUP)
        {
            self.totals.unattributed_bytes += counters.bytes;
        }
        let kinds = [labels.source_kind, labels.destination_kind];
        let more = WorkloadAmounts { carried: counters, ..WorkloadAmounts::default() };
        self.add_workload(kinds, labels.reporter, [source, destination], more, workloads);
    }

    fn add_workload<W: Workloads>(
        &mut self,
        [source_kind, destination_kind]: [KindName; 2],
        reporter: Reporter,
        [source, destination]: [EndpointId; 2],
        more: WorkloadAmounts,
        workloads: &W,
    ) {
        let (from, to) = (workloads.workload(source), workloads.workload(destination));
        let workload = WorkloadLabels {
            source_kind,
            source_namespace: from.namespace,
            source_workload: from.workload,
            destination_kind,
            destination_namespace: to.namespace,
            destination_workload: to.workload,
            reporter,
        };
        self.last_booked.insert(workload.clone(), self.now);
        self.totals.workloads.entry(workload).or_default().add(more);
    }

    /// Drops the rows of workloads that are gone: none of their endpoints is `present`, and nothing was booked
    /// for a while. The families by path keep what they had.
    pub fn forget_workloads(&mut self, present: &HashSet<WorkloadName>) {
        let now = self.now;
        let Self { totals, last_booked, .. } = self;
        let here = |kind: KindName, namespace: &Arc<str>, workload: &Arc<str>| {
            let name = WorkloadName { namespace: Arc::clone(namespace), workload: Arc::clone(workload) };
            matches!(kind, KindName::Host | KindName::External) || present.contains(&name)
        };
        totals.workloads.retain(|labels, _| {
            let recent = last_booked.get(labels).is_some_and(|last| now.saturating_sub(*last) < GONE_FOR);
            recent
                || here(labels.source_kind, &labels.source_namespace, &labels.source_workload)
                    && here(
                        labels.destination_kind,
                        &labels.destination_namespace,
                        &labels.destination_workload,
                    )
        });
        last_booked.retain(|labels, _| totals.workloads.contains_key(labels));
    }

    /// Sets the gauge of pairs.
    pub fn pairs(&mut self, pairs: BTreeMap<(PairLabels, Verdict), u64>) {
        for count in self.totals.pairs.values_mut() {
            *count = 0;
        }
        self.totals.pairs.extend(pairs);
    }

    /// Sets the gauge of flows alive.
    pub fn flows(&mut self, flows: BTreeMap<PathFlowLabels, u64>) {
        // A combination that had flows stays, at zero: a series that vanishes is not a zero to a query.
        for count in self.totals.flows.values_mut() {
            *count = 0;
        }
        self.totals.flows.extend(flows);
    }
}

/// The labels of a conversation as a flow.
#[must_use]
pub fn flow_labels<D: Directory>(
    conversation: &Conversation,
    interfaces: &Interfaces,
    directory: &D,
) -> PathFlowLabels {
    PathFlowLabels {
        source_kind: directory.kind(conversation.source).into(),
        destination_kind: directory.kind(conversation.destination).into(),
        path: class::of(conversation, interfaces, directory),
        protocol: conversation.protocol().into(),
    }
}

/// Whether source and destination are on this host.
#[must_use]
pub fn locality(conversation: &Conversation, directory: &impl Directory) -> (bool, bool) {
    let local = |endpoint: EndpointId| {
        let kind: Kind = directory.kind(endpoint);
        reporter::is_local(endpoint, kind)
    };
    (local(conversation.source), local(conversation.destination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Path, ProtocolName};

    struct Numbered;

    impl Workloads for Numbered {
        fn workload(&self, endpoint: EndpointId) -> WorkloadName {
            WorkloadName { namespace: "".into(), workload: format!("w{}", endpoint.0).into() }
        }
    }

    fn booked(at: u64) -> Ledger {
        let mut ledger = Ledger { now: at, ..Ledger::default() };
        let labels = PathLabels {
            source_kind: KindName::Container,
            destination_kind: KindName::External,
            path: Path::Uplink,
            nat: Nat::Unknown,
            protocol: ProtocolName::Tcp,
            direction: Direction::Unknown,
            reporter: Reporter::Source,
        };
        let one = Counters { packets: 1, segments: 1, bytes: 60 };
        ledger.book_overflow(labels, [EndpointId(20), EndpointId::EXTERNAL], one, &Numbered);
        ledger
    }

    #[test]
    fn rows_of_workloads_that_are_gone_disappear_and_totals_by_path_stay() {
        let mut ledger = booked(0);
        ledger.now = GONE_FOR - 1;
        ledger.forget_workloads(&HashSet::new());
        assert_eq!(ledger.totals.workloads.len(), 1, "a scrape may not have seen its last value");
        ledger.now = GONE_FOR;
        ledger.forget_workloads(&HashSet::new());
        assert_eq!((ledger.totals.workloads.len(), ledger.last_booked.len()), (0, 0));
        assert_eq!(ledger.totals.paths.values().map(|one| one.bytes).sum::<u64>(), 60);
    }

    #[test]
    fn rows_of_workloads_that_are_there_stay_however_quiet_they_are() {
        let mut ledger = booked(0);
        ledger.now = 10 * GONE_FOR;
        ledger.forget_workloads(&HashSet::from([Numbered.workload(EndpointId(20))]));
        assert_eq!(ledger.totals.workloads.len(), 1);
    }
}
