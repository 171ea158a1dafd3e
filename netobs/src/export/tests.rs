//! Whole pages: everything in the table is there, and stays parseable whatever names are about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use netobs_common::{counters::Counters, drop::Dropped, icmp_error::IcmpErrorType, skip::Skip};
use proptest::prelude::*;

use super::{
    strict::{self, Read},
    *,
};
use crate::{
    report::*,
    settings::{Detail, Layer, Settings},
};

const HOSTILE: &str = "a\"b\\c\n} 1\nevil_total 9\n# EOF\n\u{9b}2J\u{202e}";

fn carried(packets: u64, bytes: u64) -> WorkloadAmounts {
    WorkloadAmounts { carried: counters(packets, bytes), attempts: packets, dropped: packets }
}

fn counters(packets: u64, bytes: u64) -> Counters {
    Counters { packets, segments: packets, bytes }
}

fn exporter(detail: Detail, max_series: u32) -> Exporter {
    let layer = Layer { detail: Some(detail), max_series: Some(max_series), ..Layer::default() };
    Exporter::new(&Settings::check(layer).unwrap())
}

fn workload(source: &str, destination: &str) -> WorkloadLabels {
    WorkloadLabels {
        source_kind: KindName::Container,
        source_namespace: "".into(),
        source_workload: source.into(),
        destination_kind: KindName::External,
        destination_namespace: "".into(),
        destination_workload: destination.into(),
        reporter: Reporter::Source,
    }
}

/// A report that has something in every family.
fn full() -> Report {
    let mut report = Report::empty("alpha".into(), "2026-01-02T03:04:05Z".parse().unwrap());
    let by_flow = PathFlowLabels {
        source_kind: KindName::Container,
        destination_kind: KindName::External,
        path: Path::Uplink,
        protocol: ProtocolName::Tcp,
    };
    let totals = &mut report.totals;
    let mut tcp = TcpTotals { retransmits: 3, resets: 2, ..TcpTotals::default() };
    [900_000, 20_000_000, 11_000_000_000].into_iter().for_each(|one| tcp.round_trips.observe(one));
    totals.tcp.insert(by_flow.into(), tcp);
    totals.paths.insert(
        PathLabels {
            source_kind: KindName::Container,
            destination_kind: KindName::External,
            path: Path::Uplink,
            nat: Nat::Snat,
            protocol: ProtocolName::Tcp,
            direction: Direction::Forward,
            reporter: Reporter::Source,
        },
        counters(3, u64::MAX),
    );
    totals.flows.insert(by_flow, 1);
    totals.opened.insert(by_flow, 2);
    totals.closed.insert((by_flow, Close::Fin), 1);
    totals.pairs.insert((by_flow.into(), Verdict::Reachable), 1);
    totals.attempts.insert((by_flow.into(), Outcome::Established), 2);
    totals.evidence.insert((by_flow.into(), EvidenceKind::SynAck), 2);
    totals.neighbour_failures.insert(by_flow.into(), 2);
    totals.icmp_errors.insert((by_flow.into(), IcmpErrorType::PORT_UNREACHABLE), 3);
    totals.hops.insert(HopLabels { role: RoleName::Veth, hook: HookName::Ingress }, counters(4, 400));
    totals.hop_lost.insert((Path::Uplink, HopName::VethIngress, HopName::BridgeIngress), 3);
    let dropped = DropLabels { pair: by_flow.into(), last_hop: None, reason: "netfilter_drop" };
    totals.dropped.insert(dropped, Dropped { packets: 3, bytes: 180 });
    totals.dropped_apart.insert("queue_purge".into(), 4);
    totals.endpoints.insert((KindName::Container, "bridge".into(), "docker".into()), 2);
    totals.endpoints.insert((KindName::Container, "warp".into(), "docker".into()), 1);
    totals.endpoints.insert((KindName::Container, "weft".into(), "docker".into()), 1);
    totals.workloads.insert(workload("web", "external"), carried(5, 500));
    totals.series_overflow.insert("netobs_workload_bytes_total", 6);
    report.endpoints.push(EndpointRow {
        id: "container/web".into(),
        kind: KindName::Container,
        name: "web".into(),
        namespace: None,
        workload: Some("shop/web".into()),
        uid: None,
        runtime: Some("docker".into()),
        mode: Some("container:db".into()),
        netns: None,
        interfaces: Vec::new(),
        provenance: Vec::new(),
        containers: Vec::new(),
    });
    let health = &mut report.health;
    health.skipped.insert(Skip::MALFORMED, counters(7, 700));
    health.maps.push(MapUse { map: "flows", entries: 8, capacity: 65_536 });
    health.conntrack = Some(ConntrackUse { entries: 10, limit: 262_144 });
    health.lost_events.insert("netlink", 9);
    health.sources.push(SourceState { source: "docker", state: "failing", detail: None });
    health.attach.push("tcx".into());
    report
}

