//! Stacks of this moment + numbers given before → the same numbers for the same stacks. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use netobs_common::endpoint::EndpointId;

use super::stack::{self, Anchor, Draft, StackKey};
use crate::identity::{claim::Identity, endpoint::Endpoint};

/// How long the number of an endpoint that is gone still leads to it: late packets and closing flows.
pub(super) const KEPT: Duration = Duration::from_secs(60);

/// A number given, and to whom.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: StackKey,
    pub(super) anchors: HashSet<Anchor>,
    pub(super) identity: Identity,
    pub(super) endpoint: Arc<Endpoint>,
    /// When it was first missed; `None` while it lives.
    pub(super) gone: Option<Instant>,
}

/// All numbers given and not yet forgotten.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) slots: BTreeMap<EndpointId, Slot>,
    aliases: BTreeMap<EndpointId, EndpointId>,
    next: u32,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), aliases: BTreeMap::new(), next: EndpointId::FIRST_FREE }
    }
}

impl Numbers {
    /// A number for every draft, the one it had where it was known. Two numbers that turn out to be one
    /// stack's become one: the other is an alias from then on.
    pub(super) fn assign(
        &mut self,
        drafts: &BTreeMap<StackKey, Draft<'_>>,
    ) -> BTreeMap<StackKey, EndpointId> {
        let mut given = BTreeMap::new();
        let mut taken = BTreeSet::new();
        let candidates = self.candidates(drafts);
        // First those whose namespace was known before, so that nobody else takes their number.
        for by_inode in [true, false] {
            for (key, draft) in drafts {
                if given.contains_key(key) {
                    continue;
                }
                let free =
                    candidates.get(key).into_iter().flatten().filter(|number| !taken.contains(*number));
                let mut same = free.filter(|number| {
                    self.slots.get(number).is_some_and(|slot| {
                        (!by_inode || slot.key.inode().is_some() && slot.key.inode() == key.inode())
                            && stack::is_same(&slot.key, &slot.anchors, slot.gone.is_some(), draft)
                    })
                });
                if let Some(number) = same.next() {
                    taken.insert(*number);
                    given.insert(key.clone(), *number);
                }
            }
        }
        for (key, draft) in drafts {
            let number = match given.get(key) {
                Some(number) => *number,
                None => {
                    let number = self.fresh();
                    given.insert(key.clone(), number);
                    number
                }
            };
            for other in candidates.get(key).into_iter().flatten() {
                let merged = !taken.contains(other)
                    && self.slots.get(other).is_some_and(|slot| {
                        stack::is_same(&slot.key, &slot.anchors, slot.gone.is_some(), draft)
                    });
                if merged {
                    self.slots.remove(other);
                    self.aliases.insert(*other, number);
                }
            }
        }
        given
    }

    /// The numbers each draft could have had: the same namespace, or something of its own shared.
    fn candidates(&self, drafts: &BTreeMap<StackKey, Draft<'_>>) -> HashMap<StackKey, BTreeSet<EndpointId>> {
        let mut by_anchor: HashMap<&Anchor, Vec<EndpointId>> = HashMap::new();
        let mut by_inode: HashMap<u64, Vec<EndpointId>> = HashMap::new();
        for (number, slot) in &self.slots {
            for anchor in &slot.anchors {
                by_anchor.entry(anchor).or_default().push(*number);
            }
            if let Some(inode) = slot.key.inode() {
                by_inode.entry(inode).or_default().push(*number);
            }
        }
        let of = |draft: &Draft<'_>| {
            let shared = draft.anchors.iter().filter_map(|anchor| by_anchor.get(anchor)).flatten();
            let inode = draft.key.inode().and_then(|inode| by_inode.get(&inode)).into_iter().flatten();
            shared.chain(inode).copied().collect::<BTreeSet<_>>()
        };
        drafts.iter().map(|(key, draft)| (key.clone(), of(draft))).collect()
    }

    fn fresh(&mut self) -> EndpointId {
        let number = EndpointId(self.next);
        // Two thousand million endpoints in one life: then new ones stay unknown.
        if number.is_elsewhere() {
            return EndpointId::UNKNOWN;
        }
        self.next += 1;
        number
    }

    /// Marks who is missing at `now`, and forgets who has been missing for [`KEPT`].
    pub(super) fn expire(&mut self, living: &BTreeSet<EndpointId>, now: Instant) {
        for (number, slot) in &mut self.slots {
            slot.gone = if living.contains(number) { None } else { slot.gone.or(Some(now)) };
        }
        self.slots.retain(|_, slot| slot.gone.is_none_or(|at| now.saturating_duration_since(at) < KEPT));
        let (slots, aliases) = (&self.slots, &self.aliases);
        let lost: Vec<_> =
            aliases.keys().copied().filter(|one| !slots.contains_key(&follow(aliases, *one))).collect();
        for alias in lost {
            self.aliases.remove(&alias);
        }
    }

    /// The number an endpoint goes by now.
    pub(super) fn resolve(&self, number: EndpointId) -> EndpointId {
        follow(&self.aliases, number)
    }
}

/// Aliases of aliases lead on: an interface's number, merged into a namespace's, merged into an older one.
fn follow(aliases: &BTreeMap<EndpointId, EndpointId>, mut number: EndpointId) -> EndpointId {
    // Each merge removes the number that becomes an alias, so there are no circles; the bound is for proof.
    for _ in 0..=aliases.len() {
        match aliases.get(&number) {
            Some(next) => number = *next,
            None => break,
        }
    }
    number
}
