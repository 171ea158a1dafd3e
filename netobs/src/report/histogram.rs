//! Durations, counted by how long they are.

/// Upper bounds of the buckets in seconds, from what two stacks of one host take for an answer to what a lost SYN costs.
pub const BOUNDS: [f64; 16] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// How many durations are in which bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Of each bucket of [`BOUNDS`] alone.
    pub counts: [u64; BOUNDS.len()],
    /// Longer than all of them.
    pub longer: u64,
    /// All durations added up, seconds.
    pub sum: f64,
}

impl Histogram {
    /// Takes in a duration in nanoseconds.
    pub fn observe(&mut self, nanoseconds: u64) {
        let seconds = nanoseconds as f64 / 1e9;
        self.sum += seconds;
        match self.counts.iter_mut().zip(BOUNDS).find(|(_, bound)| seconds <= *bound) {
            Some((count, _)) => *count += 1,
            None => self.longer += 1,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.longer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_holds_it() {
        let mut all = Histogram::default();
        for nanoseconds in [0, 100_000, 100_001, 20_000_000, 11_000_000_000] {
            all.observe(nanoseconds);
        }
        assert_eq!((all.counts[0], all.counts[1], all.counts[7], all.longer), (2, 1, 1, 1));
        assert_eq!(all.count(), 5);
        assert!((all.sum - 11.020_200_001).abs() < 1e-9);
    }
}
