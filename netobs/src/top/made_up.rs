//! Made-up documents for tests of everything that shows flows. Names and addresses are nobody's.

use jiff::Timestamp;

use super::TopInput;
use crate::report::{
    Amounts, EndpointRow, EndpointsDocument, Evidence, EvidenceKind, FlowRow, FlowsDocument, Head, HookName,
    HopDirection, HopRow, InitiatorBy, InterfaceRow, InterfaceStates, KindName, Nat, NotFound,
    OriginalDestination, Party, Path, ProtocolName, Reporter, RoleName, SCHEMA, SourceStatus, StatusDocument,
    Tcp, TcpState, Verdict, Via,
};

pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

fn before(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

pub(crate) fn head() -> Head {
    Head { schema: SCHEMA.into(), time: now(), node: "alpha".into(), interval_seconds: 1.0 }
}

fn party(endpoint: &str, address: &str, port: u16) -> Party {
    let kind = match endpoint.split('/').next() {
        Some("host") => KindName::Host,
        Some("container") => KindName::Container,
        Some("pod") => KindName::Pod,
        Some("vm") => KindName::Vm,
        Some("external") => KindName::External,
        _ => KindName::Unknown,
    };
    Party {
        endpoint: endpoint.into(),
        kind,
        address: address.parse().expect("an address"),
        port,
        process: None,
    }
}

fn amounts(packets: u64, bytes: u64, bits_per_second: f64) -> Amounts {
    Amounts { packets, segments: packets * 3, bytes, bits_per_second }
}

fn hop(direction: HopDirection, interface: &str, hook: HookName, role: RoleName, tuple: [&str; 2]) -> HopRow {
    HopRow {
        direction,
        interface: interface.into(),
        ifindex: 7,
        inside: None,
        hook,
        role,
        encapsulation: None,
        source: tuple[0].into(),
        destination: tuple[1].into(),
        packets: 1_857,
        segments: 70_947,
        bytes: 106_997_144,
        lost_segments: None,
    }
}

/// A TCP flow on one bridge, without a rate.
pub(crate) fn tcp(id: &str, source: &str, destination: &str, port: u16) -> FlowRow {
    FlowRow {
        id: id.into(),
        source: party(source, "172.17.0.2", 45_678),
        destination: party(destination, "172.17.0.3", port),
        initiator_by: InitiatorBy::Syn,
        original_destination: None,
        protocol: ProtocolName::Tcp,
        path: Path::Bridge,
        nat: Nat::None,
        via: Via::Direct,
        reporter: Reporter::Source,
        overlay: None,
        proxied_by: None,
        forward: amounts(100, 10_000, 0.0),
        reply: amounts(90, 6_000, 0.0),
        hops: Vec::new(),
        tcp: Some(Tcp {
            state: TcpState::Established,
            handshake_seconds: Some(0.000_34),
            rtt_seconds: Some(0.0012),
            retransmits: Some(0),
            resets: 0,
            zero_windows: Some(0),
        }),
        verdict: Verdict::Reachable,
        evidence: Vec::new(),
        first_seen: before(95),
        last_seen: before(1),
    }
}

/// From a container through masquerade to the outside, with every field filled.
pub(crate) fn outbound() -> FlowRow {
    let mut flow = tcp("f1", "container/web", "external", 443);
    flow.destination.address = "198.51.100.7".parse().expect("an address");
    flow.path = Path::Uplink;
    flow.nat = Nat::Snat;
    flow.forward = amounts(141_376, 212_345_678, 942_000_000.0);
    flow.reply = amounts(70_000, 4_620_000, 18_400_000.0);
    flow.original_destination = Some(OriginalDestination {
        address: "203.0.113.9".parse().expect("an address"),
        port: 8443,
        service: Some("shop/front".into()),
    });
    let inside = ["172.17.0.2:45678", "198.51.100.7:443"];
    let outside = ["203.0.113.1:45678", "198.51.100.7:443"];
    let swap = |tuple: [&'static str; 2]| [tuple[1], tuple[0]];
    use {HookName::*, HopDirection::*, RoleName::*};
    flow.hops = vec![
        hop(Forward, "veth1a2b3c4", Ingress, Veth, inside),
        hop(Forward, "docker0", Ingress, Bridge, inside),
        hop(Forward, "eth0", Egress, Uplink, outside),
        hop(Reply, "eth0", Ingress, Uplink, swap(outside)),
        hop(Reply, "docker0", Egress, Bridge, swap(inside)),
        hop(Reply, "veth1a2b3c4", Egress, Veth, swap(inside)),
    ];
    flow.evidence = vec![
        Evidence {
            kind: EvidenceKind::Handshake,
            count: 1,
            first_seen: before(95),
            last_seen: before(95),
            hop: Some("veth1a2b3c4/ingress".into()),
            detail: None,
        },
        Evidence {
            kind: EvidenceKind::Retransmit,
            count: 12,
            first_seen: before(40),
            last_seen: before(3),
            hop: Some("eth0/egress".into()),
            detail: Some("12 of 141376 segments".into()),
        },
    ];
    if let Some(tcp) = &mut flow.tcp {
        tcp.retransmits = Some(12);
    }
    flow
}

fn endpoint(id: &str, kind: KindName, mode: &str, interface: &str, address: &str) -> EndpointRow {
    EndpointRow {
        id: id.into(),
        kind,
        name: id.rsplit('/').next().unwrap_or(id).into(),
        namespace: None,
        workload: (kind == KindName::Container).then(|| "shop".into()),
        uid: None,
        runtime: (kind == KindName::Container).then(|| "docker".into()),
        mode: Some(mode.into()),
        netns: Some(4_026_532_000),
        interfaces: vec![InterfaceRow {
            name: interface.into(),
            ifindex: 7,
            mac: Some("02:42:ac:11:00:02".into()),
            addresses: vec![address.parse().expect("an address")],
            mode: Some(mode.into()),
        }],
        provenance: if kind == KindName::Container {
            vec!["docker_api".into(), "netns".into()]
        } else {
            vec!["netns".into()]
        },
        containers: Vec::new(),
    }
}

fn host() -> EndpointRow {
    EndpointRow { mode: None, ..endpoint("host", KindName::Host, "", "eth0", "203.0.113.1") }
}

fn status() -> StatusDocument {
    StatusDocument {
        head: head(),
        sources: vec![
            SourceStatus { source: "docker".into(), state: "ready".into(), detail: None },
            SourceStatus { source: "netlink".into(), state: "ready".into(), detail: None },
        ],
        not_found: Vec::new(),
        interfaces: InterfaceStates { attached: 4, skipped: 1, failed: 0, blind: 0 },
        attach: vec!["tcx".into()],
        pending_bytes: 0,
        unattributed_bytes: 0,
        overflow_packets: 0,
        skipped_packets: Default::default(),
        skipped_at: Vec::new(),
        lost_events: Default::default(),
        tables: Vec::new(),
        tick_seconds: 0.002,
    }
}

/// A Docker host with one flow of each sort.
pub(crate) fn busy() -> TopInput {
    let mut inside = tcp("f2", "container/web", "container/db", 5432);
    inside.forward.bits_per_second = 1_234_567.0;
    inside.reply.bits_per_second = 45_600_000.0;

    let mut refused = tcp("f3", "container/long-name-of-a-batch-job", "container/cache", 6379);
    refused.verdict = Verdict::Refused;
    refused.path = Path::RoutedLocal;
    refused.forward.bits_per_second = 480.0;

    let mut published = tcp("f4", "external", "container/web", 80);
    published.source.address = "2001:db8::dead:beef".parse().expect("an address");
    published.path = Path::Uplink;
    published.nat = Nat::Dnat;
    published.via = Via::PublishedPort;
    published.forward.bits_per_second = 88_000.0;
    published.reply.bits_per_second = 9_990_000.0;

    let mut ping = tcp("f5", "host", "container/db", 4711);
    ping.protocol = ProtocolName::Icmp;
    ping.tcp = None;
    ping.path = Path::HostDirect;
    ping.forward.bits_per_second = 784.0;
    ping.reply.bits_per_second = 784.0;

    let mut over = tcp("f6", "container/web", "container/db", 5433);
    if let Some(tcp) = &mut over.tcp {
        tcp.state = TcpState::Closed;
    }

    let mut own = tcp("f7", "host", "host", 8080);
    own.path = Path::Loopback;
    own.forward.bits_per_second = 5e9;

    TopInput {
        flows: FlowsDocument {
            head: head(),
            flows: vec![own, outbound(), inside, published, refused, ping, over],
        },
        endpoints: EndpointsDocument {
            head: head(),
            endpoints: vec![
                endpoint("container/db", KindName::Container, "bridge", "veth5d6e7f8", "172.17.0.3"),
                endpoint("container/web", KindName::Container, "bridge", "veth1a2b3c4", "172.17.0.2"),
                host(),
            ],
        },
        status: status(),
    }
}

/// A machine where nothing runs.
pub(crate) fn empty() -> TopInput {
    let mut status = status();
    status.sources[0] = SourceStatus {
        source: "docker".into(),
        state: "absent".into(),
        detail: Some("no socket at /var/run/docker.sock".into()),
    };
    status.not_found = vec![
        NotFound {
            what: "containers".into(),
            looked: "/var/run/docker.sock, cgroups, network namespaces".into(),
        },
        NotFound { what: "VMs".into(), looked: "tap devices".into() },
    ];
    TopInput {
        flows: FlowsDocument { head: head(), flows: Vec::new() },
        endpoints: EndpointsDocument { head: head(), endpoints: vec![host()] },
        status,
    }
}

/// Names as an attacker would choose them.
pub(crate) fn hostile() -> TopInput {
    let mut input = busy();
    let names = [
        "container/\x1b[2J\x1b]0;owned\x07",
        "container/\u{202e}gnp.exe",
        "container/数据库-很长的名字-数据库-很长的名字",
        "container/a\nb\tc\u{9b}31m",
        "container/👩‍👩‍👧‍👦e\u{301}\u{200b}",
    ];
    for (flow, name) in input.flows.flows[1..].iter_mut().zip(names) {
        flow.source.endpoint = name.into();
    }
    input.flows.head.node = "al\x1bpha\u{202e}".into();
    input
}
