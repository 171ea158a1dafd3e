//! Verdicts of conversations → one verdict for each pair of endpoints. Pure: time is an argument.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use netobs_common::endpoint::EndpointId;

use crate::report::{PairLabels, Verdict};

/// How long after its last evidence a pair leaves a bad verdict, in nanoseconds.
pub const BAD_FOR: u64 = 30_000_000_000;

/// What is told of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The first of the table that applies.
    pub verdict: Verdict,
    /// The latest evidence for any of its verdicts.
    pub last_seen: u64,
    /// Packets that were dropped and that no conversation tells of. Boxed: few pairs have any, and a tick walks all.
    pub unjoined: Option<Box<Unjoined>>,
}

/// Packets that the kernel dropped between two endpoints and that no conversation has for its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unjoined {
    /// How many.
    pub packets: u64,
    /// The first.
    pub first_seen: u64,
    /// The latest.
    pub last_seen: u64,
    /// Why, where all of them were dropped for the same reason.
    pub reason: Option<Arc<str>>,
}

/// The verdicts of pairs, as conversations tell them.
#[derive(Debug, Default)]
pub struct Pairs {
    told: HashMap<([EndpointId; 2], PairLabels), Told>,
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
        self.hear(ends, labels, verdict, last_seen, now);
    }

    /// Takes in packets that were dropped, and what that says where no conversation tells of them.
    pub fn tell_unjoined(
        &mut self,
        ends: [EndpointId; 2],
        labels: PairLabels,
        verdict: Verdict,
        more: Unjoined,
        now: u64,
    ) {
        let told = self.hear(ends, labels, verdict, more.last_seen, now);
        match &mut told.unjoined {
            None => told.unjoined = Some(Box::new(more)),
            Some(known) => {
                known.packets += more.packets;
                known.first_seen = known.first_seen.min(more.first_seen);
                known.last_seen = known.last_seen.max(more.last_seen);
                known.reason = known.reason.take().filter(|reason| Some(reason) == more.reason.as_ref());
            }
        }
    }

    fn hear(
        &mut self,
        ends: [EndpointId; 2],
        labels: PairLabels,
        verdict: Verdict,
        last_seen: u64,
        now: u64,
    ) -> &mut Told {
        let heard = if is_bad(verdict) && now.saturating_sub(last_seen) >= BAD_FOR {
            Verdict::Unknown
        } else {
            verdict
        };
        let nothing = Told { verdict: Verdict::Unknown, last_seen: 0, unjoined: None };
        let told = self.told.entry((ends, labels)).or_insert(nothing);
        // The table of verdicts is in the order in which they apply.
        told.verdict = told.verdict.min(heard);
        told.last_seen = told.last_seen.max(last_seen);
        told
    }

    /// Every pair.
    pub fn iter(&self) -> impl Iterator<Item = ([EndpointId; 2], PairLabels, &Told)> {
        self.told.iter().map(|((ends, labels), told)| (*ends, *labels, told))
    }

    /// Each pair's verdict.
    pub fn verdicts(&self) -> impl Iterator<Item = (&([EndpointId; 2], PairLabels), Verdict)> {
        self.told.iter().map(|(pair, told)| (pair, told.verdict))
    }

    /// How many pairs are in which verdict.
    #[must_use]
    pub fn count(&self) -> BTreeMap<(PairLabels, Verdict), u64> {
        let mut counts = BTreeMap::new();
        for ((_, labels), told) in &self.told {
            *counts.entry((*labels, told.verdict)).or_default() += 1;
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

    #[test]
    fn drops_that_no_conversation_tells_of_are_summed_and_their_reason_is_told_if_it_is_one() {
        let mut pairs = Pairs::default();
        let ends = [EndpointId(20), EndpointId::EXTERNAL];
        let mut lose = |packets, at, reason: &str| {
            let more = Unjoined { packets, first_seen: at, last_seen: at, reason: Some(reason.into()) };
            pairs.tell_unjoined(ends, LABELS, Verdict::Dropped, more, NOW);
            let told = pairs.iter().next().map(|(.., told)| told.clone()).unwrap();
            (told.verdict, told.last_seen, told.unjoined.unwrap())
        };
        lose(2, NOW - 5 * SECOND, "netfilter_drop");
        let (verdict, last_seen, unjoined) = lose(3, NOW - SECOND, "netfilter_drop");
        assert_eq!((verdict, last_seen), (Verdict::Dropped, NOW - SECOND));
        assert_eq!((unjoined.packets, unjoined.first_seen), (5, NOW - 5 * SECOND));
        assert_eq!(unjoined.reason.as_deref(), Some("netfilter_drop"));
        for reason in ["ip_rpfilter", "netfilter_drop", "ip_rpfilter"] {
            assert_eq!(lose(1, NOW, reason).2.reason, None, "they differ");
        }
    }
}
