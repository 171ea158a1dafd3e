//! What the API is said to be: each change once to who listens, and in the log once it lasts.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{sync::mpsc::Sender, time::Instant};

use crate::{
    identity::text,
    runtime::{
        backoff::Patience,
        facts::{RuntimeState, cluster::ClusterUpdate},
    },
};

/// A new reason for the same state is worth saying so often.
const RENEW: Duration = Duration::from_secs(30);
/// Longest reason kept, in characters.
const WHY_LIMIT: usize = 240;

/// What was said last.
#[derive(Default)]
pub(super) struct State {
    said: Option<RuntimeState>,
    said_at: Option<Instant>,
    ready_since: Option<Instant>,
    /// Whether the log says that it answers; `None` before it says anything.
    told_ready: Option<bool>,
    patience: Patience,
}

impl State {
    /// Says that it fails, and a new reason for it; whether anybody listens.
    pub(super) async fn failing(&mut self, why: &str, updates: &Sender<ClusterUpdate>) -> bool {
        let why = text::clean_to(why, WHY_LIMIT);
        let is_recent = self.said_at.is_some_and(|at| at.elapsed() < RENEW);
        let since = match &self.said {
            Some(RuntimeState::Unreachable { why: before, .. }) if is_recent || **before == *why => {
                return true;
            }
            Some(RuntimeState::Unreachable { since, .. }) => *since,
            _ => Timestamp::now(),
        };
        let answered = self.ready_since.take().map(|since| since.elapsed()).unwrap_or_default();
        if self.told_ready != Some(false) {
            self.patience.failed_after(answered);
            self.told_ready = Some(false);
            tracing::warn!(%why, "the Kubernetes API does not answer; what it said stays");
        }
        self.tell(RuntimeState::Unreachable { since, why: why.into() }, updates).await
    }

    /// Says that it answers; whether anybody listens.
    pub(super) async fn ready(&mut self, version: &str, updates: &Sender<ClusterUpdate>) -> bool {
        let version = text::clean(version).into();
        let state = RuntimeState::Ready { runtime: "kubernetes".into(), version, api: "v1".into() };
        self.ready_since = Some(Instant::now());
        let listens = self.tell(state, updates).await;
        self.still_ready();
        listens
    }

    /// Whether it is said to answer. Once that has lasted, the log says so.
    pub(super) fn still_ready(&mut self) -> bool {
        let Some(RuntimeState::Ready { version, .. }) = &self.said else { return false };
        let lasts = self.ready_since.is_some_and(|since| since.elapsed() >= self.patience.get());
        if lasts && self.told_ready != Some(true) {
            self.told_ready = Some(true);
            tracing::info!(%version, "the Kubernetes API answers");
        }
        true
    }

    async fn tell(&mut self, state: RuntimeState, updates: &Sender<ClusterUpdate>) -> bool {
        (self.said, self.said_at) = (Some(state.clone()), Some(Instant::now()));
        updates.send(ClusterUpdate::State(state)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, time::advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_new_reason_is_said_after_a_while_and_with_the_same_beginning() {
        let (updates, mut said) = mpsc::channel(16);
        let mut state = State::default();
        state.failing("a", &updates).await;
        state.failing("b", &updates).await;
        let Ok(ClusterUpdate::State(RuntimeState::Unreachable { since: first, why })) = said.try_recv()
        else {
            panic!("failing")
        };
        assert!(&*why == "a" && said.try_recv().is_err(), "one reason after another is no news");
        advance(RENEW).await;
        state.failing("a", &updates).await;
        assert!(said.try_recv().is_err());
        state.failing("b", &updates).await;
        let Ok(ClusterUpdate::State(RuntimeState::Unreachable { since, why })) = said.try_recv() else {
            panic!("failing")
        };
        assert_eq!((since, &*why), (first, "b"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_told_once() {
        let (updates, _said) = mpsc::channel(256);
        let mut state = State::default();
        let mut lines = 0;
        for _ in 0..60 {
            state.ready("1", &updates).await;
            advance(Duration::from_secs(5)).await;
            state.still_ready();
            let before = state.told_ready;
            state.failing("why", &updates).await;
            lines += usize::from(before != state.told_ready);
        }
        assert_eq!(lines, 1);
    }
}
