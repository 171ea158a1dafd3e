//! Children and signals → nobody outlives us: what we started ends when we do, Ctrl-C included.

use std::{
    process::{self, Command, ExitCode, ExitStatus},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{self, SigSet, Signal},
    unistd::Pid,
};

use crate::shell;

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(50);
/// From SIGTERM to SIGKILL: an agent detaches from every interface meanwhile.
const GRACE: Duration = Duration::from_secs(10);

/// The exit status after Ctrl-C, as shells have it.
pub(super) fn interrupted() -> ExitCode {
    ExitCode::from(130)
}

/// SIGINT, SIGTERM and SIGHUP, turned into messages.
pub(super) struct Signals(Receiver<Signal>);

impl Signals {
    /// Call before starting threads and children. Children inherit what is blocked (since Rust 1.66 the standard
    /// library leaves their mask as it is); netobs unblocks what it wants to hear.
    pub(super) fn catch() -> Result<Self> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
        signals.thread_block().context("cannot block signals")?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            while let Ok(signal) = signals.wait() {
                if sender.send(signal).is_err() {
                    return;
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Waits, and says whether a signal cut the wait short.
    pub(super) fn arrive_within(&self, time: Duration) -> bool {
        !matches!(self.0.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

/// How a wait ended.
pub(super) enum Waited {
    /// The child ended by itself.
    Exited(ExitStatus),
    /// A signal came first; the child has been stopped.
    Interrupted,
}

/// A child that is stopped when it is dropped.
pub(super) struct Child(process::Child);

impl Child {
    /// Starts it.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        command.spawn().map(Self).with_context(|| format!("cannot start {}", shell::describe(command)))
    }

    /// Its exit status, if it has ended.
    pub(super) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.0.try_wait().context("cannot wait for a child")
    }

    /// Waits for its end or for a signal.
    pub(super) fn wait(&mut self, signals: &Signals) -> Result<Waited> {
        loop {
            if let Some(status) = self.exited()? {
                return Ok(Waited::Exited(status));
            }
            if signals.arrive_within(POLL) {
                self.stop();
                return Ok(Waited::Interrupted);
            }
        }
    }

    /// SIGTERM, then SIGKILL. Nothing to do if it has ended.
    pub(super) fn stop(&mut self) {
        let until = Instant::now() + GRACE;
        let mut asked = false;
        while let Ok(None) = self.0.try_wait() {
            if !asked {
                asked = self.terminate();
            }
            if Instant::now() > until || !asked {
                // Fails only if it has ended meanwhile, which is what is wanted.
                self.0.kill().unwrap_or_default();
                self.0.wait().map(drop).unwrap_or_default();
                return;
            }
            thread::sleep(POLL);
        }
    }

    fn terminate(&self) -> bool {
        i32::try_from(self.0.id()).is_ok_and(|id| signal::kill(Pid::from_raw(id), Signal::SIGTERM).is_ok())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(script: &str) -> Child {
        Child::start(Command::new("sh").args(["-c", script])).expect("sh starts")
    }

    #[test]
    fn a_stopped_child_is_gone() {
        let mut child = sleeper("sleep 60");
        child.stop();
        assert!(child.exited().expect("it can be waited for").is_some());
    }

    #[test]
    fn a_child_that_ends_is_told_with_its_status() {
        let (_sender, receiver) = mpsc::channel();
        let Ok(Waited::Exited(status)) = sleeper("exit 7").wait(&Signals(receiver)) else {
            panic!("not interrupted")
        };
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn a_signal_ends_the_wait_and_the_child() {
        let (sender, receiver) = mpsc::channel();
        sender.send(Signal::SIGINT).expect("the receiver lives");
        let mut child = sleeper("sleep 60");
        assert!(matches!(child.wait(&Signals(receiver)), Ok(Waited::Interrupted)));
        assert!(child.exited().expect("it can be waited for").is_some());
    }
}
