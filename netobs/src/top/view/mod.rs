//! The state → cells of a terminal. Pure: `ratatui` compares with the last picture and writes what changed.

mod detail;
mod help;
mod list;
mod paint;

use ratatui::Frame;

use super::{
    head::{self, Head},
    state::{Detail, Screen, State},
};
use crate::table::grid::Cell;

/// Below this many rows the foot line and the notes are left out: flows matter more.
const TALL: u16 = 9;

/// Below this many rows only flows are shown.
const LOW: u16 = 4;

/// Draws the state.
pub fn view(state: &State, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.is_empty() {
        return;
    }
    match &state.screen {
        Screen::List => list::draw(state, frame, area),
        Screen::Flow(detail) => detail::draw(state, detail, frame, area),
    }
    if state.help {
        help::draw(state, frame, area);
    }
    if state.look.ascii {
        paint::to_ascii(frame.buffer_mut());
    }
}

/// The lines above the list.
fn head_lines(state: &State, columns: u16, rows: u16) -> Vec<Vec<Cell>> {
    let Some(input) = &state.input else { return Vec::new() };
    if rows < LOW {
        return Vec::new();
    }
    let complaint = state.complaint();
    let head = Head {
        input,
        rows: &state.rows,
        filter: &state.filter,
        sort: state.sort,
        loopback: state.loopback,
        paused: state.paused,
        trouble: complaint.as_deref(),
    };
    let mut lines = head::lines(&head, usize::from(columns));
    lines.truncate(if rows < TALL { 1 } else { usize::from(rows / 2) });
    lines
}

/// Rows of the terminal left for flows.
pub(crate) fn list_height(state: &State) -> usize {
    let (columns, rows) = state.size;
    list::height(state, columns, rows)
}

/// How far a flow's lines can be scrolled.
pub(crate) fn detail_scroll_limit(state: &State, flow: &Detail) -> usize {
    let (columns, rows) = state.size;
    detail::scroll_limit(state, flow, columns, rows)
}

#[cfg(test)]
mod tests;
