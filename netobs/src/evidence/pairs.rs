//! Verdicts of conversations → one verdict for each pair of endpoints. Pure: time is an argument.

use std::collections::{BTreeMap, HashMap};

use netobs_common::endpoint::EndpointId;

use crate::report::{PairLabels, Verdict};

/// How long after its last evidence a pair leaves a bad verdict, in nanoseconds.
pub const BAD_FOR: u64 = 30_000_000_000;

/// The verdicts of pairs, as conversations tell them.
#[derive(Debug, Default)]
pub struct Pairs {
    verdicts: HashMap<([EndpointId; 2], PairLabels), Verdict>,
}

impl Pairs {
    /// Takes in a conversation's verdict and when the last evidence for it was seen. What lies outside is one
    /// endpoint, whatever its address.
    pub fn tell(
        &mut self,
        ends: [EndpointId; 2],
        labels: PairLabels,
        verdict: Verdict,
        last_seen: u64,
        now: u64,
    ) {
        let told = if is_bad(verdict) && now.saturating_sub(last_seen) >= BAD_FOR {
            Verdict::Unknown
        } else {
            verdict
        };
        let known = self.verdicts.entry((ends, labels)).or_insert(Verdict::Unknown);
        // The table of verdicts is in the order in which they apply.
        *known = (*known).min(told);
    }

    /// Each pair's verdict.
    pub fn verdicts(&self) -> impl Iterator<Item = (&([EndpointId; 2], PairLabels), Verdict)> {
        self.verdicts.iter().map(|(pair, verdict)| (pair, *verdict))
    }

    /// How many pairs are in which verdict.
    #[must_use]
    pub fn count(&self) -> BTreeMap<(PairLabels, Verdict), u64> {
        let mut counts = BTreeMap::new();
        for ((_, labels), verdict) in &self.verdicts {
            *counts.entry((*labels, *verdict)).or_default() += 1;
        }
        counts
    }
}

const fn is_bad(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Reachable | Verdict::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{KindName, Path};

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 100 * SECOND;
    const LABELS: PairLabels = PairLabels {
        source_kind: KindName::Container,
        destination_kind: KindName::External,
        path: Path::Uplink,
    };

    fn counted(told: &[(u32, Verdict, u64)]) -> Vec<(Verdict, u64)> {
        let mut pairs = Pairs::default();
        for (source, verdict, last_seen) in told {
            pairs.tell([EndpointId(*source), EndpointId::EXTERNAL], LABELS, *verdict, *last_seen, NOW);
        }
        pairs.count().into_iter().map(|((_, verdict), count)| (verdict, count)).collect()
    }

    #[test]
    fn conversations_of_a_pair_are_one_pair() {
        let told =
            [(20, Verdict::Reachable, NOW), (20, Verdict::Reachable, NOW), (21, Verdict::Reachable, NOW)];
        assert_eq!(counted(&told), [(Verdict::Reachable, 2)]);
    }

    #[test]
    fn the_first_verdict_of_the_table_applies() {
        let told = [(20, Verdict::Reachable, NOW), (20, Verdict::Refused, NOW), (20, Verdict::Unknown, NOW)];
        assert_eq!(counted(&told), [(Verdict::Refused, 1)]);
    }

    #[test]
    fn a_bad_verdict_is_left_thirty_seconds_after_its_last_evidence() {
        let refused =
            |last_seen| counted(&[(20, Verdict::Reachable, NOW), (20, Verdict::Refused, last_seen)]);
        assert_eq!(refused(NOW - 29 * SECOND), [(Verdict::Refused, 1)]);
        assert_eq!(refused(NOW - 30 * SECOND), [(Verdict::Reachable, 1)]);
        assert_eq!(counted(&[(20, Verdict::Unanswered, NOW - 30 * SECOND)]), [(Verdict::Unknown, 1)]);
    }

    #[test]
    fn a_good_verdict_stays_while_its_conversation_is_listed() {
        assert_eq!(counted(&[(20, Verdict::Reachable, NOW - 90 * SECOND)]), [(Verdict::Reachable, 1)]);
    }
}
