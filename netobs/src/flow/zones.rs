//! A tuple tracked in several conntrack zones → the connection a sighting of it belongs to, by where its packets came
//! in; none where that does not tell. Pure.
//!
//! A zone is a number that rules of the firewall give a packet (`ct zone set`, `-j CT --zone`): nothing says which
//! interface it stands for. A translated packet does: it is seen leaving, with the interface it came in by.

use std::collections::HashMap;

use netobs_common::{counters::FlowCounters, hook::Hook, key::FlowKey};

use super::{
    interfaces::Observed,
    table::{Context, Directory},
    translation::{Tracked, Way},
    tuple::Tuple,
};

/// A reading, and where its forwarded packets came in.
pub(super) struct Joins<'a, D> {
    pub(super) context: &'a Context<'a, D>,
    flows: &'a [(FlowKey, FlowCounters)],
    /// By the tuple they left with; looked up only where zones leave something open.
    came_by: Option<HashMap<Tuple, Vec<u32>>>,
    /// Sightings left unjoined.
    pub(super) unsure: u64,
}

impl<'a, D: Directory> Joins<'a, D> {
    /// Of a reading.
    pub(super) const fn of(flows: &'a [(FlowKey, FlowCounters)], context: &'a Context<'a, D>) -> Self {
        Self { context, flows, came_by: None, unsure: 0 }
    }

    /// The connection of a sighting, if one is tracked and it is known which.
    pub(super) fn join(&mut self, key: &FlowKey, tuple: &Tuple) -> Option<(Tracked, Way)> {
        let Context { translations, directory, .. } = self.context;
        let found = translations.lookup(tuple)?;
        let others = translations.others(tuple);
        let ambiguous = |tuple: &Tuple| {
            [tuple.source, tuple.destination].iter().any(|peer| directory.is_ambiguous(peer.address))
        };
        // Before its sender is hidden: after that the tuple is the host's own, and one of a kind.
        let as_sent = *tuple == found.0.original || tuple.reversed() == found.0.original;
        let alone = others.is_empty() && !(found.0.is_apart() && as_sent && ambiguous(tuple));
        let all = || std::iter::once(&found).chain(others);
        // Without translation every candidate says the same, and equal addresses are told apart by their holders.
        if alone || all().all(|(one, _)| !one.is_translated()) {
            return Some(found);
        }
        let at = devices(key, self.context);
        let came_by = self.came_by.get_or_insert_with(|| came_by(self.flows));
        let is_here = |(tracked, _): &&(Tracked, Way)| {
            let mut from = tracked.changed().filter_map(|tuple| came_by.get(&tuple)).flatten();
            from.any(|one| at.contains(one))
        };
        let only = |mut some: Box<dyn Iterator<Item = &(Tracked, Way)> + '_>| match (some.next(), some.next())
        {
            (Some(one), None) => Some(*one),
            _ => None,
        };
        let here = only(Box::new(all().filter(is_here)));
        // Where each address has one holder at most, these are the same packets, passing one zone after the other.
        let same = || only(Box::new(all().filter(|(one, _)| one.is_translated())));
        let joined = here.or_else(|| if ambiguous(tuple) { None } else { same() });
        self.unsure += u64::from(joined.is_none());
        joined
    }
}

/// By the tuple that packets left with, the interfaces they had come in by.
fn came_by(flows: &[(FlowKey, FlowCounters)]) -> HashMap<Tuple, Vec<u32>> {
    let mut all: HashMap<Tuple, Vec<u32>> = HashMap::new();
    for (key, read) in flows {
        if key.hook == Hook::EGRESS && read.ingress_ifindex != 0 {
            all.entry(Tuple::of(key)).or_default().push(read.ingress_ifindex);
        }
    }
    all
}

/// By which interfaces a packet comes in that is seen at this place, or whose answer is: itself, its bridge; for one
/// inside an endpoint those that lead there.
fn devices<D: Directory>(key: &FlowKey, context: &Context<'_, D>) -> Vec<u32> {
    let interfaces = context.interfaces;
    let Some(seen_at) = interfaces.get(key.interface) else { return Vec::new() };
    let with_bridge = |one: &Observed| {
        let bridge = interfaces.get(one.kernel.segment).map(|bridge| bridge.ifindex);
        [Some(one.ifindex), bridge].into_iter().flatten()
    };
    if !seen_at.is_inside() {
        return with_bridge(seen_at).collect();
    }
    let owner = |one: &Observed| one.owner().map(|owner| context.directory.current(owner));
    let leads = |one: &Observed| one.alive && !one.is_inside() && owner(one) == owner(seen_at);
    interfaces.iter().map(|(_, one)| one).filter(|one| leads(one)).flat_map(with_bridge).collect()
}