fn page(exporter: &mut Exporter, report: Report) -> String {
    exporter.render(Arc::new(report), Process::read()).unwrap()
}

fn read(exporter: &mut Exporter, report: Report) -> Read {
    let page = page(exporter, report);
    let read = strict::open_metrics(&page).unwrap_or_else(|why| panic!("{why}\n{page}"));
    strict::classic(&classic(&page)).unwrap_or_else(|why| panic!("{why}\n{page}"));
    read
}

fn value<'r>(read: &'r Read, name: &str, labels: &[(&str, &str)]) -> Option<&'r str> {
    let has =
        |all: &strict::Labels| labels.iter().all(|&(key, value)| all.contains(&(key.into(), value.into())));
    read.samples
        .iter()
        .find(|(sample, all, _)| sample == name && has(all))
        .map(|(_, _, value)| value.as_str())
}

/// The family of a sample: a histogram's have three names.
fn family<'r>(read: &'r Read, sample: &'r str) -> &'r str {
    let is_histogram = |stem: &&str| read.types.get(*stem).is_some_and(|one| one == "histogram");
    let stem = |suffix| sample.strip_suffix(suffix).filter(is_histogram);
    ["_bucket", "_sum", "_count"].into_iter().find_map(stem).unwrap_or(sample)
}

#[test]
fn every_family_of_the_table_has_samples_with_exactly_its_labels() {
    let read = read(&mut exporter(Detail::Endpoint, 2_000), full());
    let mut found: BTreeMap<&str, BTreeSet<Vec<&str>>> = BTreeMap::new();
    for (name, labels, _) in &read.samples {
        let labels = labels.iter().map(|(label, _)| label.as_str()).filter(|label| *label != "le");
        found.entry(family(&read, name)).or_default().insert(labels.collect());
    }
    let expected: BTreeMap<&str, BTreeSet<Vec<&str>>> = FAMILIES
        .iter()
        .map(|one| (one.name, BTreeSet::from([one.labels.iter().map(|label| label.name).collect()])))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(read.types.len(), FAMILIES.len());
}

#[test]
fn closed_labels_have_only_documented_values() {
    let read = read(&mut exporter(Detail::Endpoint, 2_000), full());
    for (name, labels, _) in &read.samples {
        let family = FAMILIES.iter().find(|one| one.name == family(&read, name)).unwrap();
        let closed = labels.iter().filter(|(label, _)| label != "le");
        for (label, (_, value)) in family.labels.iter().zip(closed) {
            if let Values::Closed(all) = label.values {
                assert!(all().contains(&value.as_str()), "{name} {} = {value}", label.name);
            }
        }
    }
}

#[test]
fn an_agent_that_has_seen_nothing_still_tells_what_it_can_tell() {
    let report = Report::empty("alpha".into(), "2026-01-02T03:04:05Z".parse().unwrap());
    let read = read(&mut exporter(Detail::Workload, 2_000), report);
    assert_eq!(read.types["netobs_path_bytes"], "counter");
    assert_eq!(value(&read, "netobs_skipped_packets_total", &[("reason", "truncated")]), Some("0"));
    assert_eq!(value(&read, "netobs_interfaces", &[("state", "failed")]), Some("0"));
    assert!(!read.types.contains_key("netobs_endpoint_info"));
}

