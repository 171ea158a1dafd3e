//! An explanation → a page for a terminal: verdict, evidence in order of time, causes with what to do. Pure.

use std::fmt::Write as _;

use super::{
    grid::{Cell, Grid, Head},
    look::Look,
    text,
    tone::Tone,
    units,
};
use crate::report::{AskedSide, DropHop, Explanation, ProbeOutcome, ProbeRow, ProtocolName, Verdict};

const HEADS: [Head; 5] = [
    Head::word("TIME"),
    Head::word("EVIDENCE"),
    Head::number("COUNT"),
    Head::name("HOP", 12),
    Head::name("DETAIL", 20),
];
/// Texts of causes are broken at this width where the terminal says none.
const WIDTH: usize = 100;
/// Lines of one text of a cause.
const LINES: usize = 6;

/// The whole page.
#[must_use]
pub fn explain(answer: &Explanation, look: Look) -> String {
    let mut page = String::new();
    let [source, destination] = [&answer.source, &answer.destination].map(side);
    let by = [answer.protocol.map(|one| one.name()), answer.path.map(|one| one.name())];
    let by: Vec<&str> = by.into_iter().flatten().collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    let verdict = answer.verdict.name();
    let head = text::wrap(&format!("{verdict}: {source} → {destination}{by}"), width(look), LINES);
    for (number, words) in head.iter().enumerate() {
        match words.strip_prefix(verdict).filter(|_| number == 0) {
            Some(rest) => line(&mut page, look, &[(verdict, Tone::of(answer.verdict)), (rest, Tone::Plain)]),
            None => line(&mut page, look, &[(words, Tone::Plain)]),
        }
    }
    paragraph(&mut page, look, &saying(answer));
    if let Some(probe) = &answer.probe {
        paragraph(&mut page, look, &probed(probe));
    }
    if let Some(hop) = &answer.last_hop {
        let next =
            answer.expected_next_hop.as_ref().map(|next| format!("; expected next at {}", place(next)));
        let seen = format!("Packets were seen last at {}{}.", place(hop), next.unwrap_or_default());
        paragraph(&mut page, look, &seen);
    }
    if !answer.evidence.is_empty() {
        page.push('\n');
        page.push_str(&evidence(answer, look));
    }
    for (number, cause) in answer.causes.iter().enumerate() {
        page.push('\n');
        let head = format!("{}. {}", number + 1, cause.cause);
        line(&mut page, look, &[(&head, Tone::Head), (&format!(" ({})", cause.confidence), Tone::Faint)]);
        let parts = [
            ("observed", &cause.observed),
            ("configured", &cause.configured),
            ("advice", &cause.advice),
            ("check", &cause.check),
        ];
        for (name, words) in parts {
            told(&mut page, look, name, words);
        }
    }
    for unread in &answer.unread {
        for words in text::wrap(&clean(&format!("not read: {unread}")), width(look), LINES) {
            line(&mut page, look, &[(&words, Tone::Faint)]);
        }
    }
    page
}

fn width(look: Look) -> usize {
    look.width.unwrap_or(WIDTH)
}

fn paragraph(page: &mut String, look: Look, words: &str) {
    for words in text::wrap(words, width(look), LINES) {
        line(page, look, &[(&words, Tone::Plain)]);
    }
}

/// What the verdict comes to, in a sentence.
pub(super) fn saying(answer: &Explanation) -> String {
    let why =
        if answer.causes.is_empty() { " Nothing of what was read of this host explains it." } else { "" };
    match answer.verdict {
        Verdict::Reachable => "No fault found: packets of both directions prove it.".to_owned(),
        Verdict::Unknown if answer.evidence.is_empty() => {
            "Nothing was seen between these two lately. Let them try, and ask again.".to_owned()
        }
        Verdict::Unknown => {
            "What was seen proves neither that they reach each other nor that they do not.".to_owned()
        }
        Verdict::Dropped => format!("The kernel of this host dropped the packets.{why}"),
        Verdict::Refused => format!("The attempt was refused.{why}"),
        Verdict::Unreachable => format!("The destination was said to be unreachable.{why}"),
        Verdict::OneWay => format!("Packets of one direction do not arrive.{why}"),
        Verdict::Unanswered => format!("The packets left, and nothing came back.{why}"),
        Verdict::Degraded => format!("They reach each other, with losses.{why}"),
    }
}

