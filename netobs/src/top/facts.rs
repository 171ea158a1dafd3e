//! One flow → everything known of it, line by line: parties, path, counters, hops, evidence. Pure.

mod evidence;

use jiff::Timestamp;

use crate::{
    report::{Amounts, FlowRow, Party, ProtocolName, Tcp, TcpState},
    table::{
        flows::since,
        grid::Cell,
        hops,
        names::{has_ports, socket},
        text::{cut, printable},
        tone::Tone,
        units,
    },
};

/// Cells of the words to the left.
const LABEL: usize = 13;

/// The lines, at most `width` cells wide where texts can be cut; `now` is the document's time.
#[must_use]
pub(crate) fn lines(flow: &FlowRow, now: Timestamp, width: usize) -> Vec<Vec<Cell>> {
    let mut lines = summary(flow, now, width);
    for section in hops::sections(flow, width) {
        lines.push(Vec::new());
        lines.extend(section);
    }
    if !flow.evidence.is_empty() {
        lines.push(Vec::new());
        lines.push(vec![Cell::toned("EVIDENCE", Tone::Head)]);
        lines.extend(evidence::lines(&flow.evidence, width));
    }
    lines
}

fn summary(flow: &FlowRow, now: Timestamp, width: usize) -> Vec<Vec<Cell>> {
    let mut lines = Vec::new();
    let mut say = |label: &str, text: &str, tone: Tone| {
        let text = cut(text, width.saturating_sub(LABEL)).into_owned();
        lines.push(vec![Cell::toned(&format!("{label:<LABEL$}"), Tone::Head), Cell::toned(&text, tone)]);
    };
    let by = format!("  (by {})", flow.initiator_by);
    say("source", &format!("{}{by}", party(&flow.source, flow.protocol)), Tone::Plain);
    say("destination", &party(&flow.destination, flow.protocol), Tone::Plain);
    if let Some(text) = hops::addressed(flow) {
        say("addressed", &text, Tone::Plain);
    }
    let way = format!(
        "{}  {}  nat {}  via {}  reporter {}",
        flow.protocol, flow.path, flow.nat, flow.via, flow.reporter
    );
    say("way", &way, Tone::Plain);
    if let Some(program) = &flow.proxied_by {
        say("proxied by", &printable(program), Tone::Plain);
    }
    if let Some(text) = hops::tunnel(flow) {
        say("overlay", &text, Tone::Plain);
    }
    say("verdict", flow.verdict.name(), Tone::of(flow.verdict));
    if let Some(tcp) = &flow.tcp {
        say("tcp", &tcp_text(tcp), Tone::Plain);
    }
    say("forward", &amounts(&flow.forward), Tone::Plain);
    say("reply", &amounts(&flow.reply), Tone::Plain);
    let seen = format!(
        "first {} ({} ago)  last {} ({} ago)",
        clock(flow.first_seen),
        units::age(since(flow.first_seen, now)),
        clock(flow.last_seen),
        units::age(since(flow.last_seen, now)),
    );
    say("seen", &seen, Tone::Plain);
    say("id", &printable(&flow.id), Tone::Faint);
    lines
}

fn party(party: &Party, protocol: ProtocolName) -> String {
    let port = (has_ports(protocol) && party.port != 0).then_some(party.port);
    let mut text = format!("{}  {}", printable(&party.endpoint), socket(party.address, port));
    if matches!(protocol, ProtocolName::Icmp | ProtocolName::Icmpv6) && party.port != 0 {
        text.push_str(&format!("  id {}", party.port));
    }
    if let Some(process) = &party.process {
        text.push_str(&format!("  {} (pid {})", printable(&process.name), process.pid));
    }
    text
}

/// Exact numbers: this is where an operator compares with `ip -s link`.
fn amounts(amounts: &Amounts) -> String {
    format!(
        "{}  {} bytes  {} packets  {} segments",
        units::bit_rate(amounts.bits_per_second),
        amounts.bytes,
        amounts.packets,
        amounts.segments,
    )
}

fn tcp_text(tcp: &Tcp) -> String {
    let state = match tcp.state {
        TcpState::SynSent => "syn_sent",
        TcpState::SynReceived => "syn_received",
        TcpState::Established => "established",
        TcpState::Closing => "closing",
        TcpState::Closed => "closed",
        TcpState::Reset => "reset",
        TcpState::Unknown => "unknown",
    };
    let mut text = state.to_owned();
    for (name, value) in [("handshake", tcp.handshake_seconds), ("rtt", tcp.rtt_seconds)] {
        if let Some(value) = value {
            text.push_str(&format!("  {name} {}", units::seconds(value)));
        }
    }
    if let Some(retransmits) = tcp.retransmits {
        text.push_str(&format!("  retransmits {retransmits}"));
    }
    for (name, value) in [("resets", tcp.resets), ("zero windows", tcp.zero_windows.unwrap_or(0))] {
        if value > 0 {
            text.push_str(&format!("  {name} {value}"));
        }
    }
    text
}

fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::made_up;

    fn text(flow: &FlowRow, width: usize) -> String {
        lines(flow, made_up::now(), width)
            .into_iter()
            .map(|line| line.into_iter().map(|cell| cell.text).collect::<String>().trim_end().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn every_hop_of_both_directions_is_there_with_the_tuple_it_saw() {
        let text = text(&made_up::outbound(), 80);
        assert_eq!(text.matches("veth1a2b3c4  ").count(), 2, "{text}");
        assert!(text.contains("203.0.113.1:45678 → 198.51.100.7:443  (translated)"), "{text}");
        assert!(text.contains("198.51.100.7:443 → 172.17.0.2:45678  (translated)"), "{text}");
    }

    #[test]
    fn a_wide_terminal_has_one_line_a_hop() {
        let text = text(&made_up::outbound(), 160);
        assert!(text.contains("uplink  203.0.113.1:45678  198.51.100.7:443"), "{text}");
    }

    #[test]
    fn a_flow_of_nothing_but_its_parties_says_that_no_hop_was_seen() {
        let mut flow = made_up::tcp("1", "container/web", "container/db", 1);
        flow.tcp = None;
        let text = text(&flow, 80);
        assert!(text.contains("FORWARD HOPS: none seen"), "{text}");
        assert!(!text.contains("EVIDENCE"), "{text}");
    }

    #[test]
    fn a_long_detail_is_told_below_its_fact() {
        let mut flow = made_up::outbound();
        flow.evidence[1].detail =
            Some("icmp host unreachable, sent by 203.0.113.254, quoting the third SYN".into());
        let text = text(&flow, 80);
        assert!(text.contains("\n     icmp host unreachable, sent by 203.0.113.254, quoting"), "{text}");
    }

    #[test]
    fn a_flow_of_ipv6_fits_eighty_cells() {
        let mut flow = made_up::outbound();
        for hop in &mut flow.hops {
            hop.source = "[2001:db8:1111:2222:3333:4444:5555:6666]:45678".into();
            hop.destination = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:443".into();
        }
        let text = text(&flow, 80);
        assert!(text.lines().all(|line| crate::table::text::cells(line) <= 80), "{text}");
    }
}
