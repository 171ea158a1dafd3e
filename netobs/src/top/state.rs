//! What the user did and what the agent said → what is to be shown. Pure; time comes in with the events.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use ratatui::crossterm::event::KeyEvent;

use super::{
    Filter, Sort, TopInput, Update, keys,
    order::{self, Rows},
    view,
};
use crate::{
    report::FlowRow,
    table::{Look, flows::since, units},
};

/// Documents older than this are called old: the agent publishes one a second.
const STALE: Duration = Duration::from_secs(5);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size: columns, rows.
    Resize(u16, u16),
    /// The source of documents has something to say.
    Update(Update),
    /// Time went on.
    Tick(Timestamp),
}

/// What the screen shows below the head.
#[derive(Clone, Debug, PartialEq)]
pub enum Screen {
    /// The flows.
    List,
    /// One flow and its hops.
    Flow(Detail),
}

/// One flow, kept when the agent has forgotten it: the reader has not.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// As last seen.
    pub flow: Box<FlowRow>,
    /// The agent lists it no more.
    pub gone: bool,
    /// First line shown.
    pub scroll: usize,
}

/// Everything the view needs.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) look: Look,
    pub(crate) size: (u16, u16),
    pub(crate) now: Timestamp,
    pub(crate) input: Option<Arc<TopInput>>,
    /// Newest documents while paused; shown when the user goes on.
    pub(crate) held: Option<Arc<TopInput>>,
    /// When the newest documents came, by the clock of this side.
    pub(crate) arrived: Timestamp,
    pub(crate) waiting: Arc<str>,
    pub(crate) trouble: Option<Arc<str>>,
    pub(crate) paused: bool,
    pub(crate) loopback: bool,
    pub(crate) sort: Sort,
    pub(crate) filter: Filter,
    /// Keys go into the filter.
    pub(crate) typing: bool,
    pub(crate) rows: Rows,
    /// The flow the user chose; without a choice the first row is marked, whichever it is.
    pub(crate) selected: Option<Arc<str>>,
    /// First row of the list on the screen.
    pub(crate) offset: usize,
    pub(crate) screen: Screen,
    pub(crate) help: bool,
    pub(crate) done: bool,
}

impl State {
    /// Nothing known yet, on a terminal of `size` columns and rows.
    #[must_use]
    pub fn new(look: Look, size: (u16, u16), now: Timestamp) -> Self {
        Self {
            look,
            size,
            now,
            input: None,
            held: None,
            arrived: now,
            waiting: "waiting for the agent".into(),
            trouble: None,
            paused: false,
            loopback: false,
            sort: Sort::default(),
            filter: Filter::default(),
            typing: false,
            rows: Rows::default(),
            selected: None,
            offset: 0,
            screen: Screen::List,
            help: false,
            done: false,
        }
    }