/// What became of a probe, in a sentence.
pub(super) fn probed(probe: &ProbeRow) -> String {
    let to = match probe.port {
        Some(port) => std::net::SocketAddr::new(probe.address, port).to_string(),
        None => probe.address.to_string(),
    };
    let sent = match probe.protocol {
        ProtocolName::Tcp => "A connection",
        ProtocolName::Udp => "A datagram",
        _ => "An echo request",
    };
    let came = match probe.outcome {
        ProbeOutcome::Answered => "was answered",
        ProbeOutcome::Refused => "was refused",
        ProbeOutcome::Unreachable => "was told that there is no way",
        ProbeOutcome::Silence => "was not answered",
        ProbeOutcome::Failed => "could not be sent",
    };
    let why = probe.error.as_ref().map(|error| format!(": {}", text::printable(error))).unwrap_or_default();
    format!("{sent} to {to} {came} within {:.3} s{why}.", probe.seconds)
}

/// A side with its address and port, as far as they are known.
pub(super) fn side(side: &AskedSide) -> String {
    let name = if *side.endpoint == *"unknown" { &side.selector } else { &side.endpoint };
    let port = side.port.map(|port| format!(":{port}")).unwrap_or_default();
    let at = match side.address {
        Some(address) if address.is_ipv6() && side.port.is_some() => format!("[{address}]{port}"),
        Some(address) => format!("{address}{port}"),
        None => return text::printable(&format!("{name}{port}")).into_owned(),
    };
    let shown = if **name == address_of(side) { at } else { format!("{name} {at}") };
    text::printable(&shown).into_owned()
}

fn address_of(side: &AskedSide) -> String {
    side.address.map(|one| one.to_string()).unwrap_or_default()
}

/// A hook of an interface.
pub(super) fn place(hop: &DropHop) -> String {
    text::printable(&format!("{} {} ({})", hop.interface, hop.hook, hop.role)).into_owned()
}

fn evidence(answer: &Explanation, look: Look) -> String {
    let mut grid = Grid::new(HEADS);
    for one in &answer.evidence {
        grid.row(vec![
            one.first_seen.strftime("%H:%M:%S%.3f").to_string().into(),
            Cell::from(one.kind.name().to_owned()),
            units::count(one.count).into(),
            one.hop.as_deref().unwrap_or("-").to_owned().into(),
            one.detail.as_deref().unwrap_or_default().to_owned().into(),
        ]);
    }
    let widths = grid.widths(look.width);
    grid.render_in(&widths, look)
}

fn told(page: &mut String, look: Look, name: &str, words: &str) {
    const INDENT: usize = 14;
    let width = width(look).saturating_sub(INDENT).max(20);
    // A command must not be broken where it is to be copied.
    let lines = if name == "check" {
        vec![text::printable(words).into_owned()]
    } else {
        text::wrap(&clean(words), width, LINES)
    };
    for (number, words) in lines.iter().enumerate() {
        let name = if number == 0 { name } else { "" };
        line(page, look, &[(&format!("   {name:10} "), Tone::Faint), (words, Tone::Plain)]);
    }
}

/// A whole text, however long.
fn clean(words: &str) -> String {
    crate::identity::text::clean_to(words, 1_000)
}

