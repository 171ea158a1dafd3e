//! The keys, over whatever is shown.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use crate::{
    table::text::{cells, fit},
    top::{keys::HELP, state::State},
};

/// What the columns mean, below the keys.
const COLUMNS: [&str; 4] = [
    "TX/s is what the source sends, RX/s what it gets, in bits a second.",
    "A name without room loses its kind first: container/web:80 becomes web:80.",
    "Outside is shown by its address. RETX: segments sent again (TCP).",
    "Rows that have ended are dim, stand last and go after 30 s.",
];

pub(super) fn draw(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let keys = HELP.iter().map(|(key, _)| cells(key)).max().unwrap_or(0);
    let mut lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(key, does)| {
            Line::from(vec![
                Span::styled(fit(key, keys, false), Style::new().add_modifier(Modifier::BOLD)),
                Span::raw("  "),
                Span::raw(*does),
            ])
        })
        .collect();
    lines.push(Line::default());
    lines.extend(COLUMNS.iter().copied().map(Line::raw));

    let widest = lines.iter().map(Line::width).max().unwrap_or(0);
    let wanted = |cells: usize| u16::try_from(cells + 2).unwrap_or(u16::MAX);
    let (width, height) = (wanted(widest).min(area.width), wanted(lines.len()).min(area.height));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    // A frame around two cells would hide what it frames.
    if width > 12 && height > 4 {
        let title = format!(" netobs top on {} ", node(state));
        frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), place);
    } else {
        frame.render_widget(Paragraph::new(lines), place);
    }
}

fn node(state: &State) -> String {
    state.input.as_ref().map_or_else(
        || "this host".to_owned(),
        |input| crate::table::text::printable(&input.flows.head.node).into_owned(),
    )
}
