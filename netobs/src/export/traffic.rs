//! Totals of a report → the families about traffic and endpoints.

use std::{collections::BTreeMap, fmt};

use netobs_common::{counters::Counters, drop::Dropped, icmp_error::IcmpErrorType};

use super::{
    families as table, labels,
    page::Page,
    rows::{
        Number::{self, Whole},
        Rows, merged,
    },
};
use crate::report::{
    DropLabels, EndpointRow, EvidenceKind, Nat, Outcome, PairLabels, PathFlowLabels, PathLabels, RoleName,
    Verdict, WorkloadAmounts, WorkloadLabels,
};

pub(super) fn encode(page: &Page, rows: &mut Rows<'_>) -> fmt::Result {
    let totals = &page.report.totals;
    let paths = |value: fn(&Counters) -> u64| {
        totals.paths.iter().map(move |(labels, counters)| (by_path(labels), Whole(value(counters))))
    };
    rows.family(&table::PATH_BYTES, paths(|one| one.bytes))?;
    rows.family(&table::PATH_PACKETS, paths(|one| one.packets))?;
    rows.family(&table::PATH_FLOWS, by_flow(&totals.flows))?;
    rows.family(&table::FLOWS_OPENED, by_flow(&totals.opened))?;
    rows.family(
        &table::FLOWS_CLOSED,
        totals.closed.iter().map(|((labels, close), &count)| {
            let [source, destination, path, protocol] = flow_labels(labels);
            ([source, destination, path, protocol, close.name()], Whole(count))
        }),
    )?;
    rows.family(&table::PATH_PAIRS, by_pair(&totals.pairs, Verdict::name))?;
    rows.family(&table::ATTEMPTS, by_pair(&totals.attempts, Outcome::name))?;
    rows.family(&table::EVIDENCE, by_pair(&totals.evidence, EvidenceKind::name))?;
    rows.family(&table::ICMP_ERRORS, by_pair(&totals.icmp_errors, IcmpErrorType::name))?;
    let failures = totals.neighbour_failures.iter();
    rows.family(
        &table::NEIGHBOUR_FAILURES,
        failures.map(|(labels, &count)| (pair_labels(labels), Whole(count))),
    )?;
    let tcp = || totals.tcp.iter().map(|(labels, one)| (pair_labels(labels), one));
    rows.histograms(&table::HANDSHAKE, tcp().map(|(labels, one)| (labels, &one.handshakes)))?;
    rows.histograms(&table::ROUND_TRIP, tcp().map(|(labels, one)| (labels, &one.round_trips)))?;
    rows.family(&table::RETRANSMITS, tcp().map(|(labels, one)| (labels, Whole(one.retransmits))))?;
    rows.family(&table::RESETS, tcp().map(|(labels, one)| (labels, Whole(one.resets))))?;
    let drops = |value: fn(&Dropped) -> u64| {
        totals.dropped.iter().map(move |(labels, count)| (by_drop(labels), Whole(value(count))))
    };
    rows.family(&table::DROPPED_PACKETS, drops(|one| one.packets))?;
    rows.family(&table::DROPPED_BYTES, drops(|one| one.bytes))?;
    let hops = |value: fn(&Counters) -> u64| {
        totals
            .hops
            .iter()
            .map(move |(labels, counters)| ([labels.role.name(), labels.hook.name()], Whole(value(counters))))
    };
    rows.family(&table::HOP_BYTES, hops(|one| one.bytes))?;
    rows.family(&table::HOP_PACKETS, hops(|one| one.packets))?;
    rows.family(
        &table::HOP_LOST,
        totals
            .hop_lost
            .iter()
            .map(|((path, from, to), &count)| ([path.name(), from.name(), to.name()], Whole(count))),
    )?;
    rows.family(
        &table::NAT_TRANSLATIONS,
        [Nat::Snat, Nat::Dnat, Nat::Both]
            .iter()
            .map(|nat| ([nat.name()], Whole(totals.translations.get(nat).copied().unwrap_or_default()))),
    )?;
    let conntrack = page.report.health.conntrack;
    rows.single(&table::CONNTRACK_ENTRIES, conntrack.map(|one| Whole(one.entries)))?;
    rows.single(&table::CONNTRACK_LIMIT, conntrack.map(|one| Whole(one.limit)))?;
    let endpoints = merged(totals.endpoints.iter().map(|((kind, mode, runtime), &count)| {
        ([kind.name(), labels::closed(mode, table::modes), labels::closed(runtime, table::runtimes)], count)
    }));
    rows.family(&table::ENDPOINTS, endpoints.into_iter().map(|(labels, count)| (labels, Whole(count))))?;

    if let Some(workloads) = &page.workloads {
        rows.family(&table::WORKLOAD_BYTES, by_workload(workloads, |one| one.carried.bytes))?;
        rows.family(&table::WORKLOAD_PACKETS, by_workload(workloads, |one| one.carried.packets))?;
        rows.family(&table::WORKLOAD_ATTEMPTS, by_workload(workloads, |one| one.attempts))?;
        rows.family(&table::WORKLOAD_DROPPED, by_workload(workloads, |one| one.dropped))?;
    }
    if let Some(shown) = &page.endpoints {
        let present = page.report.endpoints.iter().filter(|one| shown.contains_key(&one.id));
        // Two ids cleaned to the same text become one row.
        let info: BTreeMap<_, _> = present.map(|one| (labels::clean(&one.id), info(one))).collect();
        let samples = info.iter().map(|(id, (closed, namespace, workload))| {
            let [kind, mode, runtime] = *closed;
            ([&**id, kind, mode, runtime, namespace, workload], Whole(1))
        });
        rows.family(&table::ENDPOINT_INFO, samples)?;
    }
    Ok(())
}

