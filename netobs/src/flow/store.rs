//! Conversations by number: those that move, and those at rest, which a tick does not touch.
//!
//! A storm leaves a hundred thousand of them listed for half a minute. Walking through all of them costs a cache miss
//! each, so what every tick asks of those at rest lies beside them, in one table.

use hashbrown::HashMap;
use netobs_common::{endpoint::EndpointId, wire::Protocol};

use super::conversation::Conversation;
use crate::report::{PathFlowLabels, Verdict};

/// What is asked of every conversation in every tick.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its labels and the verdict on it.
    pub told: (PathFlowLabels, Verdict),
    /// When it ended.
    pub ended: Option<u64>,
    /// The latest packet that speaks for the verdict.
    pub last_seen: u64,
    /// Initiator and other side ([`Conversation::ends`]).
    pub ends: [EndpointId; 2],
    /// Whether the other side is one that was asked for and did not answer.
    pub asked: bool,
    /// Whether both are settled.
    pub settled: bool,
}

#[derive(Debug)]
struct Resting {
    about: Option<About>,
    ended: Option<u64>,
    last_seen: u64,
    protocol: Protocol,
    conversation: Box<Conversation>,
}

/// All conversations.
#[derive(Debug, Default)]
pub(super) struct Store {
    // Boxed: a table that is half empty holds pointers.
    active: HashMap<u64, Box<Conversation>>,
    resting: HashMap<u64, Resting>,
}

impl Store {
    pub(super) fn insert(&mut self, number: u64, conversation: Conversation) {
        self.active.insert(number, Box::new(conversation));
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.active.contains_key(&number) || self.resting.contains_key(&number)
    }

    pub(super) fn get(&self, number: u64) -> Option<&Conversation> {
        let active = self.active.get(&number);
        active.or_else(|| self.resting.get(&number).map(|one| &one.conversation)).map(|one| &**one)
    }

    /// A conversation that is about to change; one at rest is so no longer.
    pub(super) fn moving(&mut self, number: u64) -> Option<&mut Conversation> {
        if let Some(mut one) = self.resting.remove(&number) {
            one.conversation.moves();
            self.active.insert(number, one.conversation);
        }
        self.active.get_mut(&number).map(|one| &mut **one)
    }

    /// Those not at rest.
    pub(super) fn active(&self) -> impl Iterator<Item = &Conversation> {
        self.active.values().map(|one| &**one)
    }

    /// Those not at rest.
    pub(super) fn active_mut(&mut self) -> impl Iterator<Item = &mut Conversation> {
        self.active.values_mut().map(|one| &mut **one)
    }

    /// Those whose turn it is, whether they rest or not, and all that moved: to be judged.
    pub(super) fn for_each_due(
        &mut self,
        is_turn: impl Fn(u64) -> bool,
        mut judge: impl FnMut(&mut Conversation),
    ) {
        for (number, conversation) in &mut self.active {
            if conversation.moved || is_turn(*number) {
                judge(conversation);
            }
        }
        for (_, one) in self.resting.iter_mut().filter(|(number, _)| is_turn(**number)) {
            judge(&mut one.conversation);
            one.about = None;
        }
    }

    /// What is asked of every conversation; `judge` says labels and verdict, of those at rest only after they were
    /// judged anew.
    pub(super) fn for_each_about(
        &mut self,
        mut judge: impl FnMut(&mut Conversation) -> (PathFlowLabels, Verdict),
        mut each: impl FnMut(&About),
    ) {
        for conversation in self.active.values_mut() {
            let told = judge(conversation);
            each(&about(conversation, told));
        }
        for one in self.resting.values_mut() {
            let conversation = &mut one.conversation;
            let about = one.about.get_or_insert_with(|| {
                let told = judge(conversation);
                about(conversation, told)
            });
            each(about);
        }
    }

    /// Wakes those at rest that are over by now: `is_over` is told their protocol and their latest packet.
    pub(super) fn wake(&mut self, is_over: impl Fn(Protocol, u64) -> bool) {
        let over = |one: &Resting| one.ended.is_none() && is_over(one.protocol, one.last_seen);
        let numbers: Vec<u64> =
            self.resting.iter().filter(|(_, one)| over(one)).map(|(number, _)| *number).collect();
        for number in numbers {
            let _ = self.moving(number);
        }
    }

