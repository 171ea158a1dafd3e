//! Events in, state out.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::{
    report::Path,
    table::columns::Column,
    top::{SortBy, made_up},
};

fn start() -> State {
    let mut state = State::new(Look::default(), (80, 24), made_up::now());
    give(&mut state, made_up::busy());
    state
}

fn give(state: &mut State, input: TopInput) {
    state.apply(Event::Update(Update::Documents(Arc::new(input))));
}

fn press(state: &mut State, keys: &str) {
    for character in keys.chars() {
        code(state, KeyCode::Char(character));
    }
}

fn code(state: &mut State, code: KeyCode) {
    state.apply(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
}

fn marked_id(state: &State) -> String {
    let row = state.marked().expect("a row");
    state.flows()[state.rows.shown[row]].id.to_string()
}

#[test]
fn without_a_choice_the_mark_stays_on_the_busiest() {
    let mut state = start();
    assert_eq!(marked_id(&state), "f1");
    let mut input = made_up::busy();
    input.flows.flows[2].forward.bits_per_second = 1e12;
    give(&mut state, input);
    assert_eq!(marked_id(&state), "f2");
}

#[test]
fn a_chosen_flow_stays_chosen_when_the_order_changes() {
    let mut state = start();
    press(&mut state, "j");
    assert_eq!(marked_id(&state), "f2");
    let mut input = made_up::busy();
    input.flows.flows[2].forward.bits_per_second = 0.0;
    input.flows.flows[2].reply.bits_per_second = 0.0;
    give(&mut state, input);
    assert_eq!(marked_id(&state), "f2");
    press(&mut state, "s");
    assert_eq!(marked_id(&state), "f2");
}

#[test]
fn a_chosen_flow_that_goes_leaves_the_mark_where_it_was() {
    let mut state = start();
    press(&mut state, "jj");
    assert_eq!(marked_id(&state), "f4");
    let mut input = made_up::busy();
    input.flows.flows.retain(|flow| &*flow.id != "f4");
    give(&mut state, input);
    assert_eq!(state.marked(), Some(2));
}

#[test]
fn the_mark_ends_at_both_ends() {
    let mut state = start();
    press(&mut state, "k");
    assert_eq!(state.marked(), Some(0));
    code(&mut state, KeyCode::End);
    press(&mut state, "jjj");
    assert_eq!(state.marked(), Some(5));
    code(&mut state, KeyCode::Home);
    assert_eq!((state.marked(), state.selected.clone()), (Some(0), None));
}

#[test]
fn a_pause_holds_the_picture_and_going_on_shows_the_newest() {
    let mut state = start();
    press(&mut state, "p");
    give(&mut state, made_up::empty());
    give(&mut state, made_up::empty());
    assert_eq!(state.rows.shown.len(), 6);
    press(&mut state, " ");
    assert_eq!(state.rows.shown.len(), 0);
    assert!(!state.paused && state.held.is_none());
}

#[test]
fn typing_a_filter_narrows_at_once_and_escape_clears_it() {
    let mut state = start();
    press(&mut state, "/refused");
    assert_eq!(state.rows.shown.len(), 1);
    code(&mut state, KeyCode::Backspace);
    code(&mut state, KeyCode::Enter);
    assert!(!state.typing);
    assert_eq!(state.filter.text(), "refuse");
    code(&mut state, KeyCode::Esc);
    assert_eq!(state.rows.shown.len(), 6);
}

#[test]
fn letters_of_a_filter_are_no_commands() {
    let mut state = start();
    press(&mut state, "/qps");
    assert!(!state.is_done() && !state.paused);
    assert_eq!(state.filter.text(), "qps");
}

#[test]
fn a_digit_sorts_by_its_column_and_again_the_other_way() {
    let mut state = start();
    press(&mut state, "8");
    assert_eq!(state.sort.by, SortBy::Column(Column::Verdict));
    assert_eq!(marked_id(&state), "f3");
    press(&mut state, "8");
    assert!(state.sort.reversed);
    press(&mut state, "S");
    assert!(!state.sort.reversed);
    press(&mut state, "0");
    assert_eq!(state.sort, Sort::default());
}

#[test]
fn loopback_comes_and_goes() {
    let mut state = start();
    press(&mut state, "l");
    assert_eq!(marked_id(&state), "f7");
    press(&mut state, "l");
    assert!(state.rows.shown.iter().all(|&at| state.flows()[at].path != Path::Loopback));
}

#[test]
fn a_flow_opens_follows_its_numbers_and_outlives_its_row() {
    let mut state = start();
    code(&mut state, KeyCode::Enter);
    let mut input = made_up::busy();
    input.flows.flows[1].forward.bytes = 7;
    give(&mut state, input);
    let Screen::Flow(detail) = &state.screen else { panic!("not open") };
    assert_eq!((detail.flow.forward.bytes, detail.gone), (7, false));
    give(&mut state, made_up::empty());
    let Screen::Flow(detail) = &state.screen else { panic!("not open") };
    assert_eq!((detail.flow.forward.bytes, detail.gone), (7, true));
    code(&mut state, KeyCode::Esc);
    assert_eq!(state.screen, Screen::List);
}

#[test]
fn a_flow_scrolls_no_farther_than_its_last_line() {
    let mut state = start();
    state.apply(Event::Resize(80, 10));
    code(&mut state, KeyCode::Enter);
    code(&mut state, KeyCode::End);
    let Screen::Flow(detail) = state.screen.clone() else { panic!("not open") };
    assert!(detail.scroll > 0 && detail.scroll < 60, "{}", detail.scroll);
    press(&mut state, "j");
    let Screen::Flow(after) = &state.screen else { panic!("not open") };
    assert_eq!(after.scroll, detail.scroll);
}

#[test]
fn enter_on_nothing_opens_nothing() {
    let mut state = State::new(Look::default(), (80, 24), made_up::now());
    code(&mut state, KeyCode::Enter);
    press(&mut state, "jkl8sS0p p");
    code(&mut state, KeyCode::End);
    assert_eq!(state.screen, Screen::List);
}

#[test]
fn help_goes_with_any_key_and_q_leaves_from_everywhere() {
    let mut state = start();
    press(&mut state, "?x");
    assert!(!state.help && !state.is_done());
    press(&mut state, "hq");
    assert!(state.is_done());
    let mut typing = start();
    press(&mut typing, "/");
    typing.apply(Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    assert!(typing.is_done());
}

#[test]
fn documents_that_stop_coming_are_called_old() {
    let mut state = start();
    assert_eq!(state.complaint(), None);
    state.apply(Event::Update(Update::Trouble("the agent does not answer".into())));
    state.apply(Event::Tick(made_up::now() + jiff::SignedDuration::from_secs(72)));
    assert_eq!(state.complaint().as_deref(), Some("the agent does not answer (nothing new for 1m12s)"));
    give(&mut state, made_up::busy());
    assert_eq!(state.complaint(), None);
}

#[test]
fn the_marked_row_is_always_on_the_screen() {
    assert_eq!(window(0, Some(9), 5, 20), 5);
    assert_eq!(window(5, Some(3), 5, 20), 3);
    assert_eq!(window(5, Some(6), 5, 20), 5);
    assert_eq!(window(18, Some(19), 5, 20), 15);
    assert_eq!(window(3, None, 5, 0), 0);
    assert_eq!(window(0, Some(2), 0, 3), 2);
}
