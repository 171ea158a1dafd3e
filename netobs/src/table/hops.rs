//! The hops of a flow → lines: where, the tuple seen there, how much, and what was lost after it. Pure.

use std::{borrow::Cow, net::SocketAddr};

use super::{
    grid::{Cell, Grid, Head, line, spaced},
    names::{has_ports, socket},
    text::{cut, printable},
    tone::Tone,
};
use crate::report::{FlowRow, HopDirection, HopRow};

const PLACE: [Head; 4] =
    [Head::number("#"), Head::name("INTERFACE", 8), Head::word("HOOK"), Head::word("ROLE")];
const TUPLE: [Head; 2] = [Head::word("SOURCE"), Head::word("DESTINATION")];
const COUNTS: [Head; 4] =
    [Head::number("PACKETS"), Head::number("SEGMENTS"), Head::number("BYTES"), Head::number("LOST")];
const NOTE: [Head; 1] = [Head::word("NOTE")];

/// Both directions, each below its title, at most `width` cells wide where texts can be cut.
#[must_use]
pub fn sections(flow: &FlowRow, width: usize) -> [Vec<Vec<Cell>>; 2] {
    [("FORWARD HOPS", HopDirection::Forward), ("REPLY HOPS", HopDirection::Reply)].map(
        |(title, direction)| {
            let hops: Vec<&HopRow> = flow.hops.iter().filter(|hop| hop.direction == direction).collect();
            let none = if hops.is_empty() { ": none seen" } else { "" };
            let mut section = vec![vec![Cell::toned(&format!("{title}{none}"), Tone::Head)]];
            if !hops.is_empty() {
                section.extend(lines(&hops, width));
            }
            section
        },
    )
}

/// What the source addressed, where that is not the destination itself.
#[must_use]
pub fn addressed(flow: &FlowRow) -> Option<String> {
    let original = flow.original_destination.as_ref()?;
    let port = has_ports(flow.protocol).then_some(original.port);
    let mut text = socket(original.address, port);
    if let Some(service) = &original.service {
        text.push_str(&format!("  (service {})", printable(service)));
    }
    Some(text)
}

/// The tunnel it travels in.
#[must_use]
pub fn tunnel(flow: &FlowRow) -> Option<String> {
    let overlay = flow.overlay.as_ref()?;
    let vni = overlay.vni.map(|vni| format!(" vni {vni}")).unwrap_or_default();
    let outer = match (overlay.outer_source, overlay.outer_destination) {
        (Some(source), Some(destination)) => format!("  outer {source} → {destination}"),
        _ => String::new(),
    };
    Some(format!("{}{vni}{outer}", printable(&overlay.kind)))
}

/// One line a hop where that fits, else the tuple on a line of its own.
fn lines(hops: &[&HopRow], width: usize) -> Vec<Vec<Cell>> {
    let mut rows: Vec<Row> = Vec::with_capacity(hops.len());
    let mut before: Option<&HopRow> = None;
    for (at, hop) in hops.iter().enumerate() {
        rows.push(Row::of(at + 1, hop, before));
        // Around it are the tunnel's own addresses: that is no translation.
        if hop.encapsulation.is_none() {
            before = Some(hop);
        }
    }
    let noted = rows.iter().any(|row| !row.note.is_empty());
    let mut whole = Grid::new([&PLACE[..], &TUPLE, &COUNTS, if noted { &NOTE } else { &[] }].concat());
    let mut split = Grid::new([&PLACE[..], &COUNTS].concat());
    for row in &rows {
        let note = [Cell::toned(&row.note, row.tone)];
        whole.row([&row.place[..], &row.tuple, &row.counts, if noted { &note } else { &[] }].concat());
        split.row([&row.place[..], &row.counts].concat());
    }
    let widths = whole.widths(None);
    if line(&widths) <= width {
        return whole.lines(&widths).into_iter().map(spaced).collect();
    }
    let mut drawn = split.lines(&split.widths(Some(width))).into_iter().map(spaced);
    let mut lines: Vec<Vec<Cell>> = drawn.by_ref().take(1).collect();
    for (hop, row) in drawn.zip(&rows) {
        lines.extend([hop, vec![row.below(width)]]);
    }
    lines
}

