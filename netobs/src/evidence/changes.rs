//! Verdicts of pairs, tick by tick → which of them changed. Pure: time is an argument.

use std::collections::HashMap;

use netobs_common::endpoint::EndpointId;

use crate::report::{PairLabels, Verdict};

/// How long a pair's last verdict is remembered after nothing is said of it any more, in nanoseconds.
const REMEMBERED: u64 = 600_000_000_000;
/// Pairs remembered.
const MOST: usize = 65_536;

/// Two endpoints and the way between them.
pub type Pair = ([EndpointId; 2], PairLabels);

/// A pair's verdict is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictChange {
    /// Whose.
    pub pair: Pair,
    /// As it was; `None` where the first that could be said was bad.
    pub before: Option<Verdict>,
    /// As it is.
    pub after: Verdict,
}

/// What was said last of each pair.
#[derive(Debug, Default)]
pub struct Changes {
    known: HashMap<Pair, (Verdict, u64)>,
}

impl Changes {
    /// Takes in the verdicts of a tick. That nothing can be said at the moment changes nothing, and that a new pair is
    /// reachable is no change.
    pub fn read<'a>(
        &mut self,
        verdicts: impl Iterator<Item = (&'a Pair, Verdict)>,
        now: u64,
    ) -> Vec<VerdictChange> {
        let mut changes = Vec::new();
        for (pair, verdict) in verdicts.filter(|(_, verdict)| *verdict != Verdict::Unknown) {
            let room = self.known.len() < MOST;
            match self.known.get_mut(pair) {
                Some((before, told)) => {
                    if *before != verdict {
                        changes.push(VerdictChange { pair: *pair, before: Some(*before), after: verdict });
                    }
                    (*before, *told) = (verdict, now);
                }
                None if room => {
                    if verdict != Verdict::Reachable {
                        changes.push(VerdictChange { pair: *pair, before: None, after: verdict });
                    }
                    self.known.insert(*pair, (verdict, now));
                }
                None => {}
            }
        }
        self.known.retain(|_, (_, told)| now.saturating_sub(*told) < REMEMBERED);
        changes.sort_by_key(|one| one.pair);
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{KindName, Path};

    const PAIR: Pair = (
        [EndpointId(20), EndpointId::EXTERNAL],
        PairLabels {
            source_kind: KindName::Container,
            destination_kind: KindName::External,
            path: Path::Uplink,
        },
    );

    fn told(changes: &mut Changes, verdict: Verdict, now: u64) -> Vec<(Option<Verdict>, Verdict)> {
        let found = changes.read([(&PAIR, verdict)].into_iter(), now);
        found.into_iter().map(|one| (one.before, one.after)).collect()
    }

    #[test]
    fn a_failure_and_its_recovery_are_told() {
        let mut changes = Changes::default();
        assert_eq!(told(&mut changes, Verdict::Reachable, 0), [], "that it works is no news");
        assert_eq!(
            told(&mut changes, Verdict::Unreachable, 1),
            [(Some(Verdict::Reachable), Verdict::Unreachable)]
        );
        assert_eq!(told(&mut changes, Verdict::Unreachable, 2), []);
        assert_eq!(told(&mut changes, Verdict::Unknown, 3), [], "nothing is said at the moment");
        assert_eq!(
            told(&mut changes, Verdict::Reachable, 4),
            [(Some(Verdict::Unreachable), Verdict::Reachable)]
        );
    }

    #[test]
    fn a_pair_that_never_worked_is_news() {
        let mut changes = Changes::default();
        assert_eq!(told(&mut changes, Verdict::Refused, 0), [(None, Verdict::Refused)]);
    }

    #[test]
    fn what_is_said_no_more_is_forgotten() {
        let mut changes = Changes::default();
        told(&mut changes, Verdict::Refused, 0);
        assert_eq!(told(&mut changes, Verdict::Unknown, REMEMBERED), []);
        assert_eq!(told(&mut changes, Verdict::Refused, REMEMBERED + 1), [(None, Verdict::Refused)]);
    }
}
