//! The list: head, column heads, one line for each flow, foot.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span, Text},
    widgets::Paragraph,
};

use super::{LOW, TALL, head_lines, paint};
use crate::{
    table::{
        plan::{GAP, Plan},
        text::{cells, head},
        tone::Tone,
    },
    top::{
        SortBy, has_ended,
        state::{State, window},
    },
};

const FOOT: &str = "Enter hops  / filter  s sort  l loopback  p pause  ? help  q quit";

/// Rows left for flows on a terminal of this size.
pub(super) fn height(state: &State, columns: u16, rows: u16) -> usize {
    let taken = head_lines(state, columns, rows).len() + usize::from(rows >= LOW) + foot_height(state, rows);
    usize::from(rows).saturating_sub(taken)
}

/// What is typed must be seen, however low the terminal.
fn foot_height(state: &State, rows: u16) -> usize {
    usize::from(rows >= TALL || (rows >= 2 && (state.typing || !state.filter.is_empty())))
}

pub(super) fn draw(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let colour = state.look.colour;
    let head = head_lines(state, area.width, area.height);
    let [head_area, titles_area, list_area, foot_area] = Layout::vertical([
        Constraint::Length(u16::try_from(head.len()).unwrap_or(u16::MAX)),
        Constraint::Length(u16::from(area.height >= LOW)),
        Constraint::Fill(1),
        Constraint::Length(u16::try_from(foot_height(state, area.height)).unwrap_or(1)),
    ])
    .areas(area);

    let head: Vec<Line<'_>> = head.into_iter().map(|cells| paint::line(cells, 0, colour)).collect();
    frame.render_widget(Paragraph::new(head), head_area);

    let flows = state.flows();
    let shown: Vec<_> = state.rows.shown.iter().filter_map(|&at| flows.get(at)).collect();
    let plan = Plan::new(&shown, Some(usize::from(area.width)));
    frame.render_widget(titles(state, &plan), titles_area);

    if shown.is_empty() {
        frame.render_widget(Paragraph::new(nothing(state)), list_area);
    } else {
        let height = usize::from(list_area.height);
        let marked = state.marked();
        let offset = window(state.offset, marked, height, shown.len());
        let rows = shown.iter().enumerate().skip(offset).take(height).map(|(row, flow)| {
            let cells = plan.row(flow).map(|(_, cell)| cell).collect();
            let mut line = paint::line(cells, GAP, colour);
            if has_ended(flow, time(state)) {
                line = line.patch_style(Style::new().add_modifier(Modifier::DIM));
            }
            if marked == Some(row) {
                // Filled to the right edge, so that the mark is one bar.
                let blank = usize::from(area.width).saturating_sub(line.width());
                line.push_span(Span::raw(" ".repeat(blank)));
                line = line.patch_style(Style::new().add_modifier(Modifier::REVERSED));
            }
            line
        });
        frame.render_widget(Text::from_iter(rows), list_area);
    }
    frame.render_widget(foot(state, usize::from(area.width)), foot_area);
}

fn titles(state: &State, plan: &Plan) -> Line<'static> {
    let mut spans = Vec::new();
    for (column, title) in plan.heads() {
        let mut style = Tone::Head.style(state.look.colour);
        if state.sort.by == SortBy::Column(column) {
            style = style.add_modifier(Modifier::UNDERLINED);
        }
        spans.push(Span::styled(title, style));
        spans.push(Span::raw(" ".repeat(GAP)));
    }
    Line::from(spans)
}

/// Why there is no row.
fn nothing(state: &State) -> Text<'static> {
    match (&state.input, &state.trouble) {
        (None, Some(why)) => format!("{}\n{}", state.waiting, why).into(),
        (None, None) => state.waiting.to_string().into(),
        (Some(_), _) if !state.filter.is_empty() => "no flow matches the filter; Esc clears it".into(),
        (Some(_), _) if state.rows.loopback > 0 && !state.loopback => {
            format!("nothing but {} loopback, hidden; l shows it", state.rows.loopback).into()
        }
        (Some(_), _) => "no flow seen yet".into(),
    }
}

fn foot(state: &State, width: usize) -> Line<'static> {
    if state.typing {
        let mut shown = format!("/{}", state.filter.text());
        // The end is what is being typed: the beginning goes out of sight first.
        while cells(&shown) >= width.max(1) && !shown.is_empty() {
            shown.remove(0);
        }
        let cursor = Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED));
        return Line::from(vec![Span::raw(shown), cursor]);
    }
    if !state.filter.is_empty() {
        let text = format!("filter: {}  (Esc clears, / edits)", state.filter.text());
        return Line::styled(head(&text, width).to_owned(), Tone::Warn.style(state.look.colour));
    }
    Line::styled(FOOT, Tone::Faint.style(state.look.colour))
}

fn time(state: &State) -> jiff::Timestamp {
    state.input.as_ref().map_or(state.now, |input| input.flows.head.time)
}
