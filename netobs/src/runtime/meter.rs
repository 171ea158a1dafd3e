//! What is done for a source → the processor time that it takes: what an answer cost does not show in its size, nor in
//! how long it took.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};

/// Counts for one source; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Readings>);

/// In nanoseconds.
#[derive(Debug, Default)]
struct Readings {
    spent: AtomicU64,
    /// What had been spent when something of use came of it.
    of_use: AtomicU64,
}

impl Meter {
    /// Runs a future, which must hold none that is measured by itself.
    pub async fn time<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| self.poll(|| future.as_mut().poll(context))).await
    }

    /// Runs one step of something.
    pub fn poll<T>(&self, step: impl FnOnce() -> T) -> T {
        let began = thread_time();
        let done = step();
        self.add(thread_time().saturating_sub(began));
        done
    }

    /// Counts what was done elsewhere.
    pub fn add(&self, spent: Duration) {
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.0.spent.fetch_add(spent, Ordering::Relaxed);
    }

    /// Everything so far, up to the last step that ended.
    #[must_use]
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.0.spent.load(Ordering::Relaxed))
    }

    /// What was spent so far was of use.
    pub fn is_of_use(&self) {
        self.0.of_use.store(self.0.spent.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// As [`Self::is_of_use`], the step included that is being measured.
    pub async fn step_is_of_use(&self) {
        tokio::task::yield_now().await;
        self.is_of_use();
    }

    /// What was spent since then.
    #[must_use]
    pub fn in_vain(&self) -> Duration {
        let of_use = Duration::from_nanos(self.0.of_use.load(Ordering::Relaxed));
        self.spent().saturating_sub(of_use)
    }
}

/// A library's own tasks for a source are measured, too.
impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Meter {
    fn execute(&self, future: F) {
        let meter = self.clone();
        tokio::spawn(async move { meter.time(future).await });
    }
}

/// Nothing is spent where there is no such clock.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    fn work() {
        let began = thread_time();
        while thread_time() - began < Duration::from_millis(5) {}
    }

    #[tokio::test]
    async fn work_is_counted_and_waiting_is_not() {
        let meter = Meter::default();
        meter
            .time(async {
                work();
                sleep(Duration::from_millis(300)).await;
                work();
            })
            .await;
        let spent = meter.spent();
        assert!(spent >= Duration::from_millis(10) && spent < Duration::from_millis(200), "{spent:?}");
    }

    #[tokio::test]
    async fn what_was_of_use_was_not_in_vain() {
        let meter = Meter::default();
        let of_use = meter.clone();
        meter
            .time(async move {
                work();
                of_use.step_is_of_use().await;
            })
            .await;
        assert!(meter.in_vain() < Duration::from_millis(5), "{:?}", meter.in_vain());
        meter.add(Duration::from_secs(1));
        assert!(meter.in_vain() >= Duration::from_secs(1));
    }
}
