//! One reading of the kernel and one state of the world → the report of one tick. Pure: no I/O, and time is
//! an argument.

mod coverage;
mod directory;
mod dropping;
mod drops;
mod icmp;
mod neighbours;
mod rows;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use netobs_common::{
    counters::{Counters, FlowCounters, PathCounters},
    endpoint::EndpointId,
    key::{FlowKey, PathKey, SkipKey},
    maps::SPILL_CAPACITY,
    skip::Skip,
};

pub use coverage::{Baseline, Coverage, in_our_bytes};
pub use directory::Names;
pub use drops::DropReading;

use crate::{
    evidence::{
        changes::{Changes, VerdictChange},
        pairs::Pairs,
        verdict,
    },
    flow::{
        conversation::Conversation,
        interfaces::Interfaces,
        table::{Context, Directory as _, FlowTable},
        translation::Translations,
    },
    path::{
        ledger::{self, Ledger},
        overflow::Overflow,
        spill,
    },
    report::{HopLabels, PairLabels, PairRow, PathFlowLabels, Totals},
};

/// One reading of the kernel's tables: counters since the agent's start.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Flow sightings.
    pub flows: &'a [(FlowKey, FlowCounters)],
    /// Exact path counters.
    pub paths: &'a [(PathKey, PathCounters)],
    /// Packets without a flow.
    pub skips: &'a HashMap<SkipKey, Counters>,
    /// What neither flow table nor path counters could take.
    pub spill: &'a [(u32, Counters)],
    /// What the kernel dropped.
    pub drops: DropReading<'a>,
    /// Nanoseconds of the monotonic clock just before the reading.
    pub now: u64,
}

/// How long the counters of an interface that is gone stay: its last packets may still be on their way.
const GONE_AFTER: u64 = 5_000_000_000;
/// How long a path counter stands still before it makes room in a crowded table.
const IDLE_AFTER: u64 = 60_000_000_000;
/// How often rows of workloads are looked through for those that are gone.
const FORGET_EVERY: u64 = 30_000_000_000;
/// Entries taken out in one tick: each is a system call.
const AT_ONCE: usize = 1_024;

/// A path counter as it was read last.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    counters: Counters,
    changed: u64,
}

/// What is judged from tick to tick.
#[derive(Debug, Default)]
pub struct Collector {
    /// Conversations.
    pub flows: FlowTable,
    /// Interfaces by number.
    pub interfaces: Interfaces,
    /// What the kernel dropped.
    pub drops: drops::Drops,
    ledger: Ledger,
    overflow: Overflow,
    overflowing: bool,
    spilled: Vec<Counters>,
    seen: HashMap<PathKey, Seen>,
    skipped: BTreeMap<Skip, Counters>,
    /// Skips whose entries were taken out of the kernel's table.
    skipped_before: BTreeMap<Skip, Counters>,
    /// What was seen by interface number and hook.
    by_place: BTreeMap<(u32, u8), Counters>,
    skipped_by_place: BTreeMap<(u32, u8), Counters>,
    forgot_workloads: u64,
    changes: Changes,
    changed: Vec<VerdictChange>,
    errors: icmp::IcmpErrors,
    neighbours: neighbours::Neighbours,
    /// Whether conversations may have rows.
    has_rows: bool,
    /// The pairs of the last tick, if conversations have rows.
    pairs: Pairs,
}

impl Collector {
    /// Takes in a reading. Booked is with [`Self::settle`], when all is told that comes with it.
    pub fn read(&mut self, reading: &Reading<'_>, names: &Names<'_>, translations: &Translations) {
        self.ledger.now = reading.now;
        let Self { overflow, ledger, interfaces, .. } = self;
        let now_overflowing = overflow.read(reading.paths, interfaces, names, |labels, parties, counters| {
            ledger.book_overflow(labels, parties, counters, names);
        });
        // Where the path counters are full too, the spill alone says that the flow table is.
        let now_overflowing = now_overflowing
            || reading.spill.iter().any(|(index, counters)| {
                self.spilled.get(*index as usize).is_none_or(|before| before != counters)
            });
        let context = Context {
            interfaces,
            directory: names,
            translations,
            now: reading.now,
            overflowing: self.overflowing || now_overflowing,
        };
        self.flows.read(reading.flows, &context);
        let listed = self.flows.passed_on(names);
        overflow.settle(&listed, interfaces, names, |labels, parties, counters| {
            ledger.book_overflow(labels, parties, counters, names);
        });
        self.overflowing = now_overflowing;
        self.read_drops(&reading.drops, names, translations);
        self.book_spill(reading.spill, names);
        self.see(reading);
    }

    fn book(&mut self, names: &Names<'_>) {
        let Self { flows, ledger, interfaces, .. } = self;
        flows.book(|conversation, booking| ledger.book(conversation, booking, interfaces, names));
        for conversation in flows.active_mut().filter(|one| one.settled) {
            ledger.open(conversation, interfaces, names);
            ledger.progress(conversation, interfaces, names);
            ledger.lose(conversation, interfaces, names);
            ledger.witness(conversation, names);
            ledger.errors(conversation);
        }
    }