type Info = ([&'static str; 3], std::sync::Arc<str>, std::sync::Arc<str>);

fn info(one: &EndpointRow) -> Info {
    let mode = one.mode.as_deref().unwrap_or_default();
    // `container:NAME` is the mode `container`.
    let mode = mode.split_once(':').map_or(mode, |(word, _)| word);
    let runtime = one.runtime.as_deref().unwrap_or_default();
    (
        [one.kind.name(), labels::closed(mode, table::modes), labels::closed(runtime, table::runtimes)],
        labels::clean(one.namespace.as_deref().unwrap_or_default()),
        labels::clean(one.workload.as_deref().unwrap_or_default()),
    )
}

const fn by_path(labels: &PathLabels) -> [&'static str; 7] {
    [
        labels.source_kind.name(),
        labels.destination_kind.name(),
        labels.path.name(),
        labels.nat.name(),
        labels.protocol.name(),
        labels.direction.name(),
        labels.reporter.name(),
    ]
}

fn by_drop(labels: &DropLabels) -> [&'static str; 5] {
    [
        labels.pair.source_kind.name(),
        labels.pair.destination_kind.name(),
        labels.pair.path.name(),
        labels.last_hop.map_or(table::NOWHERE, RoleName::name),
        labels.reason,
    ]
}

const fn flow_labels(labels: &PathFlowLabels) -> [&'static str; 4] {
    [labels.source_kind.name(), labels.destination_kind.name(), labels.path.name(), labels.protocol.name()]
}

fn by_flow(counts: &BTreeMap<PathFlowLabels, u64>) -> impl Iterator<Item = ([&'static str; 4], Number)> {
    counts.iter().map(|(labels, &count)| (flow_labels(labels), Whole(count)))
}

const fn pair_labels(labels: &PairLabels) -> [&'static str; 3] {
    [labels.source_kind.name(), labels.destination_kind.name(), labels.path.name()]
}

fn by_pair<T: Copy>(
    counts: &BTreeMap<(PairLabels, T), u64>,
    name: fn(T) -> &'static str,
) -> impl Iterator<Item = ([&'static str; 4], Number)> {
    counts.iter().map(move |((labels, told), &count)| {
        let [source, destination, path] = pair_labels(labels);
        ([source, destination, path, name(*told)], Whole(count))
    })
}

fn by_workload(
    workloads: &BTreeMap<WorkloadLabels, WorkloadAmounts>,
    value: fn(&WorkloadAmounts) -> u64,
) -> impl Iterator<Item = ([&str; 7], Number)> {
    workloads.iter().map(move |(labels, amounts)| {
        let values = [
            labels.source_kind.name(),
            &*labels.source_namespace,
            &*labels.source_workload,
            labels.destination_kind.name(),
            &*labels.destination_namespace,
            &*labels.destination_workload,
            labels.reporter.name(),
        ];
        (values, Whole(value(amounts)))
    })
}
