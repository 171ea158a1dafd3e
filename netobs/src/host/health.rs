//! What a long running reader of the kernel's notifications has to own up to: losses above all.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one reader, shared with whoever publishes them (`netobs_bpf_lost_events_total{source}`).
#[derive(Debug, Default)]
pub struct WatchHealth {
    events: AtomicU64,
    losses: AtomicU64,
    dumps: AtomicU64,
    undecoded: AtomicU64,
    incomplete: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCounts {
    /// Notifications decoded.
    pub events: u64,
    /// How often the kernel said that it had to drop notifications. Each leads to a new dump, so nothing
    /// that still exists stays unknown; how many were dropped the kernel does not say.
    pub losses: u64,
    /// Dumps that replaced what was known: the first one and one after each loss at least.
    pub dumps: u64,
    /// Messages that could not be decoded.
    pub undecoded: u64,
    /// Dumps that lack entries: too many of them, or the subject never held still.
    pub incomplete: u64,
}

impl WatchHealth {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> WatchCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WatchCounts {
            events: read(&self.events),
            losses: read(&self.losses),
            dumps: read(&self.dumps),
            undecoded: read(&self.undecoded),
            incomplete: read(&self.incomplete),
        }
    }

    pub(super) fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn loss(&self) {
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn undecoded(&self, messages: u64) {
        self.undecoded.fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn dump(&self) {
        self.dumps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn incomplete(&self, incomplete: bool) {
        self.incomplete.fetch_add(incomplete.into(), Ordering::Relaxed);
    }
}
