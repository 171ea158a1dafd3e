//! How each kind of object fares at the API → pauses between tries, and what is wrong. Takes time as an argument.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::runtime::{backoff, meter::Meter};

/// What is listed and watched, by the plural in its path.
pub(super) const KINDS: [&str; 5] = ["pods", "nodes", "services", "endpointslices", "namespaces"];
/// The pause after an answer too large to be taken in, of which chance takes up to half away: it does not become
/// smaller by itself, and to refuse it costs as much as to read it.
const OVERSIZED: Duration = Duration::from_secs(300);
/// What is done for a byte before it is looked at, by tasks that all kinds share: reading, deciphering, copying. TLS
/// with AES takes most of it.
const PER_BYTE: Duration = Duration::from_nanos(4);
/// An API that gives no head of an answer to a watch by then does not answer. A program that is asked for credentials
/// anew holds up every question until it ends.
const SLOW: Duration = Duration::from_secs(20);
/// So often may something break soon after it was well before that is held against it until it lasts.
const BREAKS: u32 = 2;
/// Credentials refused for so long are read anew.
const UNAUTHORIZED: Duration = Duration::from_secs(30);

/// One kind.
#[derive(Debug, Default)]
struct Kind {
    /// Failures since it last was well for long, and when the first was.
    failures: u32,
    failing_since: Option<Instant>,
    /// Since when there is a whole list, or an open watch.
    well_since: Option<Instant>,
    /// How often it was well and did not last.
    breaks: u32,
    /// What is wrong, until it is well.
    trouble: Option<String>,
    /// Since when our credentials are refused.
    unauthorized_since: Option<Instant>,
    /// Whether an answer was too large to be taken in.
    oversized: bool,
    /// Since when a question waits for the head of its answer.
    asked_at: Option<Instant>,
    /// When its watch was opened, unless something failed since.
    opened_at: Option<Instant>,
    /// What it costs, and what it had cost when it failed last.
    meter: Meter,
    paid: Duration,
}

impl Kind {
    fn lasts(&self, now: Instant) -> bool {
        self.well_since.is_some_and(|since| now.saturating_duration_since(since) >= backoff::GOOD)
    }
}

/// What went wrong with a list or a watch.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: String,
    /// Whether nothing came about, or something broke, which is no news if it is soon made good.
    pub(super) breaks: bool,
    pub(super) unauthorized: bool,
}

/// All kinds.
#[derive(Debug, Default)]
pub(super) struct Health {
    kinds: Mutex<[Kind; KINDS.len()]>,
    /// No list is asked for before: what is wrong with one may be so with all, and each costs as much.
    lists_rest_until: Mutex<Option<Instant>>,
    better: Notify,
}

