//! A small report for tests: a web server, who calls it, and a name server asked over IPv6; a packet that the firewall
//! kept in, and somebody who is not to be shown.

use std::{net::IpAddr, sync::Arc};

use crate::report::*;

fn party(endpoint: &str, kind: KindName, address: &str, port: u16) -> Party {
    Party {
        endpoint: endpoint.into(),
        kind,
        address: address.parse::<IpAddr>().unwrap(),
        port,
        process: None,
    }
}

fn flow(id: &str, source: Party, destination: Party, path: Path, bytes: u64) -> FlowRow {
    let amounts =
        |bytes| Amounts { packets: bytes / 100, segments: bytes / 100, bytes, bits_per_second: bytes as f64 };
    FlowRow {
        id: id.into(),
        source,
        destination,
        initiator_by: InitiatorBy::Syn,
        original_destination: None,
        protocol: ProtocolName::Tcp,
        path,
        nat: Nat::None,
        via: Via::Direct,
        reporter: Reporter::Source,
        overlay: None,
        proxied_by: None,
        forward: amounts(bytes),
        reply: amounts(bytes / 10),
        hops: Vec::new(),
        tcp: None,
        verdict: Verdict::Reachable,
        evidence: Vec::new(),
        first_seen: "2026-01-02T03:04:05Z".parse().unwrap(),
        last_seen: "2026-01-02T03:04:06Z".parse().unwrap(),
    }
}

pub(crate) fn report() -> Report {
    let mut report = Report::empty("alpha".into(), "2026-01-02T03:04:06Z".parse().unwrap());
    report.endpoints.push(EndpointRow {
        id: "container/web".into(),
        kind: KindName::Container,
        name: "web".into(),
        namespace: None,
        workload: None,
        uid: Some("0123abcdef".into()),
        runtime: Some("docker".into()),
        mode: Some("bridge".into()),
        netns: Some(4_026_531_999),
        interfaces: Vec::new(),
        provenance: vec!["docker_api".into()],
        containers: Vec::new(),
    });
    let web = |port| party("container/web", KindName::Container, "10.0.0.2", port);
    report.flows = vec![
        flow("f1", party("host", KindName::Host, "10.0.0.1", 40_000), web(80), Path::HostDirect, 9_000),
        flow("f2", party("external", KindName::External, "203.0.113.9", 50_000), web(80), Path::Uplink, 500),
        flow(
            "f3",
            party("host", KindName::Host, "2001:db8::1", 3_333),
            party("external", KindName::External, "2001:db8::7", 53),
            Path::Uplink,
            100,
        ),
    ]
    .into_iter()
    .map(Arc::new)
    .collect();
    Arc::make_mut(&mut report.flows[1]).original_destination =
        Some(OriginalDestination { address: "198.51.100.1".parse().unwrap(), port: 8080, service: None });
    Arc::make_mut(&mut report.flows[2]).verdict = Verdict::Refused;
    report.pairs = pairs(&report.flows);
    report
}

/// One for each flow; the first has lost a packet besides, two have no flow.
fn pairs(flows: &[Arc<FlowRow>]) -> Vec<PairRow> {
    let time = |text: &str| text.parse().unwrap();
    let mut pairs: Vec<PairRow> = flows
        .iter()
        .map(|flow| PairRow {
            ends: Some([Arc::clone(&flow.source.endpoint), Arc::clone(&flow.destination.endpoint)]),
            labels: flow.pair_labels(),
            verdict: flow.verdict,
            last_seen: flow.last_seen,
            dropped: None,
        })
        .collect();
    pairs[0].verdict = Verdict::Dropped;
    pairs[0].dropped = Some(PairDrops {
        packets: 3,
        reason: Some("netfilter_drop".into()),
        first_seen: time("2026-01-02T03:04:04Z"),
        last_seen: time("2026-01-02T03:04:05Z"),
    });
    let labels = |source_kind, destination_kind, path| PairLabels { source_kind, destination_kind, path };
    let alone = |labels, ends| PairRow {
        ends,
        labels,
        verdict: Verdict::Reachable,
        last_seen: time("2026-01-02T03:03:46Z"),
        dropped: None,
    };
    pairs.push(alone(labels(KindName::Pod, KindName::External, Path::Uplink), None));
    let cache = Some(["container/batch".into(), "container/cache".into()]);
    pairs.push(PairRow {
        verdict: Verdict::Unreachable,
        dropped: Some(PairDrops {
            packets: 1,
            reason: None,
            first_seen: time("2026-01-02T03:03:46Z"),
            last_seen: time("2026-01-02T03:03:46Z"),
        }),
        ..alone(labels(KindName::Container, KindName::Container, Path::Bridge), cache)
    });
    pairs
}

/// A hop that saw something.
pub(crate) fn hop() -> HopRow {
    HopRow {
        direction: HopDirection::Forward,
        interface: "eth0".into(),
        ifindex: 2,
        inside: None,
        hook: HookName::Egress,
        role: RoleName::Uplink,
        encapsulation: None,
        source: "10.0.0.2:1".into(),
        destination: "10.0.0.3:2".into(),
        packets: 1,
        segments: 1,
        bytes: 100,
        lost_segments: None,
    }
}

/// A host of which nothing is known, and from which nothing can be sent.
pub(crate) fn readers() -> super::AskedReaders {
    super::AskedReaders {
        configuration: |_| Box::pin(async { super::Configuration::default() }),
        probe: |_, _| Box::pin(async { Err("no network".to_owned()) }),
    }
}
