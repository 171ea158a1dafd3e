//! Cells of text → spans of `ratatui`, and the buffer → what a terminal without UTF-8 can show.

use ratatui::{
    buffer::Buffer,
    text::{Line, Span},
};

use crate::table::{grid::Cell, text::ascii};

/// One line.
pub(crate) fn line(cells: Vec<Cell>, gap: usize, colour: bool) -> Line<'static> {
    let mut spans = Vec::with_capacity(cells.len() * 2);
    for (at, cell) in cells.into_iter().enumerate() {
        if at > 0 && gap > 0 {
            spans.push(Span::raw(" ".repeat(gap)));
        }
        spans.push(Span::styled(cell.text, cell.tone.style(colour)));
    }
    Line::from(spans)
}

/// Replaces whatever is not ASCII, cell by cell, so that nothing moves.
pub(crate) fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let replaced = cell.symbol().chars().next().map_or(' ', ascii);
            cell.set_char(replaced);
        }
    }
}
