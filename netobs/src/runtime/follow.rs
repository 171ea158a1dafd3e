//! A runtime behind a unix socket, asked for as long as anybody listens: sessions, pauses, and one log line for
//! each change of its state. What is said in a session is the [`Source`]'s business.

use std::{
    future::Future,
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

use super::{backoff, facts::RuntimeState};
use crate::identity::text;

/// How often the socket's file is looked at while waiting: a daemon that returns makes a new one.
const LOOK: Duration = Duration::from_millis(500);
/// A session that lasted this long was a good one.
const GOOD_SESSION: Duration = Duration::from_secs(10);
/// Longest reason kept, in characters.
const WHY_LIMIT: usize = 240;

/// Why a session ended.
#[derive(Debug)]
pub enum End {
    /// Nobody listens to the updates any more.
    NobodyListens,
    /// The runtime failed us.
    Failed(anyhow::Error),
    /// The runtime answers, and says that it has nothing of what is asked for.
    NotOffered(anyhow::Error),
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// What can be followed.
pub trait Source: Send + Sync {
    /// What it says.
    type Update: Send;

    /// The word for it in the log.
    const WHAT: &'static str;

    /// Where it listens. Asked before each session.
    fn socket(&self) -> PathBuf;

    /// The update that speaks of its state.
    fn state(state: RuntimeState) -> Self::Update;

    /// One session, until it breaks. `ready` is told the runtime's version once, after everything was sent.
    fn session(
        &self,
        socket: &Path,
        updates: &Sender<Self::Update>,
        ready: impl FnOnce(&str) + Send,
    ) -> impl Future<Output = End> + Send;
}

/// Follows a source until nobody listens to `updates` any more.
///
/// After a failure it waits 1 s, doubling up to 60 s (3 s for a runtime that answered within the last two
/// minutes), or until the socket's file is made anew.
pub async fn follow<S: Source>(source: S, updates: Sender<S::Update>) {
    let mut failures = 0_u32;
    let mut last_good: Option<Instant> = None;
    let mut last_state: Option<RuntimeState> = None;
    let mut teller = Teller { what: S::WHAT, socket: source.socket(), told: None };
    loop {
        let socket = source.socket();
        teller.socket.clone_from(&socket);
        let file = SocketFile::read(&socket).await;
        let began = Instant::now();
        let mut was_ready = false;
        let end = source
            .session(&socket, &updates, |version| {
                was_ready = true;
                teller.ready(version);
            })
            .await;
        let (error, offered) = match end {
            End::NobodyListens => return,
            End::Failed(error) => (error, true),
            End::NotOffered(error) => (error, false),
        };
        if was_ready && began.elapsed() >= GOOD_SESSION {
            last_good = Some(Instant::now());
            failures = 0;
        }
        failures = failures.saturating_add(1);
        let absent = !offered || is_absent(&error);
        let failure = if absent { Failure::Absent } else { Failure::Unreachable };
        let why = text::clean_to(&format!("{error:#}"), WHY_LIMIT);
        let state = teller.failed(failure, &why);
        if last_state.as_ref() != Some(&state) || was_ready {
            if updates.send(S::state(state.clone())).await.is_err() {
                return;
            }
            last_state = Some(state);
        }
        let recent = last_good.is_some_and(|at| at.elapsed() < backoff::RECENT);
        let longest = if recent { backoff::LONGEST_WHEN_RECENT } else { backoff::LONGEST };
        let wait = backoff::delay(failures, longest, RandomState::new().hash_one(failures));
        tokio::select! {
            () = sleep(wait) => {}
            () = file.made_anew(&source) => {
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
    what: &'static str,
    socket: PathBuf,
    /// `None` before the first try and while ready.
    told: Option<(Failure, Timestamp)>,
}

impl Teller {
    fn ready(&mut self, version: &str) {
        self.told = None;
        tracing::info!(socket = %self.socket.display(), version, "{} answers", self.what);
    }

    fn failed(&mut self, failure: Failure, why: &str) -> RuntimeState {
        let since = match self.told {
            Some((before, since)) if before == failure => since,
            _ => {
                let (socket, what) = (self.socket.display(), self.what);
                match failure {
                    Failure::Absent => tracing::info!(%socket, why, "no {what}"),
                    Failure::Unreachable => tracing::warn!(%socket, why, "{what} does not answer"),
                }
                Timestamp::now()
            }
        };
        self.told = Some((failure, since));
        match failure {
            Failure::Absent => RuntimeState::Absent { since, why: why.into() },
            Failure::Unreachable => RuntimeState::Unreachable { since, why: why.into() },
        }
    }
}

/// What tells one socket's file from its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketFile(Option<(u64, u64, i64, i64)>);

impl SocketFile {
    pub(super) async fn read(socket: &Path) -> Self {
        let found = fs::metadata(socket).await.ok();
        Self(found.map(|file| (file.dev(), file.ino(), file.ctime(), file.ctime_nsec())))
    }

    /// Waits until there is another file than this one.
    pub(super) async fn made_anew(self, source: &impl Source) {
        loop {
            sleep(LOOK).await;
            let now = Self::read(&source.socket()).await;
            if now.0.is_some() && now != self {
                return;
            }
        }
    }
}
