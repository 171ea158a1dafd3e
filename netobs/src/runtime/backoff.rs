//! How long to wait before asking a source again: number of failures, and what they cost → delay; and before telling
//! that it answers again. Pure.

use std::time::Duration;

/// The first delay.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest delay for a source that has been silent for long.
pub const LONGEST: Duration = Duration::from_secs(60);
/// The longest delay for a source that answered a short while ago: a restarting daemon must be known
/// again within 5 s of its return.
pub const LONGEST_WHEN_RECENT: Duration = Duration::from_secs(3);
/// How long "a short while ago" lasts.
pub const RECENT: Duration = Duration::from_secs(600);
/// A source that answered for this long was a good one, whatever ended it.
pub const GOOD: Duration = Duration::from_secs(10);

/// A source may take one in so many parts of one processor for what is of no use. Three of them at once are to stay
/// below a hundredth with whatever else the agent does.
const SHARE: u32 = 400;

/// What an attempt may cost that comes to nothing, also on a slow machine: nobody listens, nothing is said. A build that
/// is not optimised takes several times as long for the same.
const CHEAP: Duration = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 4 });

/// The delay after processor time was spent in vain: so long that this is no more than a source's share, whatever
/// answered. What is cheap rests no longer than [`delay`] says, so that who returns is known within seconds.
#[must_use]
pub const fn rest(spent: Duration) -> Duration {
    spent.saturating_sub(CHEAP).saturating_mul(SHARE)
}

/// The delay after `failures` failures in a row (1 and up): doubling from one second to `longest`, of which
/// `random` takes up to half away, so that agents on many hosts do not ask in step.
#[must_use]
pub fn delay(failures: u32, longest: Duration, random: u64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let whole = doubled.min(longest);
    let thousandths = u32::try_from(random % 501).unwrap_or(0);
    (whole - whole * thousandths / 1_000).max(FIRST.min(longest))
}

/// How long a source must have answered before the log says so: longer each time that it did not last, so that one
/// which comes and goes fills no log.
#[derive(Debug, Default)]
pub struct Patience(Duration);

impl Patience {
    /// Longest, and what is long enough to begin anew.
    const LONGEST: Duration = Duration::from_secs(600);

    /// How long; nothing for a source that never failed.
    #[must_use]
    pub const fn get(&self) -> Duration {
        self.0
    }

    /// It failed, and the log says so, after it had answered for so long.
    pub fn failed_after(&mut self, answered: Duration) {
        let doubled = self.0.saturating_mul(2).clamp(GOOD, Self::LONGEST);
        self.0 = if answered >= Self::LONGEST { GOOD } else { doubled };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_doubles_from_one_second_to_a_minute() {
        let waits: Vec<_> = (1..=9).map(|n| delay(n, LONGEST, 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn jitter_takes_at_most_half_away() {
        assert_eq!(delay(4, LONGEST, 500), Duration::from_secs(4));
    }

    #[test]
    fn what_costs_rests_for_as_much_longer_and_what_is_cheap_is_asked_again_soon() {
        assert_eq!(rest(CHEAP), Duration::ZERO);
        assert!(rest(Duration::from_millis(200)) > LONGEST);
        assert_eq!(rest(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn what_does_not_last_has_to_last_longer_before_it_is_told() {
        let mut patience = Patience::default();
        assert_eq!(patience.get(), Duration::ZERO, "the first answer is told at once");
        let mut after = |seconds| {
            patience.failed_after(Duration::from_secs(seconds));
            patience.get().as_secs()
        };
        assert_eq!([0, 11, 21, 41, 81, 161, 321].map(&mut after), [10, 20, 40, 80, 160, 320, 600]);
        assert_eq!([599, 600].map(after), [600, 10]);
    }

    proptest! {
        #[test]
        fn what_is_spent_in_vain_is_below_half_a_hundredth(nanoseconds in any::<u64>()) {
            let spent = Duration::from_nanos(nanoseconds);
            prop_assert!(rest(spent + 2 * CHEAP) >= spent.saturating_mul(200));
        }

        #[test]
        fn it_stays_between_one_second_and_the_longest(failures in any::<u32>(), random in any::<u64>()) {
            let wait = delay(failures, LONGEST, random);
            prop_assert!(wait >= FIRST && wait <= LONGEST);
        }
    }
}