    /// Whether the user wants to leave.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Takes one event in.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Key(key) => keys::press(self, key),
            Event::Resize(columns, rows) => self.size = (columns, rows),
            Event::Tick(now) => self.now = now,
            Event::Update(Update::Waiting(what)) => self.waiting = what,
            Event::Update(Update::Trouble(why)) => self.trouble = Some(why),
            Event::Update(Update::Documents(input)) => {
                self.trouble = None;
                self.arrived = self.now;
                if self.paused {
                    self.held = Some(input);
                } else {
                    self.show(input);
                }
            }
        }
        self.keep_in_sight();
    }

    /// The flows of the documents shown.
    pub(crate) fn flows(&self) -> &[FlowRow] {
        self.input.as_ref().map_or(&[], |input| &input.flows.flows)
    }

    /// Which row is marked, if there are any.
    pub(crate) fn marked(&self) -> Option<usize> {
        let chosen = self.selected.as_ref().and_then(|id| self.row_of(id));
        chosen.or_else(|| (!self.rows.shown.is_empty()).then_some(0))
    }

    /// Marks a row by its place; the first one there is or the last one where the place is outside.
    pub(crate) fn mark(&mut self, row: usize) {
        let row = row.min(self.rows.shown.len().saturating_sub(1));
        let id =
            self.rows.shown.get(row).and_then(|&at| self.flows().get(at)).map(|flow| Arc::clone(&flow.id));
        self.selected = id;
    }

    /// Chooses and sorts the rows anew: filter, order or loopback changed.
    pub(crate) fn arrange(&mut self) {
        let before = self.marked();
        self.sort_rows(before);
    }

    /// The rows of the documents shown; `before` is where the mark was.
    fn sort_rows(&mut self, before: Option<usize>) {
        let Some(input) = self.input.clone() else { return };
        let time = input.flows.head.time;
        self.rows = order::rows(&input.flows.flows, &self.filter, self.loopback, self.sort, time);
        let gone = self.selected.as_ref().is_some_and(|id| self.row_of(id).is_none());
        // Whoever took the place of a flow that is gone is nearest to what the reader looked at.
        if gone {
            self.mark(before.unwrap_or(0));
        }
    }

    /// Where a flow stands. The list is bounded by the flow table; one pass is far cheaper than its sort.
    fn row_of(&self, id: &str) -> Option<usize> {
        let flows = self.flows();
        self.rows.shown.iter().position(|&at| flows.get(at).is_some_and(|flow| &*flow.id == id))
    }

    /// Shows the documents that came last.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        if let Some(input) = self.held.take() {
            self.show(input);
        }
    }

    /// The hops of the marked row.
    pub(crate) fn open(&mut self) {
        let flow =
            self.marked().and_then(|row| self.rows.shown.get(row)).and_then(|&at| self.flows().get(at));
        if let Some(flow) = flow.cloned() {
            self.selected = Some(Arc::clone(&flow.id));
            self.screen = Screen::Flow(Detail { flow: Box::new(flow), gone: false, scroll: 0 });
        }
    }

    /// Why what is shown may not be what is.
    pub(crate) fn complaint(&self) -> Option<String> {
        let age = since(self.arrived, self.now);
        let old =
            (self.input.is_some() && age >= STALE).then(|| format!("nothing new for {}", units::age(age)));
        match (&self.trouble, old) {
            (Some(why), Some(old)) => Some(format!("{why} ({old})")),
            (Some(why), None) => Some(why.to_string()),
            (None, old) => old,
        }
    }

    fn show(&mut self, input: Arc<TopInput>) {
        // Which row was marked is read from the old documents, so it must be known before they go.
        let before = self.marked();
        self.input = Some(input);
        self.sort_rows(before);
        if let Screen::Flow(detail) = &mut self.screen {
            let flows = self.input.as_ref().map_or(&[][..], |input| &input.flows.flows);
            match flows.iter().find(|flow| flow.id == detail.flow.id) {
                Some(flow) => {
                    *detail.flow = flow.clone();
                    detail.gone = false;
                }
                None => detail.gone = true,
            }
        }
    }

    /// Scrolls as little as needed for the marked row to be on the screen.
    fn keep_in_sight(&mut self) {
        self.offset = window(self.offset, self.marked(), view::list_height(self), self.rows.shown.len());
        if let Screen::Flow(detail) = &self.screen {
            let most = view::detail_scroll_limit(self, detail);
            if let Screen::Flow(detail) = &mut self.screen {
                detail.scroll = detail.scroll.min(most);
            }
        }
    }
}

/// The first row on the screen: moved as little as needed for the marked row to be seen.
#[must_use]
pub(crate) fn window(offset: usize, marked: Option<usize>, height: usize, rows: usize) -> usize {
    let height = height.max(1);
    let offset = offset.min(rows.saturating_sub(height));
    match marked {
        Some(row) if row < offset => row,
        Some(row) if row >= offset + height => row + 1 - height,
        _ => offset,
    }
}

#[cfg(test)]
mod tests;
