//! Every screen as cells; the snapshots beside this file are what a reader sees.

use std::sync::Arc;

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::Modifier,
};

use super::*;
use crate::{
    identity::text::is_hostile,
    table::Look,
    top::{Event, TopInput, Update, made_up},
};

fn state(input: TopInput, size: (u16, u16), keys: &str) -> State {
    let mut state = State::new(Look::default(), size, made_up::now());
    state.apply(Event::Update(Update::Documents(Arc::new(input))));
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            key => KeyCode::Char(key),
        };
        state.apply(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    state
}

fn terminal(state: &State, size: (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a terminal");
    terminal.draw(|frame| view(state, frame)).expect("a picture");
    terminal
}

fn picture(input: TopInput, size: (u16, u16), keys: &str) -> String {
    terminal(&state(input, size, keys), size).backend().to_string()
}

#[test]
fn a_busy_host_on_the_classic_terminal() {
    insta::assert_snapshot!(picture(made_up::busy(), (80, 24), ""));
}

#[test]
fn a_busy_host_on_a_wide_terminal() {
    insta::assert_snapshot!(picture(made_up::busy(), (160, 50), "l"));
}

#[test]
fn an_empty_machine() {
    insta::assert_snapshot!(picture(made_up::empty(), (80, 24), ""));
}

#[test]
fn the_hops_of_a_flow() {
    insta::assert_snapshot!(picture(made_up::busy(), (80, 40), "\n"));
}

#[test]
fn the_hops_of_a_flow_on_a_wide_terminal() {
    insta::assert_snapshot!(picture(made_up::busy(), (160, 50), "\n"));
}

#[test]
fn the_hops_of_a_flow_scrolled() {
    insta::assert_snapshot!(picture(made_up::busy(), (80, 12), "\njjjjjjjjjjjjjjjj"));
}

#[test]
fn a_filter_being_typed() {
    insta::assert_snapshot!(picture(made_up::busy(), (80, 24), "/web up"));
}

#[test]
fn a_filter_that_stands() {
    insta::assert_snapshot!(picture(made_up::busy(), (80, 24), "/refused\n"));
}

#[test]
fn a_filter_without_a_match() {
    insta::assert_snapshot!(picture(made_up::busy(), (80, 24), "/nobody\n"));
}

#[test]
fn paused_and_sorted_by_verdict() {
    insta::assert_snapshot!(picture(made_up::busy(), (80, 24), "p8jj"));
}

#[test]
fn help() {
    insta::assert_snapshot!(picture(made_up::busy(), (80, 24), "?"));
}

#[test]
fn a_very_small_terminal() {
    insta::assert_snapshot!(picture(made_up::busy(), (20, 5), ""));
}

#[test]
fn one_cell() {
    insta::assert_snapshot!(picture(made_up::busy(), (1, 1), ""));
}

#[test]
fn hostile_names() {
    insta::assert_snapshot!(picture(made_up::hostile(), (80, 24), ""));
}

#[test]
fn nothing_known_yet() {
    let mut state = State::new(Look::default(), (80, 24), made_up::now());
    state.apply(Event::Update(Update::Waiting("starting an agent".into())));
    state.apply(Event::Update(Update::Trouble("no such file".into())));
    insta::assert_snapshot!(terminal(&state, (80, 24)).backend().to_string().replace(&blank(80), ""));
}

fn blank(width: usize) -> String {
    format!("\"{}\"\n", " ".repeat(width))
}

#[test]
fn no_screen_shows_a_character_that_controls_the_terminal() {
    for keys in ["", "\n", "?", "/x", "j\n"] {
        let shown = terminal(&state(made_up::hostile(), (80, 40), keys), (80, 40));
        let hostile =
            shown.backend().buffer().content.iter().find(|cell| cell.symbol().chars().any(is_hostile));
        assert!(hostile.is_none(), "{keys:?}: {hostile:?}");
    }
}

#[test]
fn every_size_and_every_screen_can_be_drawn() {
    for keys in ["", "\n", "\n?", "?", "/web", "/web\n", "pjjj"] {
        for columns in [0, 1, 2, 3, 7, 19, 20, 33, 52, 80, 81, 300] {
            for rows in [0, 1, 2, 3, 4, 5, 9, 24, 60] {
                let state = state(made_up::busy(), (columns, rows), keys);
                terminal(&state, (columns, rows));
                // The picture is of another size than the state believes: a resize that is not told yet.
                terminal(&state, (rows, columns));
            }
        }
    }
}

#[test]
fn the_marked_row_is_one_bar_and_what_ended_is_dim() {
    let shown = terminal(&state(made_up::busy(), (80, 24), ""), (80, 24));
    let row_with = |modifier: Modifier, full: bool| -> Vec<u16> {
        let buffer = shown.backend().buffer();
        (0..24)
            .filter(|&y| {
                let mut has = (0..80).map(|x| buffer[(x, y)].modifier.contains(modifier));
                if full { has.all(|has| has) } else { has.any(|has| has) }
            })
            .collect()
    };
    assert_eq!(row_with(Modifier::REVERSED, true), [3]);
    assert!(row_with(Modifier::DIM, false).contains(&8));
}

#[test]
fn colour_is_left_out_where_it_is_not_wanted() {
    let mut state = state(made_up::busy(), (80, 24), "");
    let coloured = |state: &State| {
        terminal(state, (80, 24))
            .backend()
            .buffer()
            .content
            .iter()
            .any(|cell| cell.fg != ratatui::style::Color::Reset)
    };
    assert!(!coloured(&state));
    state.look.colour = true;
    assert!(coloured(&state));
}

#[test]
fn a_terminal_without_utf_8_gets_ascii_only() {
    let mut state = state(made_up::hostile(), (80, 24), "");
    state.look.ascii = true;
    assert!(
        terminal(&state, (80, 24)).backend().buffer().content.iter().all(|cell| cell.symbol().is_ascii())
    );
}
