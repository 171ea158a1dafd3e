//! Flows and a width → which columns of `netobs top` fit, each as wide as its content asks for. Pure.

use super::{
    columns::{Column, tone, word},
    grid::Cell,
    names::Name,
    text::fit,
};
use crate::report::FlowRow;

/// Cells between two columns: one, since 80 hold eight columns only so.
pub const GAP: usize = 1;

/// A line this wide shows the source's port too; on a narrower one the destination's name needs the room.
const ROOMY: usize = 110;

/// The least a name is shortened to before a less important column is given up.
const LEAST_NAME: usize = 10;

/// Widths of names grow in these steps, so that one row that comes and goes does not move all others.
const STEP: usize = 4;

/// How many rows are measured: a list of 65,536 is sorted by what matters, and the rest is cut if need be.
const MEASURED: usize = 500;

/// What a narrow terminal gives up, first to last; the names stay.
const GIVEN_UP: [Column; 6] =
    [Column::Retx, Column::Proto, Column::Rx, Column::Path, Column::Verdict, Column::Tx];

/// The columns that fit, and how wide each is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    columns: Vec<(Column, usize)>,
    source_port: bool,
}

impl Plan {
    /// The columns for flows on a line of `width` cells; everything in full where there is no limit.
    #[must_use]
    pub fn new(flows: &[&FlowRow], width: Option<usize>) -> Self {
        let source_port = width.is_none_or(|width| width >= ROOMY);
        let measured = &flows[..flows.len().min(MEASURED)];
        let mut columns: Vec<(Column, usize)> = Column::ALL
            .into_iter()
            .map(|column| {
                let room = if column.is_name() {
                    names_room(column, measured, source_port)
                } else {
                    // Words are few and cheap to measure, and must never be cut: all rows count.
                    column.room(flows.iter().copied())
                };
                (column, room)
            })
            .collect();
        if let Some(width) = width {
            narrow(&mut columns, width);
            round(&mut columns, width);
        }
        Self { columns, source_port }
    }

    /// The heads, each as wide as its column.
    pub fn heads(&self) -> impl Iterator<Item = (Column, String)> {
        self.columns.iter().map(|&(column, width)| (column, fit(column.title(), width, column.is_number())))
    }

    /// One flow's cells, each as wide as its column.
    pub fn row(&self, flow: &FlowRow) -> impl Iterator<Item = (Column, Cell)> {
        self.columns.iter().map(move |&(column, width)| {
            let text = match column {
                Column::Source => Name::of(&flow.source, flow.protocol, self.source_port).fit(width),
                Column::Destination => Name::of(&flow.destination, flow.protocol, true).fit(width),
                _ => word(column, flow).into_owned(),
            };
            let cell = Cell { text: fit(&text, width, column.is_number()), tone: tone(column, flow) };
            (column, cell)
        })
    }
}

/// What the longest name of a column needs.
fn names_room(column: Column, flows: &[&FlowRow], source_port: bool) -> usize {
    let names = flows.iter().map(|flow| match column {
        Column::Source => Name::of(&flow.source, flow.protocol, source_port).cells(),
        _ => Name::of(&flow.destination, flow.protocol, true).cells(),
    });
    names.max().unwrap_or(0).max(column.title().len())
}

/// Cells of everything but names.
fn words(columns: &[(Column, usize)]) -> usize {
    let rooms: usize = columns.iter().filter(|(column, _)| !column.is_name()).map(|(_, room)| room).sum();
    rooms + GAP * columns.len().saturating_sub(1)
}

/// Gives up columns, then shares what is left between the two names.
fn narrow(columns: &mut Vec<(Column, usize)>, width: usize) {
    for given_up in GIVEN_UP {
        if words(columns) + 2 * LEAST_NAME <= width {
            break;
        }
        columns.retain(|&(column, _)| column != given_up);
    }
    let left = width.saturating_sub(words(columns));
    let needs: Vec<usize> =
        columns.iter().filter(|(column, _)| column.is_name()).map(|&(_, room)| room).collect();
    let [source, destination] = needs[..] else { return };
    if source + destination <= left {
        return;
    }
    // Half each, but what one side does not need goes to the other.
    let half = left / 2;
    let source = if destination < left - half { left - destination } else { source.min(half) };
    let shares = [source, left - source];
    let names = columns.iter_mut().filter(|(column, _)| column.is_name());
    for ((_, room), share) in names.zip(shares) {
        *room = share;
    }
}

/// Widens names to the next step where there is room.
fn round(columns: &mut [(Column, usize)], width: usize) {
    let names: usize = columns.iter().filter(|(column, _)| column.is_name()).map(|(_, room)| room).sum();
    let mut spare = width.saturating_sub(words(columns) + names);
    for (_, room) in columns.iter_mut().filter(|(column, _)| column.is_name()) {
        let more = (room.next_multiple_of(STEP) - *room).min(spare);
        *room += more;
        spare -= more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{table::text::cells, top::made_up};

    fn line(plan: &Plan, flow: &FlowRow) -> String {
        plan.row(flow).map(|(_, cell)| cell.text).collect::<Vec<_>>().join(" ")
    }

    fn titles(width: usize) -> Vec<&'static str> {
        let input = made_up::busy();
        let flows: Vec<_> = input.flows.flows.iter().collect();
        Plan::new(&flows, Some(width)).columns.iter().map(|(column, _)| column.title()).collect()
    }

    #[test]
    fn eighty_cells_hold_all_eight_columns() {
        let all: Vec<_> = Column::ALL.iter().map(|column| column.title()).collect();
        assert_eq!(titles(80), all);
    }

    #[test]
    fn a_narrow_line_gives_up_numbers_before_names() {
        assert_eq!(titles(40), ["SOURCE", "DESTINATION", "TX/s", "VERDICT"]);
        assert_eq!(titles(20), ["SOURCE", "DESTINATION"]);
        assert_eq!(titles(1), ["SOURCE", "DESTINATION"]);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let input = made_up::busy();
        let flows: Vec<_> = input.flows.flows.iter().collect();
        for width in 2..200 {
            let plan = Plan::new(&flows, Some(width));
            for flow in &flows {
                assert!(cells(&line(&plan, flow)) <= width, "{width}: {}", line(&plan, flow));
            }
        }
    }

    #[test]
    fn a_path_and_a_verdict_are_never_cut_at_eighty() {
        let input = made_up::busy();
        let mut flow = input.flows.flows[0].clone();
        flow.path = crate::report::Path::RoutedRemote;
        flow.verdict = crate::report::Verdict::Unreachable;
        let line = line(&Plan::new(&[&flow], Some(80)), &flow);
        assert!(line.contains(" routed_remote ") && line.contains(" unreachable"), "{line}");
    }

    #[test]
    fn names_are_widened_in_steps_where_there_is_room() {
        let mut columns = vec![(Column::Source, 13), (Column::Destination, 17)];
        round(&mut columns, 80);
        assert_eq!(columns, [(Column::Source, 16), (Column::Destination, 20)]);
        let mut tight = vec![(Column::Source, 13), (Column::Destination, 17)];
        round(&mut tight, 32);
        assert_eq!(tight, [(Column::Source, 14), (Column::Destination, 17)]);
    }

    #[test]
    fn a_short_source_leaves_its_room_to_the_destination() {
        let mut columns = vec![(Column::Source, 4), (Column::Destination, 40)];
        narrow(&mut columns, 31);
        assert_eq!(columns, [(Column::Source, 4), (Column::Destination, 26)]);
    }
}
