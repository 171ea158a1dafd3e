//! How long a watch waits before it tries again.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use kube::runtime::utils::Backoff;

use crate::runtime::backoff;

/// Pauses of one watch.
#[derive(Debug)]
pub(super) struct Pauses {
    failures: u32,
    since: Option<Instant>,
}

impl Pauses {
    pub(super) const fn new() -> Self {
        Self { failures: 0, since: None }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let silent = self.since.get_or_insert_with(Instant::now).elapsed();
        // Agents of many nodes must not storm an API that has just come back after an hour.
        let longest = if silent < backoff::RECENT { backoff::LONGEST_WHEN_RECENT } else { backoff::LONGEST };
        Some(backoff::delay(self.failures, longest, RandomState::new().hash_one(self.failures)))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = Self::new();
    }
}