    fn book_spill(&mut self, spill: &[(u32, Counters)], names: &Names<'_>) {
        self.spilled.resize(SPILL_CAPACITY as usize, Counters::ZERO);
        for (index, counters) in spill {
            let Some(before) = self.spilled.get_mut(*index as usize) else { continue };
            let more = counters.since(*before);
            *before = *counters;
            if let Some((labels, parties)) = spill::labels(*index).filter(|_| !more.is_zero()) {
                self.ledger.book_overflow(labels, parties, more, names);
            }
        }
    }

    /// Everything seen, hop by hop: the one family in which a packet counts several times.
    fn see(&mut self, reading: &Reading<'_>) {
        for (key, counters) in reading.paths {
            self.see_path(key, counters, reading.now);
        }
        self.skipped.clone_from(&self.skipped_before);
        let mut by_place: BTreeMap<(u32, u8), Counters> = BTreeMap::new();
        for (key, counters) in reading.skips {
            self.skipped.entry(key.reason).or_default().add(*counters);
            by_place.entry((key.interface, key.hook.0)).or_default().add(*counters);
        }
        self.skipped_by_place = by_place;
    }

    fn see_path(&mut self, key: &PathKey, counters: &PathCounters, now: u64) {
        let seen = self.seen.entry(*key).or_default();
        let more = counters.all.since(seen.counters);
        if more.is_zero() {
            return;
        }
        *seen = Seen { counters: counters.all, changed: now };
        self.by_place.entry((key.interface, key.hook.0)).or_default().add(more);
        if let Some(interface) = self.interfaces.get(key.interface) {
            let labels = HopLabels { role: interface.role().into(), hook: key.hook.into() };
            self.ledger.totals.hops.entry(labels).or_default().add(more);
        }
    }

    /// Path counters the kernel's table can do without: of interfaces or endpoints that are gone, and where it is
    /// `crowded`, those that have not moved for a minute.
    #[must_use]
    pub fn idle_paths(&self, now: u64, crowded: bool, names: &Names<'_>) -> Vec<PathKey> {
        let is_idle = |(key, seen): &(&PathKey, &Seen)| {
            let gone = self.interfaces.get(key.interface).is_none_or(|one| !one.alive)
                || names.is_forgotten(key.source)
                || names.is_forgotten(key.destination);
            let quiet = now.saturating_sub(seen.changed);
            (gone && quiet >= GONE_AFTER) || (crowded && quiet >= IDLE_AFTER)
        };
        self.seen.iter().filter(is_idle).map(|(key, _)| *key).take(AT_ONCE).collect()
    }

    /// A path counter was taken out of the kernel's table, with what it held at that moment.
    pub fn path_taken(&mut self, key: &PathKey, last: Option<PathCounters>, names: &Names<'_>, now: u64) {
        if let Some(last) = last {
            let Self { overflow, ledger, interfaces, .. } = self;
            overflow.read(&[(*key, last)], interfaces, names, |labels, parties, counters| {
                ledger.book_overflow(labels, parties, counters, names);
            });
            self.see_path(key, &last, now);
        }
        self.overflow.forget(key);
        self.seen.remove(key);
    }

    /// Counts of skipped packets of interfaces that are gone.
    #[must_use]
    pub fn gone_skips(&self, skips: &HashMap<SkipKey, Counters>) -> Vec<SkipKey> {
        let is_gone = |key: &&SkipKey| {
            key.interface != 0 && self.interfaces.get(key.interface).is_none_or(|one| !one.alive)
        };
        skips.keys().filter(is_gone).copied().take(AT_ONCE).collect()
    }

    /// A count of skipped packets was taken out of the kernel's table.
    pub fn skip_taken(&mut self, key: &SkipKey, last: Option<Counters>) {
        self.skipped_before.entry(key.reason).or_default().add(last.unwrap_or_default());
    }

    /// Forgets interfaces that are gone and that nothing refers to any more.
    pub fn forget_interfaces(&mut self) {
        if self.interfaces.iter().all(|(_, one)| one.alive) {
            return;
        }
        let mut used: HashSet<u32> = self.seen.keys().map(|key| key.interface).collect();
        used.extend(self.flows.iter().flat_map(|one| &one.sightings).map(|one| one.key.interface));
        self.interfaces.retain(|number| used.contains(&number));
        let interfaces = &self.interfaces;
        self.by_place.retain(|(number, _), _| interfaces.get(*number).is_some());
    }

    /// Ends what is over; the entries the kernel's table needs no longer.
    pub fn expire(&mut self, now: u64) -> Vec<FlowKey> {
        self.flows.expire(now)
    }

    /// Books what the removed entries held last, and forgets what is no longer listed.
    pub fn settle(&mut self, names: &Names<'_>, now: u64) {
        self.book(names);
        self.flows.forget(now);
    }

