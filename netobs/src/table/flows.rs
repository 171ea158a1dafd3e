//! The flows document → a table: who to whom, by which way, how much, and whether it works.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    grid::{Cell, Grid, Head},
    look::Look,
    names::Name,
    tone::Tone,
    units,
};
use crate::report::{FlowRow, FlowsDocument};

const HEADS: [Head; 11] = [
    Head::name("ID", 8),
    Head::name("SOURCE", 12),
    Head::name("DESTINATION", 12),
    Head::word("PROTO"),
    Head::word("PATH"),
    Head::word("NAT"),
    Head::word("VIA"),
    Head::number("SENT"),
    Head::number("RECEIVED"),
    Head::word("VERDICT"),
    Head::number("AGE"),
];

/// Where the names stand.
const SOURCE: usize = 1;
const DESTINATION: usize = 2;

/// One line for each flow, in the order of the document; ages at the document's time.
#[must_use]
pub fn flows(document: &FlowsDocument, look: Look) -> String {
    let full = grid(document, |name, _| name.full());
    let widths = full.widths(look.width);
    // A name that must be shorter loses its kind before its port, which cutting at the end would take.
    grid(document, |name, column| name.fit(widths[column])).render_in(&widths, look)
}

fn grid(document: &FlowsDocument, show: impl Fn(&Name<'_>, usize) -> String) -> Grid {
    let mut grid = Grid::new(HEADS);
    for flow in &document.flows {
        let source = show(&Name::of(&flow.source, flow.protocol, true), SOURCE);
        let destination = show(&Name::of(&flow.destination, flow.protocol, true), DESTINATION);
        grid.row(row(flow, [source, destination], document.head.time));
    }
    grid
}

fn row(flow: &FlowRow, [source, destination]: [String; 2], now: Timestamp) -> Vec<Cell> {
    vec![
        Cell::from(&flow.id),
        source.into(),
        destination.into(),
        flow.protocol.name().into(),
        flow.path.name().into(),
        flow.nat.name().into(),
        flow.via.name().into(),
        units::bytes(flow.forward.bytes).into(),
        units::bytes(flow.reply.bytes).into(),
        Cell::toned(flow.verdict.name(), Tone::of(flow.verdict)),
        units::age(since(flow.first_seen, now)).into(),
    ]
}

/// How long ago something was; nothing where the clock went back.
#[must_use]
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::made_up;

    #[test]
    fn a_pipe_gets_whole_names_and_both_directions() {
        let input = made_up::busy();
        insta::assert_snapshot!(flows(&input.flows, Look::default()));
    }

    #[test]
    fn a_terminal_gets_shorter_names() {
        let input = made_up::busy();
        insta::assert_snapshot!(flows(&input.flows, Look { width: Some(120), ..Look::default() }));
    }

    #[test]
    fn no_flow_is_a_head_without_rows() {
        let input = made_up::empty();
        assert_eq!(flows(&input.flows, Look::default()).lines().count(), 1);
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_negative() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(since("2026-01-02T03:04:06Z".parse().unwrap(), now), Duration::ZERO);
    }
}
