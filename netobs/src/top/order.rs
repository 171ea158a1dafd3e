//! Flows, a filter and an order → the rows to show, and how many are hidden. Pure.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::{ended::has_ended, filter::Filter};
use crate::{
    report::{FlowRow, Path},
    table::columns::Column,
};

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Both directions' rate, the busiest first: what an operator looks for.
    #[default]
    Rate,
    /// One column.
    Column(Column),
}

/// An order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// The other way round.
    pub reversed: bool,
}

impl Sort {
    /// By the next column; after the last one by rate again.
    #[must_use]
    pub fn next(self) -> Self {
        let by = match self.by {
            SortBy::Rate => SortBy::Column(Column::ALL[0]),
            SortBy::Column(column) => Column::ALL
                .iter()
                .position(|&one| one == column)
                .and_then(|at| Column::ALL.get(at + 1))
                .map_or(SortBy::Rate, |&next| SortBy::Column(next)),
        };
        Self { by, reversed: false }
    }

    /// By a column; by the same one again the other way round.
    #[must_use]
    pub fn choose(self, by: SortBy) -> Self {
        Self { by, reversed: self.by == by && !self.reversed }
    }

    /// How the head line names it.
    #[must_use]
    pub fn name(self) -> String {
        let name = match self.by {
            SortBy::Rate => "rate",
            SortBy::Column(column) => column.title(),
        };
        format!("{name}{}", if self.reversed { ", reversed" } else { "" })
    }

    fn compare(self, a: &FlowRow, b: &FlowRow) -> Ordering {
        let order = match self.by {
            SortBy::Rate => b.bits_per_second().total_cmp(&a.bits_per_second()),
            SortBy::Column(column) => by_column(column, a, b),
        };
        let order = if self.reversed { order.reverse() } else { order };
        // Equal rows keep their places from tick to tick, the heavier one first.
        order
            .then_with(|| b.bits_per_second().total_cmp(&a.bits_per_second()))
            .then_with(|| (b.forward.bytes + b.reply.bytes).cmp(&(a.forward.bytes + a.reply.bytes)))
            .then_with(|| a.id.cmp(&b.id))
    }
}

/// Words from A to Z, numbers from the largest.
fn by_column(column: Column, a: &FlowRow, b: &FlowRow) -> Ordering {
    let retransmits = |flow: &FlowRow| flow.tcp.as_ref().and_then(|tcp| tcp.retransmits);
    match column {
        Column::Source => side(&a.source).cmp(&side(&b.source)),
        Column::Destination => side(&a.destination).cmp(&side(&b.destination)),
        Column::Proto => a.protocol.cmp(&b.protocol),
        Column::Path => a.path.name().cmp(b.path.name()),
        Column::Tx => b.forward.bits_per_second.total_cmp(&a.forward.bits_per_second),
        Column::Rx => b.reply.bits_per_second.total_cmp(&a.reply.bits_per_second),
        Column::Retx => retransmits(b).cmp(&retransmits(a)),
        // The contract's order of verdicts begins with the worst.
        Column::Verdict => a.verdict.cmp(&b.verdict),
    }
}

fn side(party: &crate::report::Party) -> (&str, std::net::IpAddr, u16) {
    (&party.endpoint, party.address, party.port)
}

/// Which rows are shown, and what is known of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows {
    /// Indexes into the flows, in the order shown.
    pub shown: Vec<usize>,
    /// Loopback flows, hidden or not.
    pub loopback: usize,
    /// Flows the filter took out.
    pub filtered: usize,
    /// Bits per second of all flows but loopback, each conversation once.
    pub bits_per_second: f64,
}

/// Chooses and sorts rows; what has ended stands last.
#[must_use]
pub(crate) fn rows(flows: &[FlowRow], filter: &Filter, loopback: bool, sort: Sort, now: Timestamp) -> Rows {
    let needles = filter.needles();
    let mut rows = Rows::default();
    let mut shown = Vec::with_capacity(flows.len());
    for (at, flow) in flows.iter().enumerate() {
        let inside = flow.path == Path::Loopback;
        if inside {
            rows.loopback += 1;
        } else {
            rows.bits_per_second += flow.bits_per_second();
        }
        if inside && !loopback {
            continue;
        }
        if needles.are_in(flow) {
            shown.push((has_ended(flow, now), at));
        } else {
            rows.filtered += 1;
        }
    }
    shown.sort_by(|&(a_ended, a), &(b_ended, b)| {
        a_ended.cmp(&b_ended).then_with(|| sort.compare(&flows[a], &flows[b]))
    });
    rows.shown = shown.into_iter().map(|(_, at)| at).collect();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::TcpState, top::made_up};

    fn ids(flows: &[FlowRow], sort: Sort, filter: &str) -> Vec<String> {
        let rows = rows(flows, &Filter::new(filter), false, sort, made_up::now());
        rows.shown.iter().map(|&at| flows[at].id.to_string()).collect()
    }

    fn three() -> Vec<FlowRow> {
        let mut slow = made_up::tcp("slow", "container/b", "container/x", 1);
        let mut fast = made_up::tcp("fast", "container/a", "container/z", 2);
        let mut over = made_up::tcp("over", "container/c", "container/y", 3);
        slow.forward.bits_per_second = 10.0;
        fast.forward.bits_per_second = 1e9;
        over.forward.bits_per_second = 1e12;
        if let Some(tcp) = &mut over.tcp {
            tcp.state = TcpState::Closed;
        }
        vec![slow, over, fast]
    }

    #[test]
    fn the_busiest_is_first_and_what_ended_is_last() {
        assert_eq!(ids(&three(), Sort::default(), ""), ["fast", "slow", "over"]);
    }

    #[test]
    fn the_other_way_round_what_ended_is_still_last() {
        let sort = Sort::default().choose(SortBy::Rate);
        assert_eq!(ids(&three(), sort, ""), ["slow", "fast", "over"]);
    }

    #[test]
    fn names_are_sorted_from_a_to_z() {
        let sort = Sort::default().choose(SortBy::Column(Column::Source));
        assert_eq!(ids(&three(), sort, ""), ["fast", "slow", "over"]);
        assert_eq!(ids(&three(), sort.choose(sort.by), ""), ["slow", "fast", "over"]);
    }

    #[test]
    fn loopback_is_hidden_and_counted() {
        let mut flows = three();
        flows[0].path = Path::Loopback;
        let sort = Sort::default();
        let hidden = rows(&flows, &Filter::default(), false, sort, made_up::now());
        assert_eq!((hidden.shown.len(), hidden.loopback, hidden.filtered), (2, 1, 0));
        let shown = rows(&flows, &Filter::default(), true, sort, made_up::now());
        assert_eq!((shown.shown.len(), shown.loopback), (3, 1));
    }

    #[test]
    fn what_the_filter_takes_out_is_counted_and_stays_in_the_total() {
        let flows = three();
        let rows = rows(&flows, &Filter::new("container/z"), false, Sort::default(), made_up::now());
        assert_eq!((rows.shown.len(), rows.filtered), (1, 2));
        assert!(rows.bits_per_second > 1e12);
    }

    #[test]
    fn every_column_can_be_reached_and_rate_comes_again() {
        let mut sort = Sort::default();
        for column in Column::ALL {
            sort = sort.next();
            assert_eq!(sort.by, SortBy::Column(column));
        }
        assert_eq!(sort.next().by, SortBy::Rate);
    }
}
