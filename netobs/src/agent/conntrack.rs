//! Conntrack's events on a thread of their own, so that what happened before a reading is known when the
//! reading is judged, however long a tick takes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{runtime::Builder, sync::mpsc};

use super::{observer::Observer, publish::State};
use crate::{
    flow::translation::{Tracked, Translations},
    host::{
        conntrack::{self, Barrier, ConntrackEvent, Decoded, Table},
        health::WatchHealth,
    },
};

/// Events under way between the threads; a full channel makes the kernel's buffer fill, which is counted.
const QUEUE: usize = 65_536;
/// How long a tick waits for the reader of events: it has its turn within a millisecond, unless the host has more to do
/// than it can; then what is too young waits for the next tick.
const HEARD_WITHIN: Duration = Duration::from_millis(50);
/// How long an ended connection is remembered: its packets may be in a reading that is not judged yet.
const REMEMBERED: u64 = 5_000_000_000;

/// What is tracked, brought up to date at each tick.
pub(super) struct Tracker {
    events: mpsc::Receiver<ConntrackEvent>,
    table: Table,
    translations: Translations,
    /// Ended connections in the order of their end; one that began again is no longer in `ended_at`.
    ended: VecDeque<(u64, Tracked)>,
    ended_at: HashMap<Tracked, u64>,
    dumped: bool,
    failed: Arc<AtomicBool>,
    barrier: Arc<Barrier>,
}

/// Starts to listen.
pub(super) fn start(observer: &mut Observer) -> Result<Tracker> {
    let (sender, events) = mpsc::channel(QUEUE);
    let health = Arc::new(WatchHealth::default());
    observer.watches("conntrack", Arc::clone(&health));
    let failed = Arc::new(AtomicBool::new(false));
    let failure = Arc::clone(&failed);
    let barrier = Arc::new(Barrier::default());
    let asked = Arc::clone(&barrier);
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime for conntrack")?;
    let body = move || {
        if let Err(error) = runtime.block_on(conntrack::watch(sender, &health, &asked)) {
            tracing::warn!(error = %crate::failure::one_line(&error), "flows are shown unjoined through NAT");
            failure.store(true, Ordering::Relaxed);
        }
    };
    thread::Builder::new().name("conntrack".into()).spawn(body).context("no thread for conntrack")?;
    Ok(Tracker {
        events,
        table: Table::default(),
        translations: Translations::default(),
        ended: VecDeque::new(),
        ended_at: HashMap::new(),
        dumped: false,
        failed,
        barrier,
    })
}

impl Tracker {
    /// Takes in everything that happened before `now`, or as much of it as is heard within a moment.
    pub(super) async fn hear(&mut self, now: u64) {
        let heard = if self.failed.load(Ordering::Relaxed) {
            now
        } else {
            self.barrier.wait(now, HEARD_WITHIN).await
        };
        self.translations.heard_until(heard);
        self.update(now);
    }

    /// Takes in everything announced so far.
    pub(super) fn update(&mut self, now: u64) {
        // What is announced meanwhile is for the next tick: a source faster than we are must not hold it up.
        for _ in 0..self.events.len() {
            let Ok(event) = self.events.try_recv() else { break };
            self.take(&event, now);
        }
        while let Some((ended, tracked)) = self.ended.front().copied()
            && now.saturating_sub(ended) >= REMEMBERED
        {
            self.ended.pop_front();
            // Unless it began again since.
            if self.ended_at.get(&tracked) == Some(&ended) {
                self.ended_at.remove(&tracked);
                self.translations.remove(&tracked);
            }
        }
        if self.failed.load(Ordering::Relaxed) && !self.translations.is_empty() {
            self.translations.clear();
        }
    }

    /// Whether what was tracked before the agent started is known, or never will be.
    pub(super) fn is_ready(&self) -> bool {
        self.dumped || self.failed.load(Ordering::Relaxed)
    }

    fn take(&mut self, event: &ConntrackEvent, now: u64) {
        self.table.apply(event);
        match event {
            ConntrackEvent::Dumped(found) => {
                found.iter().filter_map(Tracked::of).for_each(|one| self.translations.add(one));
            }
            ConntrackEvent::DumpEnds => {
                self.dumped = true;
                // What ended unannounced goes; what ended a moment ago stays for its moment.
                self.translations.clear();
                self.table.iter().filter_map(Tracked::of).for_each(|one| self.translations.add(one));
                self.ended_at.keys().for_each(|one| self.translations.add(*one));
            }
            ConntrackEvent::Live(Decoded::New(one) | Decoded::Update(one)) => {
                if let Some(tracked) = Tracked::of(one) {
                    self.ended_at.remove(&tracked);
                    self.translations.add(tracked);
                }
            }
            ConntrackEvent::Live(Decoded::Destroy(one)) => {
                if let Some(tracked) = Tracked::of(one) {
                    self.ended_at.insert(tracked, now);
                    self.ended.push_back((now, tracked));
                }
            }
            ConntrackEvent::DumpAborted => self.dumped = true,
            ConntrackEvent::DumpBegins => {}
        }
    }

    /// Translations by tuple.
    pub(super) const fn translations(&self) -> &Translations {
        &self.translations
    }

    /// The state of the source, as metrics name it.
    pub(super) fn state(&self) -> State {
        if self.failed.load(Ordering::Relaxed) {
            ("failing", Some("flows are shown unjoined through NAT".into()))
        } else {
            ("ready", None)
        }
    }
}
