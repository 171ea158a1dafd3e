//! How long a watch waits before it tries again, as the library asks for it.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use kube::runtime::utils::Backoff;
use tokio::time::Instant;

use super::health::Health;

/// Pauses of one watch.
#[derive(Debug)]
pub(super) struct Pauses {
    kind: &'static str,
    health: Arc<Health>,
}

impl Pauses {
    pub(super) const fn new(kind: &'static str, health: Arc<Health>) -> Self {
        Self { kind, health }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        Some(self.health.pause(self.kind, now, RandomState::new().hash_one(self.kind)))
    }
}

impl Backoff for Pauses {
    /// Asked for at every item, also at the one that says that a list is about to be asked for, and never when a
    /// watch is open: what went well is noted elsewhere.
    fn reset(&mut self) {}
}