fn line(page: &mut String, look: Look, parts: &[(&str, Tone)]) {
    for (words, tone) in parts {
        let words: String =
            if look.ascii { words.chars().map(text::ascii).collect() } else { (*words).to_owned() };
        let (begin, end) = if look.colour { tone.escapes() } else { ("", "") };
        write!(page, "{begin}{words}{end}").ok();
    }
    page.push('\n');
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::{
        Cause, CauseName, Confidence, Evidence, EvidenceKind, Head, HookName, HopDirection, HopRow, KindName,
        Path, RoleName,
    };

    fn hop(interface: &str, hook: HookName, role: RoleName, direction: HopDirection) -> HopRow {
        HopRow {
            direction,
            interface: interface.into(),
            ifindex: 2,
            inside: None,
            hook,
            role,
            encapsulation: None,
            source: "10.78.0.2:40000".into(),
            destination: "10.77.0.2:80".into(),
            packets: 3,
            segments: 3,
            bytes: 222,
            lost_segments: None,
        }
    }

    fn evidence(kind: EvidenceKind, at: &str, count: u64, hop: &str, detail: Option<&str>) -> Evidence {
        let at: jiff::Timestamp = format!("2026-01-02T03:04:{at}Z").parse().unwrap();
        let detail = detail.map(Into::into);
        Evidence { kind, count, first_seen: at, last_seen: at, hop: Some(hop.into()), detail }
    }

    fn asked(selector: &str, address: &str, port: Option<u16>) -> AskedSide {
        AskedSide {
            selector: selector.into(),
            endpoint: selector.into(),
            kind: KindName::Container,
            address: Some(address.parse().unwrap()),
            port,
        }
    }

    /// A host that does not forward.
    pub(in crate::table) fn failing() -> Explanation {
        let place =
            |interface: &str, hook| DropHop { interface: interface.into(), hook, role: RoleName::Bridge };
        Explanation {
            head: Head {
                schema: crate::report::SCHEMA.into(),
                time: "2026-01-02T03:04:09Z".parse().unwrap(),
                node: "alpha".into(),
                interval_seconds: 1.0,
            },
            source: asked("container/lonely", "10.78.0.2", None),
            destination: asked("container/web", "10.77.0.2", Some(80)),
            protocol: Some(ProtocolName::Tcp),
            path: Some(Path::RoutedLocal),
            verdict: Verdict::Dropped,
            last_hop: Some(place("br-back", HookName::Ingress)),
            expected_next_hop: Some(place("docker0", HookName::Egress)),
            evidence: vec![
                evidence(EvidenceKind::SynRetransmit, "05.250", 2, "veth1 ingress", None),
                evidence(EvidenceKind::Drop, "05.251", 3, "br-back ingress", Some("ip_inaddrerrors")),
            ],
            causes: vec![Cause {
                cause: CauseName::ForwardingOff,
                confidence: Confidence::Certain,
                observed: "3 packets from br-back dropped where they would have been forwarded (ip_inaddrerrors)".into(),
                configured: "net.ipv4.ip_forward = 0, and the way leads from br-back to docker0".into(),
                advice: "let this host forward packets: set net.ipv4.ip_forward to 1, and find out who set it to 0".into(),
                check: "sysctl net.ipv4.ip_forward".into(),
            }],
            hops: vec![
                hop("veth1", HookName::Ingress, RoleName::Veth, HopDirection::Forward),
                hop("br-back", HookName::Ingress, RoleName::Bridge, HopDirection::Forward),
            ],
            probe: None,
            unread: vec!["the network stack of an endpoint: not permitted".into()],
        }
    }

    pub(in crate::table) fn healthy() -> Explanation {
        let (forward, reply) = (HopDirection::Forward, HopDirection::Reply);
        Explanation {
            verdict: Verdict::Reachable,
            last_hop: Some(DropHop {
                interface: "veth2".into(),
                hook: HookName::Egress,
                role: RoleName::Veth,
            }),
            expected_next_hop: None,
            evidence: vec![
                evidence(EvidenceKind::SynAck, "05.251", 1, "veth2 ingress", None),
                evidence(EvidenceKind::ReplyPacket, "05.251", 4, "veth2 ingress", None),
                evidence(EvidenceKind::Handshake, "05.250", 1, "veth1 ingress", Some("0.120 ms")),
            ],
            causes: Vec::new(),
            hops: vec![
                hop("veth1", HookName::Ingress, RoleName::Veth, forward),
                hop("veth2", HookName::Egress, RoleName::Veth, forward),
                hop("veth2", HookName::Ingress, RoleName::Veth, reply),
                hop("veth1", HookName::Egress, RoleName::Veth, reply),
            ],
            unread: Vec::new(),
            ..failing()
        }
    }

    fn look(width: usize) -> Look {
        Look { width: Some(width), ..Look::default() }
    }

    #[test]
    fn a_failure_on_a_terminal() {
        insta::assert_snapshot!(explain(&failing(), look(80)));
    }

    #[test]
    fn a_healthy_pair_on_a_terminal() {
        insta::assert_snapshot!(explain(&healthy(), look(80)));
    }

    #[test]
    fn a_pair_of_which_nothing_was_seen() {
        let nothing = Explanation {
            verdict: Verdict::Unknown,
            protocol: None,
            path: None,
            last_hop: None,
            evidence: Vec::new(),
            hops: Vec::new(),
            ..healthy()
        };
        insta::assert_snapshot!(explain(&nothing, look(80)));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_but_for_commands() {
        for width in [80, 100, 120] {
            let page = explain(&failing(), look(width));
            let wide = page.lines().filter(|line| text::cells(line) > width && !line.contains("check"));
            assert_eq!(wide.count(), 0, "{width}: {page}");
        }
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        let mut answer = failing();
        answer.destination.endpoint = "container/\x1b[2Jx".into();
        answer.causes[0].observed = "a\x1b[31mb".into();
        assert!(!explain(&answer, look(80)).contains('\x1b'));
    }
}