#[test]
fn counters_beyond_two_to_the_53_are_written_exactly() {
    let read = read(&mut exporter(Detail::Path, 1), full());
    assert_eq!(value(&read, "netobs_path_bytes_total", &[]), Some("18446744073709551615"));
    assert!(!read.types.contains_key("netobs_workload_bytes"));
}

#[test]
fn words_outside_a_closed_set_are_added_up_as_other() {
    let read = read(&mut exporter(Detail::Endpoint, 1), full());
    assert_eq!(value(&read, "netobs_endpoints", &[("mode", "other")]), Some("2"));
    assert_eq!(value(&read, "netobs_endpoint_info", &[("mode", "container")]), Some("1"));
}

#[test]
fn the_page_says_how_many_series_it_has() {
    let read = read(&mut exporter(Detail::Endpoint, 10), full());
    assert_eq!(value(&read, "netobs_series", &[]), Some(read.samples.len().to_string().as_str()));
}

#[test]
fn ten_thousand_workloads_stay_within_the_cap_and_nothing_is_lost() {
    let mut report = full();
    report.totals.series_overflow.clear();
    for one in 0..10_000 {
        report.totals.workloads.insert(workload(&format!("job-{one}"), "external"), carried(1, 10));
    }
    let mut exporter = exporter(Detail::Workload, 100);
    let read = read(&mut exporter, report);
    let rows: Vec<u64> = read
        .samples
        .iter()
        .filter(|(name, ..)| name == "netobs_workload_bytes_total")
        .map(|(_, _, value)| value.parse().unwrap())
        .collect();
    assert_eq!(rows.len(), 101);
    assert_eq!(rows.iter().sum::<u64>(), 500 + 100_000);
    assert_eq!(value(&read, "netobs_series_overflow_total", &[("family", "workload")]), Some("9901"));
}

#[test]
fn the_document_of_the_repository_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == documentation(), "docs/metrics.md is not up to date: run `netobs docs`");
}

proptest! {
    #[test]
    fn no_name_can_break_the_page(
        names in prop::collection::vec(prop_oneof![any::<String>(), Just(HOSTILE.to_owned())], 1..6),
        detail in prop_oneof![Just(Detail::Workload), Just(Detail::Endpoint)],
        limit in 1_u32..4,
    ) {
        let mut report = full();
        for name in &names {
            let mut labels = workload(name, HOSTILE);
            labels.destination_namespace = name.as_str().into();
            report.totals.workloads.insert(labels, carried(1, 1));
            report.totals.endpoints.insert((KindName::Pod, name.as_str().into(), name.as_str().into()), 1);
            let mut row = report.endpoints[0].clone();
            row.id = name.as_str().into();
            row.workload = Some(name.as_str().into());
            report.endpoints.push(row);
        }
        let page = exporter(detail, limit).render(Arc::new(report), Process::default()).unwrap();
        let read = strict::open_metrics(&page);
        prop_assert!(read.is_ok(), "{:?}\n{}", read, page);
        prop_assert!(strict::classic(&classic(&page)).is_ok());
        prop_assert!(read.unwrap().samples.iter().all(|(name, ..)| !name.starts_with("evil")));
    }
}

#[test]
fn a_histogram_counts_up_to_each_bound_and_adds_up() {
    let read = read(&mut exporter(Detail::Path, 2_000), full());
    let bucket = |bound| value(&read, "netobs_tcp_rtt_seconds_bucket", &[("le", bound)]);
    assert_eq!(
        [bucket("0.0005"), bucket("0.001"), bucket("0.025"), bucket("10.0"), bucket("+Inf")],
        [Some("0"), Some("1"), Some("2"), Some("2"), Some("3")]
    );
    assert_eq!(value(&read, "netobs_tcp_rtt_seconds_count", &[]), Some("3"));
    assert_eq!(value(&read, "netobs_tcp_rtt_seconds_sum", &[]), Some("11.0209"));
}
