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
    sync::{mpsc::Sender, oneshot},
    time::{Instant, sleep},
};

use super::{
    backoff::{self, Patience},
    facts::RuntimeState,
    meter::Meter,
};
use crate::identity::text;

/// How often the socket's file is looked at while waiting: a daemon that returns makes a new one.
const LOOK: Duration = Duration::from_millis(500);
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

    /// Who listens there says that it has nothing of what is asked for: whether another is to be asked at once.
    fn passes_over(&self, _socket: &Path) -> bool {
        false
    }

    /// The update that speaks of its state.
    fn state(state: RuntimeState) -> Self::Update;

    /// One session, until it breaks. `ready` is told the runtime's version once, after everything was sent; `meter`,
    /// which measures it, measures its tasks, and is told when what was asked was of use.
    fn session(
        &self,
        socket: &Path,
        updates: &Sender<Self::Update>,
        meter: &Meter,
        ready: impl FnOnce(&str) + Send,
    ) -> impl Future<Output = End> + Send;
}

/// Follows a source until nobody listens to `updates` any more.
///
/// After a failure it waits 1 s, doubling up to 60 s (3 s for a runtime that answered within the last ten
/// minutes), and longer where what was answered in vain took long to read; or until the socket's file is made anew.
pub async fn follow<S: Source>(source: S, updates: Sender<S::Update>) {
    let mut failures = 0_u32;
    let mut last_good: Option<Instant> = None;
    let mut last_state: Option<RuntimeState> = None;
    let meter = Meter::default();
    let mut teller = Teller::new(S::WHAT, source.socket());
    loop {
        let socket = source.socket();
        teller.socket.clone_from(&socket);
        let file = SocketFile::read(&socket);
        let (began, before) = (Instant::now(), meter.spent());
        let (answers, answered) = oneshot::channel();
        let ended = {
            let ready = |version: &str| drop(answers.send(version.to_owned()));
            let session = source.session(&socket, &updates, &meter, ready);
            teller.while_it_lasts(meter.time(session), answered).await
        };
        let (error, offered) = match ended.end {
            End::NobodyListens => return,
            End::Failed(error) => (error, true),
            End::NotOffered(_) if source.passes_over(&socket) => continue,
            End::NotOffered(error) => (error, false),
        };
        let was_ready = ended.answered.is_some();
        // Of what does not last, nothing was of use.
        let mut in_vain = meter.spent().saturating_sub(before);
        if was_ready && began.elapsed() >= backoff::GOOD {
            last_good = Some(Instant::now());
            failures = 0;
            in_vain = in_vain.min(meter.in_vain());
        }
        failures = failures.saturating_add(1);
        let absent = !offered || is_absent(&error);
        let failure = if absent { Failure::Absent } else { Failure::Unreachable };
        let why = text::clean_to(&format!("{error:#}"), WHY_LIMIT);
        let state = teller.failed(failure, &why, ended.answered.unwrap_or_default());
        if last_state.as_ref() != Some(&state) || was_ready {
            if updates.send(S::state(state.clone())).await.is_err() {
                return;
            }
            last_state = Some(state);
        }
        let recent = last_good.is_some_and(|at| at.elapsed() < backoff::RECENT);
        let longest = if recent { backoff::LONGEST_WHEN_RECENT } else { backoff::LONGEST };
        // Another one may be next, whose file is another from the start.
        let next = source.socket();
        let file = if next == socket { file } else { SocketFile::read(&next) };
        let wait = backoff::delay(failures, longest, RandomState::new().hash_one(failures));
        let wait = wait.max(backoff::rest(in_vain));
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

/// Says what changed, once: one line per change of state, however often it is tried; and none for a state that does
/// not last.
struct Teller {
    what: &'static str,
    socket: PathBuf,
    /// `None` before the first try and while it is told that it answers.
    told: Option<Told>,
    patience: Patience,
}

/// What was said of a runtime that does not answer.
#[derive(Clone, Copy)]
struct Told {
    failure: Failure,
    since: Timestamp,
    /// Whether the other failure was told of before.
    changed: bool,
}

/// What became of a session.
struct Ended {
    end: End,
    /// For how long it answered, if it did.
    answered: Option<Duration>,
}

impl Teller {
    fn new(what: &'static str, socket: PathBuf) -> Self {
        Self { what, socket, told: None, patience: Patience::default() }
    }

    /// Runs a session, and tells that the runtime answers once that has lasted.
    async fn while_it_lasts(
        &mut self,
        session: impl Future<Output = End>,
        mut answered: oneshot::Receiver<String>,
    ) -> Ended {
        let mut session = std::pin::pin!(session);
        let version = tokio::select! {
            biased;
            Ok(version) = &mut answered => version,
            end = &mut session => {
                return Ended { end, answered: answered.try_recv().ok().map(|_| Duration::ZERO) };
            }
        };
        let since = Instant::now();
        tokio::select! {
            biased;
            () = sleep(self.patience.get()) => {
                self.told = None;
                tracing::info!(socket = %self.socket.display(), version, "{} answers", self.what);
            }
            end = &mut session => return Ended { end, answered: Some(since.elapsed()) },
        }
        let end = session.await;
        Ended { end, answered: Some(since.elapsed()) }
    }

    fn failed(&mut self, failure: Failure, why: &str, answered: Duration) -> RuntimeState {
        let before = self.told.take();
        let told = match before {
            Some(told) if told.failure == failure => told,
            // One that comes and goes with its socket is told of once, too.
            Some(told) if told.changed => Told { failure, since: Timestamp::now(), changed: true },
            _ => {
                if before.is_none() {
                    self.patience.failed_after(answered);
                }
                let (socket, what) = (self.socket.display(), self.what);
                match failure {
                    Failure::Absent => tracing::info!(%socket, why, "no {what}"),
                    Failure::Unreachable => tracing::warn!(%socket, why, "{what} does not answer"),
                }
                Told { failure, since: Timestamp::now(), changed: before.is_some() }
            }
        };
        self.told = Some(told);
        let since = told.since;
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
    pub(super) fn read(socket: &Path) -> Self {
        let found = std::fs::metadata(socket).ok();
        Self(found.map(|file| (file.dev(), file.ino(), file.ctime(), file.ctime_nsec())))
    }

    /// Whether there is one.
    pub(super) const fn exists(self) -> bool {
        self.0.is_some()
    }

    /// Waits until there is another file than this one.
    pub(super) async fn made_anew(self, source: &impl Source) {
        loop {
            sleep(LOOK).await;
            let now = Self::read(&source.socket());
            if now.exists() && now != self {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use tokio::sync::mpsc;

    use super::*;

    /// A runtime that answers for so long and then breaks, again and again.
    #[derive(Default)]
    struct Breaks {
        after: Duration,
        /// What each session costs, and whether that was of use.
        costs: Duration,
        is_of_use: bool,
        asked: Arc<AtomicUsize>,
    }

    impl Source for Breaks {
        type Update = RuntimeState;

        const WHAT: &'static str = "runtime";

        fn socket(&self) -> PathBuf {
            "/nonexistent".into()
        }

        fn state(state: RuntimeState) -> RuntimeState {
            state
        }

        async fn session(
            &self,
            _: &Path,
            updates: &Sender<RuntimeState>,
            meter: &Meter,
            ready: impl FnOnce(&str) + Send,
        ) -> End {
            let state = RuntimeState::Ready { runtime: "x".into(), version: "1".into(), api: "1".into() };
            drop(updates.send(state).await);
            ready("1");
            self.asked.fetch_add(1, Ordering::Relaxed);
            meter.add(self.costs);
            if self.is_of_use {
                meter.is_of_use();
            }
            sleep(self.after).await;
            End::Failed(anyhow::anyhow!("broken"))
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is in the log after an hour, and the states said.
    async fn an_hour_of(after: Duration) -> (Vec<String>, Vec<RuntimeState>) {
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _here = tracing::subscriber::set_default(lines);
        let (sender, mut receiver) = mpsc::channel(16);
        let mut states = Vec::new();
        tokio::select! {
            () = follow(Breaks { after, ..Breaks::default() }, sender) => {}
            () = async { while let Some(state) = receiver.recv().await { states.push(state) } } => {}
            () = sleep(Duration::from_secs(3_600)) => {}
        }
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        (text.lines().map(str::to_owned).collect(), states)
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_whose_sessions_end_at_once_is_told_of_once() {
        let (lines, states) = an_hour_of(Duration::ZERO).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("does not answer"), "{lines:?}");
        assert!(matches!(states.last(), Some(RuntimeState::Unreachable { .. })), "{states:?}");
    }

    /// How often one is asked within an hour that breaks after so long, each time at such a cost.
    async fn asked_in_an_hour(after: Duration, costs: Duration, is_of_use: bool) -> usize {
        let source = Breaks { after, costs, is_of_use, asked: Arc::default() };
        let (asked, (sender, mut receiver)) = (Arc::clone(&source.asked), mpsc::channel(16));
        tokio::select! {
            () = follow(source, sender) => {}
            () = async { while receiver.recv().await.is_some() {} } => {}
            () = sleep(Duration::from_secs(3_600)) => {}
        }
        asked.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_a_failure_costs_the_less_often_it_is_risked() {
        let (cheap, dear) = (Duration::from_micros(100), Duration::from_millis(500));
        let asked = asked_in_an_hour(Duration::ZERO, dear, false).await;
        assert!((5..=19).contains(&asked), "{asked} times: half a second of 200");
        let asked = asked_in_an_hour(Duration::ZERO, dear, true).await;
        assert!((5..=19).contains(&asked), "{asked} times: what does not last was of no use");
        for (costs, is_of_use) in [(cheap, false), (dear, true)] {
            let asked = asked_in_an_hour(Duration::from_secs(60), costs, is_of_use).await;
            assert!(asked >= 55, "{asked} times: known again within seconds");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_comes_and_goes_fills_no_log() {
        for seconds in [1, 9, 11, 50, 120] {
            let (lines, _) = an_hour_of(Duration::from_secs(seconds)).await;
            assert!(lines.len() <= 14, "{seconds} s: {} lines", lines.len());
            assert!(lines[0].contains("answers") && lines[1].contains("does not answer"), "{lines:?}");
        }
    }
}
