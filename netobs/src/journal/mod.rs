//! What changed → a bounded journal, so that a fault that is over can still be explained. Pure.
//!
//! Each kind of event has room of its own: a thousand interfaces that come and go push out no verdict and no setting.

pub mod bursts;
pub mod firewall;
pub mod network;
pub mod settings;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use crate::report::{EventKind, EventRow, Shown};

/// Events kept of each kind.
const KEPT: usize = 1_024;

/// A change without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub kind: EventKind,
    /// Whose it is.
    pub subject: String,
    /// As it was.
    pub before: Option<String>,
    /// As it is.
    pub after: Option<String>,
    /// What else there is to say.
    pub detail: Option<String>,
}

/// The latest events of each kind.
#[derive(Debug, Default)]
pub struct Journal {
    rings: BTreeMap<EventKind, VecDeque<(u64, EventRow)>>,
    forgotten: BTreeMap<EventKind, u64>,
    noted: u64,
    shown: Arc<Shown>,
    changed: bool,
}

impl Journal {
    /// Takes in what changed, in its order.
    pub fn note(&mut self, changes: impl IntoIterator<Item = Change>, time: Timestamp) {
        for change in changes {
            let ring = self.rings.entry(change.kind).or_default();
            if ring.len() >= KEPT {
                ring.pop_front();
                *self.forgotten.entry(change.kind).or_default() += 1;
            }
            let text = |text: Option<String>| text.map(Into::into);
            let row = EventRow {
                time,
                kind: change.kind,
                subject: change.subject.into(),
                before: text(change.before),
                after: text(change.after),
                detail: text(change.detail),
            };
            ring.push_back((self.noted, row));
            self.noted += 1;
            self.changed = true;
        }
    }

    /// Everything that is kept; made anew only where something was noted since.
    pub fn shown(&mut self) -> Arc<Shown> {
        if std::mem::take(&mut self.changed) {
            let mut all: Vec<&(u64, EventRow)> = self.rings.values().flatten().collect();
            all.sort_unstable_by_key(|(number, _)| *number);
            let events = all.into_iter().map(|(_, row)| row.clone()).collect();
            self.shown = Arc::new(Shown { events, forgotten: self.forgotten.clone() });
        }
        Arc::clone(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: EventKind, subject: &str) -> Change {
        Change { kind, subject: subject.into(), before: None, after: Some("x".into()), detail: None }
    }

    #[test]
    fn events_of_all_kinds_are_in_the_order_in_which_they_were_noted() {
        let mut journal = Journal::default();
        let time = Timestamp::UNIX_EPOCH;
        journal.note([change(EventKind::Route, "1"), change(EventKind::Verdict, "2")], time);
        journal.note([change(EventKind::Link, "3"), change(EventKind::Route, "4")], time);
        let shown = journal.shown();
        let subjects: Vec<&str> = shown.events.iter().map(|row| &*row.subject).collect();
        assert_eq!(subjects, ["1", "2", "3", "4"]);
        assert!(Arc::ptr_eq(&shown, &journal.shown()), "nothing was noted since");
    }

    #[test]
    fn many_of_one_kind_push_out_none_of_another() {
        let mut journal = Journal::default();
        journal.note([change(EventKind::Route, "the one")], Timestamp::UNIX_EPOCH);
        let links = (0..KEPT + 7).map(|number| change(EventKind::Link, &number.to_string()));
        journal.note(links, Timestamp::UNIX_EPOCH);
        let shown = journal.shown();
        assert_eq!(shown.events.len(), KEPT + 1);
        assert_eq!((&*shown.events[0].subject, &*shown.events[1].subject), ("the one", "7"));
        assert_eq!(shown.forgotten, BTreeMap::from([(EventKind::Link, 7)]));
    }
}
