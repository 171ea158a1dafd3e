//! A made-up node for tests of the matrix: containers, a pod, a machine, the outside, and something of every sort.

use jiff::{SignedDuration, Timestamp};

use crate::{
    report::{Evidence, EvidenceKind, FlowRow, KindName, PairDrops, PairLabels, PairRow, Path, Verdict},
    top::made_up::tcp,
};

pub(crate) use crate::top::made_up::head;

pub(crate) fn before(seconds: i64) -> Timestamp {
    head().time - SignedDuration::from_secs(seconds)
}

fn fact(kind: EvidenceKind, count: u64, hop: &str, detail: Option<&str>) -> Evidence {
    Evidence {
        kind,
        count,
        first_seen: before(90),
        last_seen: before(2),
        hop: Some(hop.into()),
        detail: detail.map(Into::into),
    }
}

/// A connection that is well, by some way.
fn well(source: &str, destination: &str, path: Path, number: usize) -> FlowRow {
    let mut flow = tcp(&format!("f{number}"), source, destination, 443);
    flow.path = path;
    (flow.forward.bytes, flow.reply.bytes) = (500_000, 1_000_000);
    flow.last_seen = before(2);
    let veth = format!("veth{number} ingress");
    flow.evidence = vec![
        fact(EvidenceKind::ReplyPacket, 90, "eth0 ingress", None),
        fact(EvidenceKind::Handshake, 1, &veth, Some(&format!("0.{number:03} ms"))),
    ];
    flow
}

fn of(flow: &FlowRow, verdict: Verdict) -> PairRow {
    PairRow {
        ends: Some([flow.source.endpoint.clone(), flow.destination.endpoint.clone()]),
        labels: flow.pair_labels(),
        verdict,
        last_seen: flow.last_seen,
        dropped: None,
    }
}

/// Pairs and flows of a node.
pub(crate) fn node() -> (Vec<PairRow>, Vec<FlowRow>) {
    let (mut pairs, mut flows) = (Vec::new(), Vec::new());
    // Fourteen containers ask the outside: one is refused, and it has another flow that is not; one has losses.
    for number in 0..14 {
        let mut flow = well(&format!("container/c{number}"), "external", Path::Uplink, number);
        let verdict = match number {
            0 => Verdict::Refused,
            3 => Verdict::Degraded,
            _ => Verdict::Reachable,
        };
        if verdict == Verdict::Degraded {
            let again = |direction| fact(EvidenceKind::Retransmit, 47, "veth3 ingress", Some(direction));
            flow.evidence.extend([again("forward"), Evidence { count: 3, ..again("reply") }]);
        }
        pairs.push(of(&flow, verdict));
        flows.push(flow);
    }
    let mut refused = tcp("f20", "container/c0", "external", 81);
    (refused.path, refused.verdict, refused.last_seen) = (Path::Uplink, Verdict::Refused, before(10));
    (refused.forward.bytes, refused.reply.bytes) = (74, 60);
    let whose = Some("sent by the destination");
    refused.evidence = vec![fact(EvidenceKind::Rst, 1, "eth0 ingress", whose)];
    flows.push(refused);
    for (number, (source, destination, path)) in [
        ("host", "host", Path::Loopback),
        ("vm/mail", "pod/shop/db", Path::RoutedLocal),
        ("pod/shop/web", "pod/shop/far", Path::Overlay),
    ]
    .into_iter()
    .enumerate()
    {
        let flow = well(source, destination, path, 30 + number);
        pairs.push(of(&flow, Verdict::Reachable));
        flows.push(flow);
    }
    // Nobody answers, and an echo has no handshake.
    let mut echo = tcp("f40", "pod/shop/web", "container/c1", 9);
    (echo.path, echo.verdict, echo.tcp) = (Path::RoutedLocal, Verdict::Unanswered, None);
    (echo.forward.bytes, echo.reply.bytes) = (392, 0);
    pairs.push(of(&echo, Verdict::Unanswered));
    flows.push(echo);
    // To a group, which is nobody.
    let mut group = tcp("f50", "host", "unknown", 5_353);
    (group.path, group.verdict, group.tcp) = (Path::Uplink, Verdict::Unknown, None);
    flows.push(group);
    // Kept in by the host's own firewall.
    pairs.push(PairRow {
        ends: Some(["host".into(), "vm/mail".into()]),
        labels: PairLabels {
            source_kind: KindName::Host,
            destination_kind: KindName::Vm,
            path: Path::HostDirect,
        },
        verdict: Verdict::Dropped,
        last_seen: before(4),
        dropped: Some(PairDrops {
            packets: 5,
            reason: Some("netfilter_drop".into()),
            first_seen: before(7),
            last_seen: before(4),
        }),
    });
    (pairs, flows)
}
