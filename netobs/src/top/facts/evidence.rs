//! Evidence → lines: what was seen, how often, when, where. Pure.

use super::clock;
use crate::{
    report::Evidence,
    table::{
        grid::{Cell, Grid, Head, line, spaced},
        text::{printable, wrap},
    },
};

/// One line for each fact where that fits, else what else is known of it below, broken between words.
pub(super) fn lines(evidence: &[Evidence], width: usize) -> Vec<Vec<Cell>> {
    const FACT: [Head; 5] = [
        Head::word("KIND"),
        Head::number("COUNT"),
        Head::word("FIRST"),
        Head::word("LAST"),
        Head::name("HOP", 8),
    ];
    let mut whole = Grid::new([&FACT[..], &[Head::word("DETAIL")]].concat());
    let mut split = Grid::new(FACT);
    for one in evidence {
        let fact = [
            one.kind.name().into(),
            one.count.to_string().into(),
            clock(one.first_seen).into(),
            clock(one.last_seen).into(),
            Cell::from(one.hop.as_deref().unwrap_or("-")),
        ];
        whole.row([&fact[..], &[one.detail.as_deref().unwrap_or("").into()]].concat());
        split.row(fact);
    }
    let widths = whole.widths(None);
    if line(&widths) <= width {
        return whole.lines(&widths).into_iter().map(spaced).collect();
    }
    let mut drawn = split.lines(&split.widths(Some(width))).into_iter().map(spaced);
    let mut lines: Vec<Vec<Cell>> = drawn.by_ref().take(1).collect();
    for (fact, one) in drawn.zip(evidence) {
        lines.push(fact);
        if let Some(detail) = &one.detail {
            let told = wrap(&printable(detail), width.saturating_sub(5), 4);
            lines.extend(told.into_iter().map(|text| vec![Cell::from(format!("     {text}"))]));
        }
    }
    lines
}
