//! SIGTERM, SIGINT or a failing part → everybody who waits knows that it is time to stop.

use std::sync::Arc;

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// A flag that is raised once. Every clone sees it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    raise: Arc<watch::Sender<bool>>,
    raised: watch::Receiver<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        let (raise, raised) = watch::channel(false);
        Self { raise: Arc::new(raise), raised }
    }
}

impl Shutdown {
    /// Tells everybody to stop. May be called again.
    pub fn trigger(&self) {
        self.raise.send_replace(true);
    }

    /// Whether it is time to stop.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.raised.borrow()
    }

    /// Returns once it is time to stop. Safe to cancel, returns at once if it was time before.
    pub async fn wait(&self) {
        let mut raised = self.raised.clone();
        // The sender cannot be gone: `self` holds it.
        while !*raised.borrow_and_update() {
            if raised.changed().await.is_err() {
                return;
            }
        }
    }

    /// Unblocks the signals that end netobs. A parent may have blocked them for itself, and children inherit that:
    /// a daemon deaf to SIGTERM would be killed, and leave its socket behind. Call before threads are started.
    ///
    /// # Errors
    /// Never by a kernel that knows these signals.
    pub fn unblock() -> anyhow::Result<()> {
        SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP])
            .thread_unblock()
            .context("signals cannot be unblocked")
    }

    /// Raises the flag at the first SIGTERM or SIGINT and leaves the process at the second, so that a part
    /// that hangs cannot keep it alive. A thread of its own waits: whatever blocks, signals are heard.
    ///
    /// # Errors
    /// If the kernel refuses the handlers or the thread.
    pub fn on_signals(&self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build().context("no runtime for signals")?;
        let entered = runtime.enter();
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
        drop(entered);
        let shutdown = self.clone();
        let wait = async move {
            tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
            shutdown.trigger();
            tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
            std::process::exit(130);
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || runtime.block_on(wait)).context("no thread for signals")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clone_made_before_or_after_sees_the_flag() {
        let shutdown = Shutdown::default();
        let before = shutdown.clone();
        assert!(!before.is_triggered());
        shutdown.trigger();
        before.wait().await;
        shutdown.clone().wait().await;
        assert!(before.is_triggered());
    }
}
