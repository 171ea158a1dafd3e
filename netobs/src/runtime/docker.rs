//! The Engine API (Docker, podman) at a unix socket → a stream of updates that never ends: containers,
//! and whether the runtime answers. Whatever is behind the socket, this waits, bounds and says so once.

mod convert;
mod events;
#[cfg(test)]
mod fixtures;
mod http;
mod session;
mod wire;

use std::{
    hash::{BuildHasher, RandomState},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    fs,
    sync::mpsc::Sender,
    time::{Instant, sleep},
};

use self::session::{End, Session};
use super::{
    backoff,
    facts::{RuntimeState, RuntimeUpdate},
};
use crate::identity::text;

/// How often the socket's file is looked at while waiting: a daemon that returns makes a new one.
const LOOK: Duration = Duration::from_millis(500);
/// A session that lasted this long was a good one.
const GOOD_SESSION: Duration = Duration::from_secs(10);
/// Longest reason kept, in characters.
const WHY_LIMIT: usize = 240;

/// Follows the runtime at `socket` until nobody listens to `updates` any more.
///
/// Every call is limited to 2 s and a number of bytes. After a failure it waits 1 s, doubling up to 60 s
/// (3 s for a runtime that answered within the last two minutes), or until the socket's file is made anew.
pub async fn watch(socket: PathBuf, updates: Sender<RuntimeUpdate>) {
    let mut failures = 0_u32;
    let mut last_good: Option<Instant> = None;
    let mut last_state: Option<RuntimeState> = None;
    let mut teller = Teller { socket: socket.clone(), told: None };
    loop {
        let file = SocketFile::read(&socket).await;
        let began = Instant::now();
        let mut was_ready = false;
        let end = Session::run(&socket, &updates, |dialect| {
            was_ready = true;
            teller.ready(&dialect.version);
        })
        .await;
        let error = match end {
            End::NobodyListens => return,
            End::Failed(error) => error,
        };
        if was_ready && began.elapsed() >= GOOD_SESSION {
            last_good = Some(Instant::now());
            failures = 0;
        }
        failures = failures.saturating_add(1);
        let state = if is_absent(&error) { Failure::Absent } else { Failure::Unreachable };
        let why = text::clean_to(&format!("{error:#}"), WHY_LIMIT);
        let state = teller.failed(state, &why);
        if last_state.as_ref() != Some(&state) || was_ready {
            if updates.send(RuntimeUpdate::State(state.clone())).await.is_err() {
                return;
            }
            last_state = Some(state);
        }
        let recent = last_good.is_some_and(|at| at.elapsed() < backoff::RECENT);
        let longest = if recent { backoff::LONGEST_WHEN_RECENT } else { backoff::LONGEST };
        let wait = backoff::delay(failures, longest, RandomState::new().hash_one(failures));
        tokio::select! {
            () = sleep(wait) => {}
            () = file.made_anew(&socket) => {
                failures = 0;
                last_good = Some(Instant::now());
            }
            () = updates.closed() => return,
        }
    }
}

/// Whether an attempt failed because there is no socket at all.
fn is_absent(error: &anyhow::Error) -> bool {
    let kind =
        error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    kind == Some(ErrorKind::NotFound)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Absent,
    Unreachable,
}

/// Says what changed, once: one line per change of state, however often it is tried.
struct Teller {
    socket: PathBuf,
    /// `None` before the first try and while ready.
    told: Option<(Failure, Timestamp)>,
}

impl Teller {
    fn ready(&mut self, version: &str) {
        self.told = None;
        tracing::info!(socket = %self.socket.display(), version, "container runtime answers");
    }

    fn failed(&mut self, failure: Failure, why: &str) -> RuntimeState {
        let since = match self.told {
            Some((before, since)) if before == failure => since,
            _ => {
                let socket = self.socket.display();
                match failure {
                    Failure::Absent => tracing::info!(%socket, "no container runtime socket"),
                    Failure::Unreachable => tracing::warn!(%socket, why, "container runtime does not answer"),
                }
                Timestamp::now()
            }
        };
        self.told = Some((failure, since));
        match failure {
            Failure::Absent => RuntimeState::Absent { since },
            Failure::Unreachable => RuntimeState::Unreachable { since, why: why.into() },
        }
    }
}

/// What tells one socket's file from its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SocketFile(Option<(u64, u64, i64, i64)>);

impl SocketFile {
    async fn read(socket: &Path) -> Self {
        let found = fs::metadata(socket).await.ok();
        Self(found.map(|file| (file.dev(), file.ino(), file.ctime(), file.ctime_nsec())))
    }

    /// Waits until there is another file than this one.
    async fn made_anew(self, socket: &Path) {
        loop {
            sleep(LOOK).await;
            let now = Self::read(socket).await;
            if now.0.is_some() && now != self {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "docker/tests.rs"]
mod tests;