    /// Puts those to rest that say so themselves.
    pub(super) fn settle(&mut self) {
        for (number, conversation) in self.active.extract_if(|_, one| one.at_rest.is_some()) {
            let one = Resting {
                about: None,
                ended: conversation.ended.map(|(_, at)| at),
                last_seen: conversation.at_rest.unwrap_or(0),
                protocol: conversation.protocol(),
                conversation,
            };
            self.resting.insert(number, one);
        }
    }

    /// Keeps an active conversation if `keep` says so, and one at rest by when it ended.
    pub(super) fn retain(
        &mut self,
        mut keep: impl FnMut(&Conversation) -> bool,
        is_listed: impl Fn(Option<u64>) -> bool,
    ) {
        self.active.retain(|_, conversation| keep(conversation));
        self.resting.retain(|_, one| is_listed(one.ended));
    }

    /// Lets go of those at rest that ended first, until `most` are left.
    pub(super) fn shorten(&mut self, most: usize) {
        let mut ended: Vec<u64> = self.resting.values().filter_map(|one| one.ended).collect();
        let Some(surplus) = ended.len().checked_sub(most).filter(|surplus| *surplus > 0) else { return };
        let (_, last, _) = ended.select_nth_unstable(surplus - 1);
        let last = *last;
        self.resting.retain(|_, one| one.ended.is_none_or(|at| at > last));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Conversation> {
        self.active().chain(self.resting.values().map(|one| &*one.conversation))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Conversation> {
        let active = self.active.values_mut().map(|one| &mut **one);
        active.chain(self.resting.values_mut().map(|one| &mut *one.conversation))
    }
}

/// A connection that goes on well speaks for no loss long ago.
fn evidence_at(conversation: &Conversation, verdict: Verdict) -> u64 {
    let last_seen = || conversation.at_rest.unwrap_or_else(|| conversation.last_seen());
    match verdict {
        Verdict::Degraded => {
            let lost = conversation.losses.iter().map(|one| one.seen.1).max();
            lost.unwrap_or(0).max(conversation.progress.repeated_at)
        }
        Verdict::Dropped | Verdict::Unreachable | Verdict::Refused => {
            let events = conversation.drops.iter().map(|one| one.last_seen);
            let events = events.chain(conversation.errors.iter().map(|one| one.last_seen));
            let events = events.chain(conversation.unanswered.iter().map(|one| one.last_seen));
            events.max().unwrap_or_else(last_seen)
        }
        _ => last_seen(),
    }
}

fn about(conversation: &Conversation, told: (PathFlowLabels, Verdict)) -> About {
    About {
        told,
        ended: conversation.ended.map(|(_, at)| at),
        last_seen: evidence_at(conversation, told.1),
        ends: conversation.ends(),
        asked: conversation.asked.is_some(),
        settled: conversation.settled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flow::made_up::tcp, report::Close};

    fn resting(ended: &[Option<u64>]) -> Store {
        let mut store = Store::default();
        for (number, ended) in (0_u64..).zip(ended) {
            let mut one = Conversation::new("f".into(), tcp("10.0.0.2:1", "10.0.0.3:2"), None);
            (one.at_rest, one.ended) = (Some(1), ended.map(|at| (Close::Fin, at)));
            store.insert(number, one);
        }
        store.settle();
        store
    }

    #[test]
    fn those_that_ended_first_make_room_and_those_that_live_stay() {
        let mut store = resting(&[Some(5), None, Some(3), Some(9), Some(4)]);
        store.shorten(4);
        assert!((0..5).all(|number| store.contains(number)), "there is room");
        store.shorten(2);
        let left: Vec<u64> = (0..5).filter(|number| store.contains(*number)).collect();
        assert_eq!(left, [0, 1, 3]);
    }

    #[test]
    fn what_changes_rests_no_longer() {
        let mut store = resting(&[None, None]);
        assert_eq!(store.active().count(), 0);
        assert!(store.moving(1).is_some_and(|one| one.moved && one.at_rest.is_none()));
        assert_eq!((store.active().count(), store.iter().count()), (1, 2));
        store.wake(|protocol, last| protocol == Protocol::TCP && last == 1);
        assert_eq!(store.active().count(), 2, "it fell silent for good");
    }
}