    /// The counters and gauges of the metrics.
    #[must_use]
    pub fn totals(&mut self, names: &Names<'_>) -> Totals {
        let mut alive: BTreeMap<PathFlowLabels, u64> = BTreeMap::new();
        let mut pairs = Pairs::default();
        let now = self.ledger.now;
        let Self { flows, interfaces, .. } = self;
        let judge = |conversation: &mut Conversation| {
            // Silence alone changes a verdict, and nothing else.
            let labels = conversation
                .told
                .map_or_else(|| ledger::flow_labels(conversation, interfaces, names), |(labels, _)| labels);
            let told = (labels, verdict::of(conversation, now));
            conversation.told = Some(told);
            told
        };
        flows.for_each_about(judge, |about| {
            let (labels, verdict) = about.told;
            if about.ended.is_none() {
                *alive.entry(labels).or_default() += 1;
            }
            // What is sent to a group is sent to nobody in particular.
            if about.settled && about.ends[1] != EndpointId::GROUP {
                let mut pair = PairLabels::from(labels);
                if about.asked {
                    [pair.source_kind, pair.destination_kind] = about.ends.map(|end| names.kind(end).into());
                }
                pairs.tell(about.ends, pair, verdict, about.last_seen, now);
            }
        });
        for (ends, labels, class, unjoined) in self.drops.pairs() {
            if ends[1] != EndpointId::GROUP {
                pairs.tell_unjoined(ends, labels, verdict::of_class(class), unjoined, now);
            }
        }
        self.ledger.totals.dropped_apart.clone_from(self.drops.apart());
        self.ledger.flows(alive);
        self.ledger.pairs(pairs.count());
        self.changed.extend(self.changes.read(pairs.verdicts(), now));
        // Of a tick that has rows, for the rows of pairs: the very pairs that were counted.
        self.pairs = if self.has_rows { pairs } else { Pairs::default() };
        if now.saturating_sub(self.forgot_workloads) >= FORGET_EVERY {
            self.forgot_workloads = now;
            self.ledger.forget_workloads(&names.workloads());
        }
        self.ledger.totals.endpoints = names.endpoints_by_kind();
        self.ledger.totals.ambiguous_sightings = self.flows.unsure;
        self.ledger.totals.pending_bytes = self.flows.pending_bytes() + self.overflow.pending_bytes();
        self.ledger.totals.clone()
    }

    /// Verdicts of pairs that changed since they were taken last.
    pub fn take_changes(&mut self) -> Vec<VerdictChange> {
        std::mem::take(&mut self.changed)
    }

    /// Packets without a flow, by reason.
    #[must_use]
    pub const fn skipped(&self) -> &BTreeMap<Skip, Counters> {
        &self.skipped
    }

    /// Packets that neither flow table nor path counters could take.
    #[must_use]
    pub fn spilled(&self) -> Counters {
        let mut sum = Counters::ZERO;
        self.spilled.iter().for_each(|one| sum.add(*one));
        sum
    }

    /// What was seen at a hook of an interface, skipped packets included.
    #[must_use]
    pub fn seen_at(&self, interface: u32, hook: netobs_common::hook::Hook) -> Counters {
        let mut sum = self.by_place.get(&(interface, hook.0)).copied().unwrap_or_default();
        sum.add(self.skipped_at(interface, hook));
        sum
    }

    /// What was skipped at a hook of an interface.
    #[must_use]
    pub fn skipped_at(&self, interface: u32, hook: netobs_common::hook::Hook) -> Counters {
        self.skipped_by_place.get(&(interface, hook.0)).copied().unwrap_or_default()
    }

    /// Lets go of rows that nobody looks at.
    pub fn forget_rows(&mut self) {
        if std::mem::take(&mut self.has_rows) {
            self.flows.iter_mut().for_each(|one| one.written = None);
        }
    }

    /// The rows of the report, the busiest first.
    #[must_use]
    pub fn rows(
        &mut self,
        names: &Names<'_>,
        clock: Clock,
        interval: Duration,
    ) -> Vec<Arc<crate::report::FlowRow>> {
        self.has_rows = true;
        rows::flows(self, names, clock, interval)
    }

    /// The rows of the pairs that [`Self::totals`] counted last, in no order. Made where there are rows of
    /// conversations.
    #[must_use]
    pub fn pair_rows(&self, names: &Names<'_>, clock: Clock) -> Vec<PairRow> {
        rows::pairs(&self.pairs, names, clock)
    }
}

/// Turns the monotonic clock into wall time, at publication.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Nanoseconds of the monotonic clock …
    pub monotonic: u64,
    /// … at this moment of the wall clock.
    pub wall: Timestamp,
}

impl Clock {
    /// Wall time of a moment of the monotonic clock.
    #[must_use]
    pub fn wall_time(&self, monotonic: u64) -> Timestamp {
        let before = i64::try_from(self.monotonic.saturating_sub(monotonic)).unwrap_or(i64::MAX);
        let after = i64::try_from(monotonic.saturating_sub(self.monotonic)).unwrap_or(0);
        let shift = jiff::SignedDuration::from_nanos(after.saturating_sub(before));
        self.wall.checked_add(shift).unwrap_or(self.wall)
    }
}

#[cfg(test)]
mod tests;
