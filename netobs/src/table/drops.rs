//! The drops document → a table: who to whom, why, and where it was seen last.

use super::{
    flows::since,
    grid::{Cell, Grid, Head},
    look::Look,
    names::Name,
    tone::Tone,
    units,
};
use crate::report::{DropClass, DropHop, DropRow, DropsDocument, Verdict};

const HEADS: [Head; 9] = [
    Head::name("SOURCE", 12),
    Head::name("DESTINATION", 12),
    Head::word("PROTO"),
    Head::name("REASON", 14),
    Head::name("LAST HOP", 10),
    Head::name("EXPECTED NEXT", 10),
    Head::number("PACKETS"),
    Head::number("BYTES"),
    Head::number("AGO"),
];

/// Where the names stand.
const SOURCE: usize = 0;
const DESTINATION: usize = 1;

/// One line for each row, in the order of the document; ages at the document's time.
#[must_use]
pub fn drops(document: &DropsDocument, look: Look) -> String {
    let full = grid(document, |name, _| name.full());
    let widths = full.widths(look.width);
    grid(document, |name, column| name.fit(widths[column])).render_in(&widths, look)
}

fn grid(document: &DropsDocument, show: impl Fn(&Name<'_>, usize) -> String) -> Grid {
    let mut grid = Grid::new(HEADS);
    for row in &document.drops {
        let source = show(&Name::of(&row.source, row.protocol, true), SOURCE);
        let destination = show(&Name::of(&row.destination, row.protocol, true), DESTINATION);
        grid.row(cells(row, [source, destination], document.head.time));
    }
    grid
}

fn cells(row: &DropRow, [source, destination]: [String; 2], now: jiff::Timestamp) -> Vec<Cell> {
    let tone = match row.class {
        DropClass::Dropped => Tone::of(Verdict::Dropped),
        DropClass::Answered => Tone::of(Verdict::Refused),
        DropClass::Unreachable => Tone::of(Verdict::Unreachable),
    };
    vec![
        source.into(),
        destination.into(),
        row.protocol.name().into(),
        Cell::toned(&row.reason, tone),
        hop(row.last_hop.as_ref()).into(),
        hop(row.expected_next_hop.as_ref()).into(),
        units::count(row.packets).into(),
        units::bytes(row.bytes).into(),
        units::age(since(row.last_seen, now)).into(),
    ]
}

fn hop(hop: Option<&DropHop>) -> String {
    hop.map_or_else(|| "-".to_owned(), |hop| format!("{} {}", hop.interface, hop.hook))
}
