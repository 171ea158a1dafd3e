//! Label sets as the host makes them → at most so many with a row of their own, the rest summed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use netobs_common::counters::Counters;

use crate::report::WorkloadAmounts;

/// What a row holds: numbers that only grow, until they begin anew.
pub(super) trait Amount: Copy + Default {
    /// Adds.
    fn add(&mut self, more: Self);
    /// What it grew by since; all of it if it began anew.
    fn grown(self, before: Self) -> Self;
}

impl Amount for Counters {
    fn add(&mut self, more: Self) {
        Self::add(self, more);
    }

    fn grown(self, before: Self) -> Self {
        if self.bytes < before.bytes || self.packets < before.packets { self } else { self.since(before) }
    }
}

impl Amount for WorkloadAmounts {
    fn add(&mut self, more: Self) {
        Self::add(self, more);
    }

    fn grown(self, before: Self) -> Self {
        let attempts = self.attempts.checked_sub(before.attempts).unwrap_or(self.attempts);
        let dropped = self.dropped.checked_sub(before.dropped).unwrap_or(self.dropped);
        Self { carried: self.carried.grown(before.carried), attempts, dropped }
    }
}

/// Remembers who has a row. First come, first served, for as long as it is there: a label set never moves
/// from one row to another, because then the counter it leaves would fall.
#[derive(Debug)]
pub(super) struct Cap<K, V> {
    limit: usize,
    admitted: BTreeSet<K>,
    /// What each refused label set had when it was last folded into `rest`.
    refused: BTreeMap<K, V>,
    rest: BTreeMap<K, V>,
    overflow: u64,
}

impl<K: Ord + Clone, V: Amount> Cap<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            admitted: BTreeSet::new(),
            refused: BTreeMap::new(),
            rest: BTreeMap::new(),
            overflow: 0,
        }
    }

    /// The rows to show now: `present` within the limit, and what is over it under the key `other` gives it
    /// (no row if it gives none). Rows of label sets that are gone disappear; what was summed stays.
    pub(super) fn fold(
        &mut self,
        present: &BTreeMap<K, V>,
        other: impl Fn(&K) -> Option<K>,
    ) -> BTreeMap<K, V> {
        self.admitted.retain(|key| present.contains_key(key));
        self.refused.retain(|key, _| present.contains_key(key));
        let mut rows: BTreeMap<K, V> = BTreeMap::new();
        for (key, &now) in present {
            if !self.admitted.contains(key)
                && !self.refused.contains_key(key)
                && self.admitted.len() < self.limit
            {
                self.admitted.insert(key.clone());
            }
            if self.admitted.contains(key) {
                rows.insert(key.clone(), now);
                continue;
            }
            let before = self.refused.insert(key.clone(), now);
            if before.is_none() {
                self.overflow += 1;
            }
            if let Some(row) = other(key) {
                self.rest.entry(row).or_default().add(now.grown(before.unwrap_or_default()));
            }
        }
        for (key, &sum) in &self.rest {
            rows.entry(key.clone()).or_default().add(sum);
        }
        rows
    }

    /// Label sets refused so far.
    pub(super) const fn overflow(&self) -> u64 {
        self.overflow
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn present(rows: &[(&str, u64)]) -> BTreeMap<String, Counters> {
        rows.iter()
            .map(|&(key, bytes)| (key.to_owned(), Counters { packets: 1, segments: 1, bytes }))
            .collect()
    }

    fn fold(cap: &mut Cap<String, Counters>, rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        let rows = cap.fold(&present(rows), |_| Some("other".to_owned()));
        rows.into_iter().map(|(key, counters)| (key, counters.bytes)).collect()
    }

    fn shown(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        rows.iter().map(|&(key, bytes)| (key.to_owned(), bytes)).collect()
    }

    #[test]
    fn what_is_over_the_limit_is_summed_and_counted() {
        let mut cap = Cap::new(2);
        assert_eq!(
            fold(&mut cap, &[("a", 1), ("b", 2), ("c", 4), ("d", 8)]),
            shown(&[("a", 1), ("b", 2), ("other", 12)])
        );
        assert_eq!(cap.overflow(), 2);
    }

    #[test]
    fn a_newcomer_takes_nobodys_row() {
        let mut cap = Cap::new(1);
        fold(&mut cap, &[("m", 5)]);
        assert_eq!(fold(&mut cap, &[("a", 7), ("m", 6)]), shown(&[("m", 6), ("other", 7)]));
    }

    #[test]
    fn a_row_that_becomes_free_goes_to_the_next_newcomer_and_the_sum_never_falls() {
        let mut cap = Cap::new(1);
        fold(&mut cap, &[("a", 1), ("b", 10)]);
        assert_eq!(fold(&mut cap, &[("b", 11)]), shown(&[("other", 11)]));
        assert_eq!(fold(&mut cap, &[("b", 12), ("c", 3)]), shown(&[("c", 3), ("other", 12)]));
        assert_eq!(fold(&mut cap, &[]), shown(&[("other", 12)]));
    }

    #[test]
    fn a_refused_label_set_that_begins_anew_adds_what_it_has() {
        let mut cap = Cap::new(0);
        fold(&mut cap, &[("a", 10)]);
        assert_eq!(fold(&mut cap, &[("a", 3)]), shown(&[("other", 13)]));
    }

    proptest! {
        #[test]
        fn the_total_is_exact_and_no_row_falls_while_nobody_leaves(
            limit in 0_usize..6,
            steps in prop::collection::vec(prop::collection::vec((0_u8..10, 0_u64..100), 0..10), 1..10),
        ) {
            let mut cap = Cap::new(limit);
            let mut now: BTreeMap<String, Counters> = BTreeMap::new();
            let mut earlier: BTreeMap<String, Counters> = BTreeMap::new();
            for step in steps {
                for (key, bytes) in step {
                    now.entry(key.to_string()).or_default().add(Counters { packets: 1, segments: 1, bytes });
                }
                let rows = cap.fold(&now, |_| Some("other".to_owned()));
                prop_assert!(rows.len() <= limit + 1);
                let sum = |rows: &BTreeMap<String, Counters>| rows.values().map(|one| one.bytes).sum::<u64>();
                prop_assert_eq!(sum(&rows), sum(&now));
                for (key, before) in &earlier {
                    prop_assert!(rows[key].bytes >= before.bytes);
                }
                earlier = rows;
            }
        }
    }
}
