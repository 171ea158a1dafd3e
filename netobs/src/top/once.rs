//! One moment's documents → one table, as `netobs top --once` prints it. Pure.

use super::{
    Filter, Sort, TopInput,
    head::{self, Head},
    order,
};
use crate::{
    report::FlowsDocument,
    table::{
        Look,
        grid::{Cell, push_line},
        plan::{GAP, Plan},
        tone::Tone,
    },
};

/// Head lines, then the flows as the interactive view would show them at first: loopback hidden and counted.
#[must_use]
pub fn once(input: &TopInput, look: Look) -> String {
    let filter = Filter::default();
    let sort = Sort::default();
    let flows = &input.flows.flows;
    let rows = order::rows(flows, &filter, false, sort, input.flows.head.time);
    let head =
        Head { input, rows: &rows, filter: &filter, sort, loopback: false, paused: false, trouble: None };
    let mut out = String::new();
    for line in head::lines(&head, look.width.unwrap_or(usize::MAX)) {
        push_line(&mut out, &line, 0, look);
    }
    let shown: Vec<_> = rows.shown.iter().map(|&at| &flows[at]).collect();
    let plan = Plan::new(&shown, look.width);
    let heads: Vec<_> = plan.heads().map(|(_, text)| Cell { text, tone: Tone::Head }).collect();
    push_line(&mut out, &heads, GAP, look);
    for flow in shown {
        let cells: Vec<_> = plan.row(flow).map(|(_, cell)| cell).collect();
        push_line(&mut out, &cells, GAP, look);
    }
    out
}

/// The document of `netobs top --once -o json`: all flows in the order shown.
///
/// Loopback is kept: a program filters by `path` itself, and a row that is silently missing would be a lie.
#[must_use]
pub fn shown(document: FlowsDocument) -> FlowsDocument {
    let FlowsDocument { head, flows } = document;
    let rows = order::rows(&flows, &Filter::default(), true, Sort::default(), head.time);
    let flows = rows.shown.iter().map(|&at| flows[at].clone()).collect();
    FlowsDocument { head, flows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::made_up;

    #[test]
    fn a_pipe_gets_whole_names() {
        insta::assert_snapshot!(once(&made_up::busy(), Look::default()));
    }

    #[test]
    fn a_terminal_gets_its_width() {
        let text = once(&made_up::busy(), Look { width: Some(80), ..Look::default() });
        assert!(text.lines().all(|line| crate::table::text::cells(line) <= 80));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_empty_machine_says_what_was_looked_for() {
        insta::assert_snapshot!(once(&made_up::empty(), Look::default()));
    }

    #[test]
    fn json_has_every_flow_in_the_order_shown() {
        let document = shown(made_up::busy().flows);
        let ids: Vec<_> = document.flows.iter().map(|flow| &*flow.id).collect();
        assert_eq!(ids, ["f7", "f1", "f2", "f4", "f5", "f3", "f6"]);
    }
}