/// `address:port` as a hop saw it; the address alone where there are no ports.
fn shown(side: &str) -> Cow<'_, str> {
    match side.parse::<SocketAddr>() {
        Ok(socket) if socket.port() == 0 => socket.ip().to_string().into(),
        _ => side.into(),
    }
}

/// What is shown of one hop.
struct Row {
    place: [Cell; 4],
    tuple: [Cell; 2],
    counts: [Cell; 4],
    note: String,
    tone: Tone,
}

impl Row {
    /// A tuple that NAT changed since the hop before is marked, and so is that of the packet around this one.
    fn of(number: usize, hop: &HopRow, before: Option<&HopRow>) -> Self {
        let bare = hop.encapsulation.is_none();
        let translated =
            bare && before.is_some_and(|one| hop.source != one.source || hop.destination != one.destination);
        let tone = match (translated, bare) {
            (true, _) => Tone::Warn,
            (false, true) => Tone::Plain,
            (false, false) => Tone::Faint,
        };
        let notes = [
            hop.encapsulation.as_ref().map(|tunnel| format!("inside {}", printable(tunnel))),
            translated.then(|| "translated".to_owned()),
            hop.inside.as_ref().map(|endpoint| format!("within {}", printable(endpoint))),
        ];
        let [packets, segments, bytes] =
            [hop.packets, hop.segments, hop.bytes].map(|count| Cell::from(count.to_string()));
        let lost = match hop.lost_segments {
            Some(0) => Cell::from("0"),
            Some(lost) => Cell::toned(&lost.to_string(), Tone::Bad),
            None => Cell::toned("-", Tone::Faint),
        };
        Self {
            place: [
                number.to_string().into(),
                Cell::from(&hop.interface),
                hop.hook.name().into(),
                hop.role.name().into(),
            ],
            tuple: [&hop.source, &hop.destination].map(|side| Cell::toned(&shown(side), tone)),
            counts: [packets, segments, bytes, lost],
            note: notes.into_iter().flatten().collect::<Vec<_>>().join(", "),
            tone,
        }
    }

    /// The tuple and the note, below the rest.
    fn below(&self, width: usize) -> Cell {
        let note = if self.note.is_empty() { String::new() } else { format!("  ({})", self.note) };
        let told = format!("     {} → {}{note}", self.tuple[0].text, self.tuple[1].text);
        Cell::toned(&cut(&told, width), self.tone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::made_up;

    fn text(flow: &FlowRow, width: usize) -> String {
        let lines = sections(flow, width).concat();
        let text = |line: &Vec<Cell>| line.iter().map(|cell| &*cell.text).collect::<String>();
        lines.iter().map(|line| text(line).trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn a_loss_stands_at_the_hop_it_happened_after() {
        let mut flow = made_up::outbound();
        flow.hops[1].lost_segments = Some(17);
        flow.hops[0].lost_segments = Some(0);
        let text = text(&flow, 200);
        let ends: Vec<_> = text.lines().skip(2).take(2).map(|line| line.split_whitespace().last()).collect();
        assert_eq!(ends, [Some("0"), Some("17")], "{text}");
    }

    #[test]
    fn a_tunnel_is_named_and_is_no_translation_at_any_width() {
        let mut flow = made_up::outbound();
        flow.hops[2].encapsulation = Some("vxlan".into());
        for width in [80, 200] {
            let text = text(&flow, width);
            assert!(text.contains("inside vxlan"), "{text}");
            assert_eq!(text.matches("translated").count(), 1, "only the reply's: {text}");
        }
    }

    #[test]
    fn what_has_no_port_is_shown_without() {
        let mut flow = made_up::outbound();
        flow.hops[0].source = "[2001:db8::1]:0".into();
        flow.hops[0].destination = "192.0.2.1:0".into();
        assert!(text(&flow, 80).contains("     2001:db8::1 → 192.0.2.1\n"));
    }

    #[test]
    fn an_interface_inside_an_endpoint_says_whose_it_is() {
        let mut flow = made_up::outbound();
        flow.hops[0].inside = Some("container/web".into());
        assert!(text(&flow, 80).contains("(within container/web)"));
    }
}
