//! Conntrack's events on a thread of their own, so that what happened before a reading is known when the
//! reading is judged, however long a tick takes.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};
use tokio::{runtime::Builder, sync::mpsc};

use super::observer::Observer;
use crate::{
    flow::translation::{Tracked, Translations},
    host::{
        conntrack::{self, ConntrackEvent, Decoded, Table},
        health::WatchHealth,
    },
};

/// Events under way between the threads; a full channel makes the kernel's buffer fill, which is counted.
const QUEUE: usize = 65_536;
/// How long an ended connection is remembered: its packets may be in a reading that is not judged yet.
const REMEMBERED: u64 = 5_000_000_000;

/// What is tracked, brought up to date at each tick.
pub(super) struct Tracker {
    events: mpsc::Receiver<ConntrackEvent>,
    table: Table,
    translations: Translations,
    ended: VecDeque<(u64, Tracked)>,
    failed: Arc<AtomicBool>,
}

/// Starts to listen.
pub(super) fn start(observer: &mut Observer) -> Result<Tracker> {
    let (sender, events) = mpsc::channel(QUEUE);
    let health = Arc::new(WatchHealth::default());
    observer.watches("conntrack", Arc::clone(&health));
    let failed = Arc::new(AtomicBool::new(false));
    let failure = Arc::clone(&failed);
    let runtime = Builder::new_current_thread().enable_all().build().context("no runtime for conntrack")?;
    let body = move || {
        if let Err(error) = runtime.block_on(conntrack::watch(sender, &health)) {
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
        failed,
    })
}

impl Tracker {
    /// Takes in everything announced so far.
    pub(super) fn update(&mut self, now: u64) {
        while let Ok(event) = self.events.try_recv() {
            self.take(&event, now);
        }
        while let Some((ended, _)) = self.ended.front()
            && now.saturating_sub(*ended) >= REMEMBERED
        {
            let Some((_, tracked)) = self.ended.pop_front() else { break };
            self.translations.remove(&tracked);
        }
    }

    fn take(&mut self, event: &ConntrackEvent, now: u64) {
        self.table.apply(event);
        match event {
            ConntrackEvent::Dumped(found) => {
                found.iter().filter_map(Tracked::of).for_each(|one| self.translations.add(one));
            }
            ConntrackEvent::DumpEnds => {
                // What ended unannounced goes; what ended a moment ago stays for its moment.
                self.translations.clear();
                self.table.iter().filter_map(Tracked::of).for_each(|one| self.translations.add(one));
                self.ended.iter().for_each(|(_, one)| self.translations.add(*one));
            }
            ConntrackEvent::Live(Decoded::New(one) | Decoded::Update(one)) => {
                if let Some(tracked) = Tracked::of(one) {
                    self.ended.retain(|(_, ended)| *ended != tracked);
                    self.translations.add(tracked);
                }
            }
            ConntrackEvent::Live(Decoded::Destroy(one)) => {
                self.ended.extend(Tracked::of(one).map(|tracked| (now, tracked)));
            }
            ConntrackEvent::DumpBegins | ConntrackEvent::DumpAborted => {}
        }
    }

    /// Translations by tuple.
    pub(super) const fn translations(&self) -> &Translations {
        &self.translations
    }

    /// The state of the source, as metrics name it.
    pub(super) fn state(&self) -> &'static str {
        if self.failed.load(Ordering::Relaxed) { "failing" } else { "ready" }
    }
}
