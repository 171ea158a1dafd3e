//! The hops of one direction → lines: where, the tuple seen there, and how much. Pure.

use super::spaced;
use crate::{
    report::HopRow,
    table::{
        grid::{Cell, Grid, Head, line},
        text::{cut, printable},
        tone::Tone,
    },
};

/// One line a hop where that fits, else the tuple on a line of its own. A tuple that NAT changed is marked, and so is
/// that of the packet around this one.
pub(super) fn lines(hops: &[&HopRow], width: usize) -> Vec<Vec<Cell>> {
    const PLACE: [Head; 4] =
        [Head::number("#"), Head::name("INTERFACE", 8), Head::word("HOOK"), Head::word("ROLE")];
    const TUPLE: [Head; 2] = [Head::word("SOURCE"), Head::word("DESTINATION")];
    const COUNTS: [Head; 3] = [Head::number("PACKETS"), Head::number("SEGMENTS"), Head::number("BYTES")];

    let mut whole = Grid::new([&PLACE[..], &TUPLE, &COUNTS].concat());
    let mut split = Grid::new([&PLACE[..], &COUNTS].concat());
    let mut tuples = Vec::new();
    let mut before: Option<&HopRow> = None;
    for (at, hop) in hops.iter().enumerate() {
        // Around it are the tunnel's own addresses: that is no translation.
        let bare = hop.encapsulation.is_none();
        let translated =
            bare && before.is_some_and(|one| hop.source != one.source || hop.destination != one.destination);
        if bare {
            before = Some(hop);
        }
        let tone = match (translated, bare) {
            (true, _) => Tone::Warn,
            (false, true) => Tone::Plain,
            (false, false) => Tone::Faint,
        };
        let place = [
            Cell::from((at + 1).to_string()),
            Cell::from(&hop.interface),
            hop.hook.name().into(),
            hop.role.name().into(),
        ];
        let tuple = [Cell::toned(&hop.source, tone), Cell::toned(&hop.destination, tone)];
        let counts = [hop.packets, hop.segments, hop.bytes].map(|count| Cell::from(count.to_string()));
        let mark = match &hop.encapsulation {
            Some(tunnel) => format!("  (inside {})", printable(tunnel)),
            None if translated => "  (translated)".to_owned(),
            None => String::new(),
        };
        let told = format!("     {} → {}{mark}", tuple[0].text, tuple[1].text);
        tuples.push(vec![Cell::toned(&cut(&told, width), tone)]);
        whole.row([&place[..], &tuple, &counts].concat());
        split.row([&place[..], &counts].concat());
    }
    let widths = whole.widths(None);
    if line(&widths) <= width {
        return whole.lines(&widths).into_iter().map(spaced).collect();
    }
    let mut drawn = split.lines(&split.widths(Some(width))).into_iter().map(spaced);
    let mut lines: Vec<Vec<Cell>> = drawn.by_ref().take(1).collect();
    for (hop, tuple) in drawn.zip(tuples) {
        lines.extend([hop, tuple]);
    }
    lines
}
