//! Health of a report, and this process → the families about the agent itself.

use std::fmt;

use netobs_common::{counters::Counters, skip::Skip};

use super::{
    families as table, labels,
    page::Page,
    rows::{
        Number::{Real, Whole},
        Rows, merged,
    },
};
use crate::report::{Health, InterfaceCounts, InterfaceState};

pub(super) fn encode(page: &Page, rows: &mut Rows<'_>) -> fmt::Result {
    let (totals, health, process) = (&page.report.totals, &page.report.health, &page.process);

    rows.family(&table::BUILD_INFO, [([env!("CARGO_PKG_VERSION"), std::env::consts::ARCH], Whole(1))])?;
    rows.single(&table::START_TIME, process.start_time.map(Real))?;
    rows.single(&table::CPU, process.cpu_seconds.map(Real))?;
    rows.single(&table::RESIDENT, process.resident_bytes.map(Whole))?;
    rows.single(&table::VIRTUAL, process.virtual_bytes.map(Whole))?;
    rows.single(&table::OPEN_FDS, process.open_fds.map(Whole))?;
    rows.single(&table::MAX_FDS, process.max_fds.map(Whole))?;

    let in_state = |state| health.interfaces.iter().filter(|one| one.state == state).count() as u64;
    rows.family(&table::INTERFACES, InterfaceState::ALL.map(|one| ([one.name()], Whole(in_state(one)))))?;
    let attached = |mode: &str| u64::from(health.attach.iter().any(|one| **one == *mode));
    rows.family(
        &table::ATTACH_MODE,
        table::attach_modes().into_iter().map(|one| ([one], Whole(attached(one)))),
    )?;
    rows.single(&table::COVERAGE, Some(Real(coverage(&health.interfaces))))?;
    rows.family(&table::BPF_ENTRIES, health.maps.iter().map(|one| ([one.map], Whole(one.entries))))?;
    rows.family(&table::BPF_CAPACITY, health.maps.iter().map(|one| ([one.map], Whole(one.capacity))))?;
    rows.family(
        &table::LOST_EVENTS,
        health.lost_events.iter().map(|(&source, &lost)| ([source], Whole(lost))),
    )?;
    let apart = totals.dropped_apart.iter();
    rows.family(&table::DROPS_APART, apart.map(|(reason, &count)| ([&**reason], Whole(count))))?;
    rows.single(&table::OVERFLOW, Some(Whole(totals.overflow_packets)))?;
    rows.single(&table::SPILLED_PACKETS, Some(Whole(health.spilled.packets)))?;
    rows.single(&table::SPILLED_BYTES, Some(Whole(health.spilled.bytes)))?;
    rows.single(&table::PENDING, Some(Whole(totals.pending_bytes)))?;
    rows.single(&table::AMBIGUOUS, Some(Whole(totals.ambiguous_sightings)))?;
    rows.single(&table::UNATTRIBUTED, Some(Whole(totals.unattributed_bytes)))?;
    let skipped = |value: fn(&Counters) -> u64| {
        (1..Skip::COUNT)
            .map(Skip)
            .map(move |one| ([one.name()], Whole(health.skipped.get(&one).map_or(0, value))))
    };
    rows.family(&table::SKIPPED_PACKETS, skipped(|one| one.packets))?;
    rows.family(&table::SKIPPED_BYTES, skipped(|one| one.bytes))?;
    rows.family(&table::SOURCES, sources(health).iter().map(|&(labels, value)| (labels, Whole(value))))?;
    rows.single(&table::TICK, Some(Real(health.tick_seconds)))?;
    rows.single(&table::SCRAPE, Some(Real(page.previous.as_secs_f64())))?;

    let [endpoints, workloads] = page.overflow;
    let reported = totals.series_overflow.iter().map(|(&family, &count)| {
        let word = family.strip_prefix("netobs_").unwrap_or(family).split('_').next().unwrap_or_default();
        (labels::closed(word, table::overflowing), count)
    });
    let overflow = merged(reported.chain([("endpoint", endpoints), ("workload", workloads)]));
    rows.family(
        &table::SERIES_OVERFLOW,
        overflow.into_iter().map(|(family, count)| ([family], Whole(count))),
    )?;
    let written = rows.written() + 1;
    rows.single(&table::SERIES, Some(Whole(written)))
}

/// Bytes seen by bytes the interfaces counted, over those that are to be observed; 1 if they counted none.
fn coverage(interfaces: &[InterfaceCounts]) -> f64 {
    let watched = || interfaces.iter().filter(|one| one.state != InterfaceState::Skipped);
    let bytes = |both: &[Counters; 2]| both[0].bytes as f64 + both[1].bytes as f64;
    let counted: f64 = watched().map(|one| bytes(&one.counted)).sum();
    if counted == 0.0 { 1.0 } else { watched().map(|one| bytes(&one.seen)).sum::<f64>() / counted }
}

/// Each source in each state, one or zero: a change of state is a change of two values, not a new series.
fn sources(health: &Health) -> Vec<([&'static str; 2], u64)> {
    let known = table::source_states();
    let in_states = health
        .sources
        .iter()
        .flat_map(|one| known.iter().map(move |&state| ([one.source, state], u64::from(one.state == state))));
    merged(in_states).into_iter().map(|(labels, value)| (labels, value.min(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(state: InterfaceState, seen: u64, counted: u64) -> InterfaceCounts {
        let bytes = |bytes| Counters { packets: 1, segments: 1, bytes };
        InterfaceCounts {
            name: "veth0".into(),
            ifindex: 7,
            state,
            reason: None,
            seen: [bytes(seen), Counters::ZERO],
            skipped: [Counters::ZERO; 2],
            counted: [Counters::ZERO, bytes(counted)],
        }
    }

    #[test]
    fn coverage_leaves_out_what_is_not_to_be_observed_and_keeps_what_failed() {
        let interfaces = [
            interface(InterfaceState::Attached, 50, 50),
            interface(InterfaceState::Failed, 0, 50),
            interface(InterfaceState::Skipped, 0, 900),
        ];
        assert!((coverage(&interfaces) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn nothing_counted_is_nothing_missed() {
        assert!((coverage(&[]) - 1.0).abs() < 1e-9);
    }
}