impl Health {
    fn with<T>(&self, kind: &str, act: impl FnOnce(&mut Kind) -> T) -> Option<T> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        KINDS.iter().zip(&mut *kinds).find(|(name, _)| **name == kind).map(|(_, kind)| act(kind))
    }

    /// What measures the cost of a kind.
    pub(super) fn meter(&self, kind: &str) -> Meter {
        self.with(kind, |kind| kind.meter.clone()).unwrap_or_default()
    }

    /// So much was read.
    pub(super) fn read(&self, kind: &str, bytes: usize) {
        let cost = PER_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.with(kind, |kind| kind.meter.add(cost));
    }

    /// A watch was asked for.
    pub(super) fn asked(&self, kind: &str, now: Instant) {
        self.with(kind, |kind| kind.asked_at = Some(now));
    }

    /// A watch is open.
    pub(super) fn opened(&self, kind: &str, now: Instant) {
        self.with(kind, |kind| kind.opened_at = Some(now));
        self.is_well(kind, now);
    }

    /// How long to wait before a watch is asked for. One that ended soon and without an error is asked for again at
    /// once by the library, which takes the end of a connection in the middle of an answer for such an end.
    pub(super) fn before_watch(&self, kind: &str, now: Instant, random: u64) -> Duration {
        let soon = |at: Instant| now.saturating_duration_since(at) < backoff::GOOD;
        if self.with(kind, |kind| kind.opened_at.is_some_and(soon)) != Some(true) {
            return Duration::ZERO;
        }
        let pause = self.pause(kind, now, random);
        let why = "a watch ends as soon as it is open".into();
        self.failed(kind, now, Failure { why, breaks: true, unauthorized: false });
        pause
    }

    /// It is answered, well or not.
    pub(super) fn answered(&self, kind: &str) {
        self.with(kind, |kind| kind.asked_at = None);
    }

    /// A list is whole, a watch is open, or something was heard by it.
    pub(super) fn is_well(&self, kind: &str, now: Instant) {
        let better = self.with(kind, |kind| {
            let was = kind.well_since.replace(kind.well_since.unwrap_or(now));
            kind.oversized = false;
            kind.meter.is_of_use();
            kind.unauthorized_since = None;
            if kind.breaks < BREAKS {
                kind.trouble = None;
            }
            was.is_none()
        });
        if better == Some(true) {
            self.better.notify_one();
        }
    }

    /// Waits until something is well that was not.
    pub(super) async fn better(&self) {
        self.better.notified().await;
    }

    /// An answer was too large to be taken in.
    pub(super) fn oversized(&self, kind: &str) {
        self.with(kind, |kind| kind.oversized = true);
    }

    /// It failed: how long to wait before it is tried again. Only what was well for long begins anew.
    pub(super) fn pause(&self, kind: &str, now: Instant, random: u64) -> Duration {
        let pause = self.with(kind, |kind| {
            let spent = kind.meter.spent();
            // Of what does not last, nothing was of use.
            let mut in_vain = spent.saturating_sub(std::mem::replace(&mut kind.paid, spent));
            if kind.lasts(now) {
                in_vain = in_vain.min(kind.meter.in_vain());
                (kind.failures, kind.failing_since, kind.breaks) = (0, None, 0);
            } else if kind.well_since.is_some() {
                kind.breaks = kind.breaks.saturating_add(1);
            }
            kind.well_since = None;
            kind.failures = kind.failures.saturating_add(1);
            let failing = now.saturating_duration_since(*kind.failing_since.get_or_insert(now));
            (kind.asked_at, kind.opened_at) = (None, None);
            // All kinds share what one source may cost.
            let rest = KINDS.iter().fold(Duration::ZERO, |sum, _| sum.saturating_add(backoff::rest(in_vain)));
            if kind.oversized {
                return (backoff::delay(u32::MAX, OVERSIZED, random).max(rest), in_vain);
            }
            // Agents of many nodes must not storm an API that has just come back after an hour.
            let longest =
                if failing < backoff::RECENT { backoff::LONGEST_WHEN_RECENT } else { backoff::LONGEST };
            (backoff::delay(kind.failures, longest, random).max(rest), in_vain)
        });
        let (pause, in_vain) = pause.unwrap_or((backoff::LONGEST, Duration::ZERO));
        let mut until = self.lists_rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(now.checked_add(backoff::rest(in_vain)));
        pause
    }

    /// When the next list may be asked for.
    pub(super) fn lists_rest_until(&self) -> Option<Instant> {
        *self.lists_rest_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be said of a failure, after [`Self::pause`].
    pub(super) fn failed(&self, kind: &str, now: Instant, failure: Failure) {
        self.with(kind, |kind| {
            if failure.unauthorized {
                kind.unauthorized_since.get_or_insert(now);
            }
            // An open watch may tell one thing after another that cannot be read.
            if !failure.breaks || kind.breaks >= BREAKS || kind.failures > BREAKS {
                kind.trouble = Some(failure.why);
            }
        });
    }

    /// What is wrong, of the first kind for which something is.
    pub(super) fn trouble(&self, now: Instant) -> Option<String> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        KINDS.iter().zip(&mut *kinds).find_map(|(name, kind)| {
            if kind.lasts(now) {
                (kind.breaks, kind.trouble) = (0, None);
            }
            let waits =
                kind.asked_at.is_some_and(|since| now.saturating_duration_since(since) >= SLOW).then(|| {
                    let seconds = SLOW.as_secs();
                    format!("{name}: no answer within {seconds} s, or no credentials to ask with")
                });
            waits.or_else(|| kind.trouble.as_ref().map(|why| format!("{name}: {why}")))
        })
    }

    /// Whether our credentials have been refused for long; the answer is yes once, and then after as long again.
    pub(super) fn wants_credentials(&self, now: Instant) -> bool {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let long = |since: Instant| now.saturating_duration_since(since) >= UNAUTHORIZED;
        let wants = kinds.iter().any(|kind| kind.unauthorized_since.is_some_and(long));
        if wants {
            kinds.iter_mut().for_each(|kind| kind.unauthorized_since = None);
        }
        wants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failure(breaks: bool) -> Failure {
        Failure { why: "why".into(), breaks, unauthorized: false }
    }

    #[test]
    fn lists_that_fail_are_asked_for_less_and_less_often() {
        let (health, now) = (Health::default(), Instant::now());
        let pauses = [0, 1, 2, 3].map(|at| health.pause("pods", now + seconds(at), 0).as_secs());
        assert_eq!(pauses, [1, 2, 3, 3]);
        let later = now + backoff::RECENT;
        assert_eq!([0, 1].map(|at| health.pause("pods", later + seconds(at), 0).as_secs()), [16, 32]);
    }

    #[test]
    fn only_what_was_well_for_long_begins_anew() {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..4 {
            health.is_well("pods", now);
            health.pause("pods", now + seconds(9), 0);
        }
        assert_eq!(health.pause("pods", now, 0), backoff::LONGEST_WHEN_RECENT);
        // An open watch of a quiet kind tells nothing, and is well all the same.
        health.is_well("pods", now);
        assert_eq!(health.pause("pods", now + backoff::RECENT * 100, 0), backoff::FIRST);
    }

    #[test]
    fn an_answer_too_large_is_not_asked_for_again_soon() {
        let (health, now) = (Health::default(), Instant::now());
        health.oversized("nodes");
        assert!(health.pause("pods", now, 0) <= backoff::LONGEST_WHEN_RECENT, "each kind for itself");
        assert!(health.pause("nodes", now, 500) >= OVERSIZED / 2);
        health.is_well("nodes", now);
        assert!(health.pause("nodes", now, 0) <= backoff::LONGEST_WHEN_RECENT);
    }

    #[test]
    fn what_is_dear_to_read_and_wrong_is_not_asked_for_again_soon() {
        let (health, now) = (Health::default(), Instant::now());
        let dear = Duration::from_millis(100);
        health.meter("nodes").add(dear);
        assert!(health.pause("pods", now, 0) <= backoff::LONGEST_WHEN_RECENT, "each kind for itself");
        let pause = health.pause("nodes", now, 0);
        assert!(dear.as_secs_f64() / pause.as_secs_f64() * (KINDS.len() as f64) < 0.01, "{pause:?}");
        assert!(health.pause("nodes", now, 0) <= backoff::LONGEST_WHEN_RECENT, "each failure for itself");
        assert_eq!(health.lists_rest_until(), Some(now + backoff::rest(dear)), "lists wait for each other");
        health.read("nodes", 20 << 20);
        assert!(health.pause("nodes", now, 0) > backoff::LONGEST_WHEN_RECENT, "if only to be read");
    }

    #[test]
    fn what_was_of_use_and_lasted_is_free() {
        for (lasted, free) in [(9, false), (10, true)] {
            let (health, now) = (Health::default(), Instant::now());
            health.meter("nodes").add(seconds(1));
            health.is_well("nodes", now);
            let pause = health.pause("nodes", now + seconds(lasted), 0);
            assert_eq!(pause == backoff::FIRST, free, "after {lasted} s: {pause:?}");
        }
    }

    #[test]
    fn a_watch_that_ends_well_and_at_once_is_not_opened_again_at_once() {
        let (health, mut now) = (Health::default(), Instant::now());
        assert_eq!(health.before_watch("pods", now, 0), Duration::ZERO);
        let waits = [1, 1, 1, 1].map(|lived| {
            health.opened("pods", now);
            now += seconds(lived);
            health.before_watch("pods", now, 0).as_secs()
        });
        assert_eq!(waits, [1, 2, 3, 3]);
        assert!(health.trouble(now).is_some_and(|why| why.contains("ends")));
        health.opened("pods", now);
        assert_eq!(health.before_watch("pods", now + backoff::GOOD, 0), Duration::ZERO);
        health.opened("pods", now);
        health.pause("pods", now, 0);
        assert_eq!(health.before_watch("pods", now, 0), Duration::ZERO, "it was waited for its error");
    }

    #[test]
    fn a_watch_that_is_not_answered_for_long_is_trouble() {
        let (health, now) = (Health::default(), Instant::now());
        health.is_well("pods", now);
        health.asked("pods", now);
        assert_eq!(health.trouble(now + seconds(19)), None);
        assert!(health.trouble(now + seconds(20)).is_some_and(|why| why.contains("credentials")));
        health.answered("pods");
        assert_eq!(health.trouble(now + seconds(20)), None);
    }

    #[test]
    fn trouble_of_one_kind_ends_when_that_kind_is_well() {
        let (health, now) = (Health::default(), Instant::now());
        health.pause("namespaces", now, 0);
        health.failed("namespaces", now, failure(false));
        health.is_well("pods", now);
        assert_eq!(health.trouble(now).as_deref(), Some("namespaces: why"));
        health.is_well("namespaces", now);
        assert_eq!(health.trouble(now), None);
    }

    #[test]
    fn a_watch_that_breaks_is_no_news_unless_it_does_so_at_once_again_and_again() {
        let (health, mut now) = (Health::default(), Instant::now());
        let mut broken_after = |lived| {
            health.is_well("pods", now);
            now += seconds(lived);
            health.pause("pods", now, 0);
            health.failed("pods", now, failure(true));
            health.trouble(now).is_some()
        };
        assert_eq!([50, 50, 50, 1].map(&mut broken_after), [false; 4], "cut when quiet, opened again");
        assert_eq!([1, 1].map(&mut broken_after), [true; 2]);
        health.is_well("pods", now);
        assert!(health.trouble(now + seconds(9)).is_some(), "until it lasts");
        assert_eq!(health.trouble(now + seconds(10)), None);
    }

    #[test]
    fn an_open_watch_that_tells_nothing_but_rubbish_is_trouble() {
        let (health, now) = (Health::default(), Instant::now());
        health.is_well("pods", now);
        let trouble = [0, 1, 3].map(|at| {
            health.pause("pods", now + seconds(at), 0);
            health.failed("pods", now, failure(true));
            health.trouble(now).is_some()
        });
        assert_eq!(trouble, [false, false, true]);
    }

    #[test]
    fn credentials_that_are_refused_for_long_are_wanted_anew() {
        let (health, now) = (Health::default(), Instant::now());
        let refuse = |at| health.failed("pods", at, Failure { unauthorized: true, ..failure(false) });
        refuse(now);
        assert!(!health.wants_credentials(now + seconds(29)));
        refuse(now + seconds(30));
        assert!(health.wants_credentials(now + seconds(30)));
        assert!(!health.wants_credentials(now + seconds(31)), "and then not at once");
        refuse(now);
        health.is_well("pods", now);
        assert!(!health.wants_credentials(now + seconds(60)));
    }
}
