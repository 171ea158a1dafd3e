//! Endpoints, and what is said of whether they may be shown → the numbers of those that may not. Pure.

use std::{collections::HashSet, sync::Arc};

use netobs_common::endpoint::EndpointId;

/// Endpoints that somebody asked netobs not to show. Who ended stays hidden while anything is still booked or listed by
/// the number: its sources have forgotten it by then.
#[derive(Debug, Default)]
pub(super) struct Hidden(HashSet<EndpointId>);

impl Hidden {
    /// Takes in who lives, with the identifiers sources know them by. `asked` is whether somebody asked not to show what
    /// goes by an identifier, `None` where nobody speaks of it; `is_known` whether a number still leads to anybody.
    pub(super) fn settle<'a>(
        &mut self,
        living: impl Iterator<Item = (EndpointId, Option<&'a Arc<str>>)>,
        asked: impl Fn(&Arc<str>) -> Option<bool>,
        is_known: impl Fn(EndpointId) -> bool,
    ) {
        self.0.retain(|number| is_known(*number));
        for (number, uid) in living {
            match uid.and_then(&asked) {
                Some(true) => {
                    self.0.insert(number);
                }
                Some(false) => {
                    self.0.remove(&number);
                }
                None => {}
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn numbers(&self) -> &HashSet<EndpointId> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: EndpointId = EndpointId(20);

    fn hidden() -> (Hidden, Arc<str>) {
        let (mut hidden, uid) = (Hidden::default(), Arc::from("uid-1"));
        let other = (EndpointId(21), None);
        hidden.settle([(POD, Some(&uid)), other].into_iter(), |_| Some(true), |_| true);
        assert_eq!(hidden.numbers().iter().collect::<Vec<_>>(), [&POD]);
        (hidden, uid)
    }

    #[test]
    fn a_pod_that_ended_stays_hidden_until_its_number_is_forgotten() {
        let (mut hidden, uid) = hidden();
        // No source speaks of it any more, first while its interface is still there, then without it.
        hidden.settle([(POD, Some(&uid))].into_iter(), |_| None, |_| true);
        hidden.settle([(POD, None)].into_iter(), |_| None, |_| true);
        hidden.settle(std::iter::empty(), |_| None, |_| true);
        assert!(hidden.numbers().contains(&POD));
        hidden.settle(std::iter::empty(), |_| None, |_| false);
        assert!(hidden.is_empty());
    }

    #[test]
    fn who_may_be_shown_after_all_is_shown() {
        let (mut hidden, uid) = hidden();
        hidden.settle([(POD, Some(&uid))].into_iter(), |_| Some(false), |_| true);
        assert!(hidden.is_empty());
    }
}
