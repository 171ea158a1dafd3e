//! How long a watch waits before it tries again.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use kube::runtime::utils::Backoff;

use super::bounded::Oversized;
use crate::runtime::backoff;

/// The pause after an answer too large to be taken in, of which chance takes up to half away: it does not become
/// smaller by itself, and to refuse it costs as much as to read it.
const OVERSIZED: Duration = Duration::from_secs(300);

/// Pauses of one watch.
#[derive(Debug)]
pub(super) struct Pauses {
    failures: u32,
    since: Option<Instant>,
    kind: &'static str,
    oversized: Arc<Oversized>,
}

impl Pauses {
    pub(super) const fn new(kind: &'static str, oversized: Arc<Oversized>) -> Self {
        Self { failures: 0, since: None, kind, oversized }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let silent = self.since.get_or_insert_with(Instant::now).elapsed();
        let random = RandomState::new().hash_one(self.failures);
        if self.oversized.is(self.kind) {
            return Some(backoff::delay(u32::MAX, OVERSIZED, random));
        }
        // Agents of many nodes must not storm an API that has just come back after an hour.
        let longest = if silent < backoff::RECENT { backoff::LONGEST_WHEN_RECENT } else { backoff::LONGEST };
        Some(backoff::delay(self.failures, longest, random))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        (self.failures, self.since) = (0, None);
        self.oversized.set(self.kind, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_too_large_is_not_asked_for_again_soon() {
        let oversized = Arc::new(Oversized::default());
        let mut pauses = Pauses::new("pods", Arc::clone(&oversized));
        oversized.set("nodes", true);
        assert!(pauses.by_ref().take(9).all(|pause| pause <= backoff::LONGEST_WHEN_RECENT));
        oversized.set("pods", true);
        assert!(pauses.next().is_some_and(|pause| pause >= OVERSIZED / 2));
        pauses.reset();
        assert!(!oversized.is("pods") && oversized.is("nodes"), "each kind for itself");
        assert!(pauses.next().is_some_and(|pause| pause <= backoff::LONGEST_WHEN_RECENT));
    }
}
