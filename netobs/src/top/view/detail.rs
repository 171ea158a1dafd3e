//! One flow on the whole screen, scrolled where it is longer.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Text},
};

use super::paint;
use crate::{
    table::{grid::Cell, text::cut, tone::Tone},
    top::{
        facts,
        state::{Detail, State},
    },
};

pub(super) fn draw(state: &State, detail: &Detail, frame: &mut Frame<'_>, area: Rect) {
    let all = lines(state, detail, area.width);
    let body = body_height(area.height);
    let scroll = detail.scroll.min(all.len().saturating_sub(body));
    let below = all.len().saturating_sub(scroll + body);
    let mut shown: Vec<Line<'_>> = all
        .into_iter()
        .skip(scroll)
        .take(body)
        .map(|cells| paint::line(cells, 0, state.look.colour))
        .collect();
    if usize::from(area.height) > body {
        shown.resize(body, Line::default());
        shown.push(Line::styled(foot(below), Tone::Faint.style(state.look.colour)));
    }
    frame.render_widget(Text::from(shown), area);
}

pub(super) fn scroll_limit(state: &State, detail: &Detail, columns: u16, rows: u16) -> usize {
    lines(state, detail, columns).len().saturating_sub(body_height(rows))
}

/// One row is the foot's, where there are enough.
fn body_height(rows: u16) -> usize {
    usize::from(if rows >= 3 { rows - 1 } else { rows })
}

fn foot(below: usize) -> String {
    match below {
        0 => "Esc back  p pause  ? help  q quit".to_owned(),
        1 => "1 line below (j)  Esc back  p pause  ? help  q quit".to_owned(),
        more => format!("{more} lines below (j)  Esc back  p pause  ? help  q quit"),
    }
}

fn lines(state: &State, detail: &Detail, columns: u16) -> Vec<Vec<Cell>> {
    let width = usize::from(columns);
    let mut lines = Vec::new();
    if state.paused {
        lines.push(vec![Cell::toned("PAUSED", Tone::Warn)]);
    }
    if let Some(complaint) = state.complaint() {
        lines.push(vec![Cell::toned(&cut(&complaint, width), Tone::Bad)]);
    }
    if detail.gone {
        lines.push(vec![Cell::toned("this flow is over and listed no more; as last seen:", Tone::Warn)]);
    }
    let time = state.input.as_ref().map_or(state.now, |input| input.flows.head.time);
    lines.extend(facts::lines(&detail.flow, time, width));
    lines
}
