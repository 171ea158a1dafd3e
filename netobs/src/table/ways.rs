//! Flows → each with its hops below it, one block a flow, so that blocks can be printed as flows change. Pure.

use jiff::Timestamp;

use super::{
    flows::since,
    grid::{Cell, push_line},
    hops,
    look::Look,
    names::Name,
    text::cells,
    tone::Tone,
    units,
};
use crate::report::{FlowRow, FlowsDocument};

/// Cells to the left of everything below a flow's first line.
const INDENT: usize = 4;
/// Cells between two words.
const GAP: usize = 2;

/// Every flow of the document with its hops, in the order of the document, an empty line between two.
#[must_use]
pub fn flows_and_hops(document: &FlowsDocument, look: Look) -> String {
    let blocks: Vec<_> =
        document.flows.iter().map(|flow| flow_and_hops(flow, document.head.time, look)).collect();
    blocks.join("\n")
}

/// One flow: who to whom and by which way in one line or, where that is narrow, in a few; then the hops.
#[must_use]
pub fn flow_and_hops(flow: &FlowRow, now: Timestamp, look: Look) -> String {
    let width = look.width.unwrap_or(usize::MAX);
    let mut lines = head(flow, now, width);
    for section in hops::sections(flow, width.saturating_sub(INDENT)) {
        lines.extend(section.into_iter().map(indented));
    }
    let mut out = String::new();
    for line in &lines {
        push_line(&mut out, line, 0, look);
    }
    out
}

fn head(flow: &FlowRow, now: Timestamp, width: usize) -> Vec<Vec<Cell>> {
    let id = Cell::from(&flow.id);
    let [source, destination] =
        [&flow.source, &flow.destination].map(|party| Name::of(party, flow.protocol, true));
    // Where both names do not fit a line, each gets half of it.
    let room = width.saturating_sub(cells(&id.text) + GAP + cells(" → "));
    let [source, destination] = if source.cells().saturating_add(destination.cells()) <= room {
        [source.full(), destination.full()]
    } else {
        [source.fit(room / 2), destination.fit(room / 2)]
    };
    let mut words = vec![
        id,
        format!("{source} → {destination}").into(),
        Cell::toned(flow.verdict.name(), Tone::of(flow.verdict)),
        flow.protocol.name().into(),
        flow.path.name().into(),
        format!("nat {}", flow.nat).into(),
        format!("via {}", flow.via).into(),
        format!("sent {}", units::bytes(flow.forward.bytes)).into(),
        format!("received {}", units::bytes(flow.reply.bytes)).into(),
        format!("age {}", units::age(since(flow.first_seen, now))).into(),
    ];
    words.extend(hops::addressed(flow).map(|text| Cell::from(format!("addressed {text}"))));
    words.extend(flow.proxied_by.as_ref().map(|program| Cell::from(format!("proxied by {program}"))));
    words.extend(hops::tunnel(flow).map(|text| Cell::from(format!("overlay {text}"))));
    wrapped(words, width)
}

/// Words one after the other, broken between them where the line is full.
fn wrapped(words: Vec<Cell>, width: usize) -> Vec<Vec<Cell>> {
    let mut lines: Vec<Vec<Cell>> = Vec::new();
    let mut used = 0_usize;
    for word in words {
        let wide = cells(&word.text);
        match lines.last_mut() {
            Some(line) if used.saturating_add(GAP + wide) <= width => {
                line.extend([Cell::from(" ".repeat(GAP)), word]);
                used += GAP + wide;
            }
            Some(_) => {
                lines.push(indented(vec![word]));
                used = INDENT + wide;
            }
            None => {
                lines.push(vec![word]);
                used = wide;
            }
        }
    }
    lines
}

fn indented(mut line: Vec<Cell>) -> Vec<Cell> {
    line.insert(0, Cell::from(" ".repeat(INDENT)));
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::Overlay, top::made_up};

    fn some() -> FlowsDocument {
        let mut document = made_up::busy().flows;
        let mut carried = made_up::outbound();
        carried.id = "f2".into();
        carried.hops[2].encapsulation = Some("vxlan".into());
        carried.hops[1].lost_segments = Some(17);
        carried.overlay = Some(Overlay {
            kind: "vxlan".into(),
            vni: Some(100),
            outer_source: "203.0.113.1".parse().ok(),
            outer_destination: "203.0.113.2".parse().ok(),
        });
        document.flows = vec![made_up::outbound(), carried];
        document
    }

    fn at(width: Option<usize>) -> String {
        flows_and_hops(&some(), Look { width, ..Look::default() })
    }

    #[test]
    fn a_pipe_gets_a_flow_and_each_hop_in_a_line() {
        insta::assert_snapshot!(at(None));
    }

    #[test]
    fn eighty_cells_get_the_tuples_below() {
        insta::assert_snapshot!(at(Some(80)));
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        for width in [72, 80, 100, 120, 160] {
            let text = at(Some(width));
            assert!(text.lines().all(|line| cells(line) <= width), "{width}:\n{text}");
        }
    }

    #[test]
    fn no_flow_is_no_line() {
        assert_eq!(flows_and_hops(&made_up::empty().flows, Look::default()), "");
    }
}
