//! A key → what changes. Pure.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    Filter, SortBy,
    state::{Screen, State},
    view,
};
use crate::table::columns::Column;

/// The keys, for the help and the foot line: key, what it does.
pub(crate) const HELP: [(&str, &str); 11] = [
    ("Up Down j k", "choose a flow (PgUp PgDn Home End: farther)"),
    ("Enter", "its hops, evidence and counters"),
    ("Esc", "back; in the list: clear the filter"),
    ("/", "filter by names, addresses, ports, path, protocol, verdict"),
    ("s S", "sort by the next column; the other way round"),
    ("1 … 8", "sort by that column, again: the other way round"),
    ("0", "sort by the rate of both directions"),
    ("l", "show or hide loopback"),
    ("p Space", "pause and go on"),
    ("h ?", "this help"),
    ("q Ctrl-C", "leave"),
];

/// Takes a key in.
pub(crate) fn press(state: &mut State, key: KeyEvent) {
    if key.kind == KeyEventKind::Release {
        return;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && key.code == KeyCode::Char('c') {
        state.done = true;
    } else if state.typing {
        type_in(state, key.code, control);
    } else if control {
        // Other control keys mean something to shells only.
    } else if state.help {
        // Any key leaves the help: whoever reads it does not know the keys.
        state.help = false;
        state.done = key.code == KeyCode::Char('q');
    } else if !anywhere(state, key.code) {
        match state.screen {
            Screen::List => in_list(state, key.code),
            Screen::Flow(_) => in_flow(state, key.code),
        }
    }
}

/// Keys that mean the same on every screen.
fn anywhere(state: &mut State, code: KeyCode) -> bool {
    match code {
        KeyCode::Char('q') => state.done = true,
        KeyCode::Char('h' | '?') => state.help = true,
        KeyCode::Char('p' | ' ') => {
            if state.paused {
                state.resume();
            } else {
                state.paused = true;
            }
        }
        _ => return false,
    }
    true
}

fn in_list(state: &mut State, code: KeyCode) {
    let page = view::list_height(state).max(1);
    let row = state.marked().unwrap_or(0);
    match code {
        KeyCode::Up | KeyCode::Char('k') => state.mark(row.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => state.mark(row + 1),
        KeyCode::PageUp => state.mark(row.saturating_sub(page)),
        KeyCode::PageDown => state.mark(row + page),
        // Home is no choice of a flow: the mark stays on the first row, whichever comes there.
        KeyCode::Home => {
            state.selected = None;
            state.offset = 0;
        }
        KeyCode::End => state.mark(usize::MAX),
        KeyCode::Enter | KeyCode::Right => state.open(),
        KeyCode::Char('/') => state.typing = true,
        KeyCode::Esc => {
            state.filter = Filter::default();
            state.arrange();
        }
        KeyCode::Char('l') => {
            state.loopback = !state.loopback;
            state.arrange();
        }
        KeyCode::Char('s') => {
            state.sort = state.sort.next();
            state.arrange();
        }
        KeyCode::Char('S') => {
            state.sort = state.sort.choose(state.sort.by);
            state.arrange();
        }
        KeyCode::Char('0') => {
            state.sort = state.sort.choose(SortBy::Rate);
            state.arrange();
        }
        KeyCode::Char(digit @ '1'..='8') => {
            let at = digit.to_digit(10).map_or(0, |digit| digit as usize - 1);
            state.sort = state.sort.choose(SortBy::Column(Column::ALL[at]));
            state.arrange();
        }
        _ => (),
    }
}

fn in_flow(state: &mut State, code: KeyCode) {
    let page = usize::from(state.size.1).saturating_sub(3).max(1);
    let Screen::Flow(detail) = &mut state.screen else { return };
    match code {
        KeyCode::Up | KeyCode::Char('k') => detail.scroll = detail.scroll.saturating_sub(1),
        // Too far is cut off when the event is done.
        KeyCode::Down | KeyCode::Char('j') => detail.scroll += 1,
        KeyCode::PageUp => detail.scroll = detail.scroll.saturating_sub(page),
        KeyCode::PageDown => detail.scroll += page,
        KeyCode::Home => detail.scroll = 0,
        KeyCode::End => detail.scroll = usize::MAX,
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => state.screen = Screen::List,
        _ => (),
    }
}

fn type_in(state: &mut State, code: KeyCode, control: bool) {
    match code {
        KeyCode::Enter => state.typing = false,
        KeyCode::Esc => {
            state.typing = false;
            state.filter = Filter::default();
        }
        KeyCode::Char('u') if control => state.filter = Filter::default(),
        KeyCode::Char(character) if !control => state.filter.push(character),
        KeyCode::Backspace => state.filter.pop(),
        _ => return,
    }
    state.arrange();
}
