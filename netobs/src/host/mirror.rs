//! Netlink changes → the facts they lead to and the events consumers must be told. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    decode::Change,
    facts::{
        Addresses, Facts, Fdb, HostEvent, Link, LinkKind, Neighbour, NeighbourState, Neighbours, Route,
        Tables,
    },
};

/// The watcher's own copy of the facts, and which tables changed since it last told anybody.
#[derive(Debug)]
pub struct Mirror {
    facts: Facts,
    changed: Changed,
    routes_touched: bool,
    links_touched: bool,
}

/// What a dump of the links is worth.
#[derive(Clone, Debug, Default)]
pub struct Resync {
    /// Notifications were lost before it: a link may be another one than the index suggests.
    pub after_loss: bool,
    /// What it does not mention does not exist.
    pub complete: bool,
    /// Links that notifications mention which may be newer than the dump and are going to be taken in.
    pub newer: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Changed {
    addresses: bool,
    routes: bool,
    neighbours: bool,
    fdb: bool,
    namespaces: bool,
}

impl Mirror {
    /// A mirror of what a first dump found.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        Self { facts, changed: Changed::default(), routes_touched: false, links_touched: false }
    }

    /// The facts as known now.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Takes one change in; what is said about links at once is returned in order, other changes are kept
    /// for [`Self::take_tables`].
    pub fn observe(&mut self, change: Change) -> Vec<HostEvent> {
        match change {
            Change::Link(link) => return self.link(link, false),
            Change::LinkGone(index) => return self.link_gone(index).into_iter().collect(),
            Change::Address(entry) => {
                let key = entry.key();
                self.changed.addresses |= insert(&mut self.facts.addresses, key, entry);
            }
            Change::AddressGone(entry) => {
                // The kernel drops routes that prefer the address as their source without a word.
                self.routes_touched = true;
                self.changed.addresses |= remove(&mut self.facts.addresses, &entry.key());
            }
            Change::Neighbour(entry) => return self.neighbour(entry).into_iter().collect(),
            Change::NeighbourGone(entry) => {
                self.changed.neighbours |= remove(&mut self.facts.neighbours, &entry.key());
            }
            Change::Fdb(entry) => {
                let key = entry.key();
                self.changed.fdb |= insert(&mut self.facts.fdb, key, entry);
            }
            Change::FdbGone(key) => self.changed.fdb |= remove(&mut self.facts.fdb, &key),
            Change::RoutesTouched => self.routes_touched = true,
            Change::NamespacesTouched => {
                self.changed.namespaces = true;
                self.links_touched = true;
            }
            Change::Nothing => {}
        }
        Vec::new()
    }

    /// Brings the links to what a dump found.
    pub fn resync_links(&mut self, found: Vec<Link>, how: &Resync) -> Vec<HostEvent> {
        let mut found: BTreeMap<u32, Link> = found.into_iter().map(|link| (link.index, link)).collect();
        found.retain(|index, _| !how.newer.contains(index));
        let gone: Vec<u32> = if how.complete {
            let absent = |index: &&u32| !found.contains_key(index) && !how.newer.contains(index);
            self.facts.links.keys().filter(absent).copied().collect()
        } else {
            Vec::new()
        };
        let mut events: Vec<_> = gone.into_iter().filter_map(|index| self.link_gone(index)).collect();
        for link in found.into_values() {
            events.extend(self.link(link, how.after_loss));
        }
        // What this very dump brought is not a reason for another one.
        self.links_touched = !how.complete;
        events
    }

    /// Brings the tables but the routes to what a dump found after notifications were lost.
    pub fn resync_tables(&mut self, addresses: Addresses, neighbours: Neighbours, fdb: Fdb) {
        self.changed.addresses |= replace(&mut self.facts.addresses, addresses);
        self.changed.neighbours |= replace(&mut self.facts.neighbours, neighbours);
        self.changed.fdb |= replace(&mut self.facts.fdb, fdb);
        self.changed.namespaces = true;
        self.routes_touched = true;
    }

    /// Takes in the routes as read anew.
    pub fn resync_routes(&mut self, mut routes: Vec<Route>) {
        routes.sort();
        routes.dedup();
        self.changed.routes |= replace(&mut self.facts.routes, routes);
    }

    /// Whether something waits to be told or to be read.
    #[must_use]
    pub const fn is_dirty(&self) -> bool {
        let Changed { addresses, routes, neighbours, fdb, namespaces } = self.changed;
        addresses || routes || neighbours || fdb || namespaces || self.routes_touched || self.links_touched
    }

    /// Whether the routes are to be read again; asked once, answered once.
    pub const fn take_routes_touched(&mut self) -> bool {
        std::mem::replace(&mut self.routes_touched, false)
    }

    /// Whether the links are to be read again; asked once, answered once.
    pub const fn take_links_touched(&mut self) -> bool {
        std::mem::replace(&mut self.links_touched, false)
    }

    /// The tables that changed since the last call.
    pub fn take_tables(&mut self) -> Tables {
        let changed = std::mem::take(&mut self.changed);
        Tables {
            addresses: changed.addresses.then(|| Arc::clone(&self.facts.addresses)),
            routes: changed.routes.then(|| Arc::clone(&self.facts.routes)),
            neighbours: changed.neighbours.then(|| Arc::clone(&self.facts.neighbours)),
            fdb: changed.fdb.then(|| Arc::clone(&self.facts.fdb)),
            namespaces: changed.namespaces,
        }
    }

    fn link(&mut self, link: Link, after_loss: bool) -> Vec<HostEvent> {
        let Some(before) = self.facts.links.get(&link.index).cloned() else {
            self.touch_pair(&link);
            self.facts.links.insert(link.index, link.clone());
            return vec![HostEvent::LinkAppeared(link)];
        };
        if before.is_replaced_by(&link, after_loss) {
            let gone = self.link_gone(before.index);
            self.touch_pair(&link);
            self.facts.links.insert(link.index, link.clone());
            return gone.into_iter().chain([HostEvent::LinkAppeared(link)]).collect();
        }
        self.facts.links.insert(link.index, link.clone());
        if !before.differs(&link) {
            return Vec::new();
        }
        // The kernel drops IPv4 routes over a link that goes down without a word.
        self.routes_touched |= (before.up, before.carrier) != (link.up, link.carrier);
        vec![HostEvent::LinkChanged { before, after: link }]
    }

    fn link_gone(&mut self, index: u32) -> Option<HostEvent> {
        let link = self.facts.links.remove(&index)?;
        self.touch_pair(&link);
        self.routes_touched = true;
        self.changed.addresses |= prune(&mut self.facts.addresses, |key| key.0 == index);
        self.changed.neighbours |= prune(&mut self.facts.neighbours, |key| key.0 == index);
        self.changed.fdb |= prune(&mut self.facts.fdb, |key| key.link == index);
        Some(HostEvent::LinkGone(link))
    }

    /// The kernel tells of each end of a pair for itself: the end that was made first never hears of the
    /// second, and the one that stays is not announced when the other moves to another namespace.
    fn touch_pair(&mut self, link: &Link) {
        self.links_touched |= link.kind == LinkKind::Veth;
    }

    /// A neighbour in use goes from reachable over stale to being asked again for ever: that is stored, but
    /// nobody is woken for it. That it was given up is told each time, also of one that had failed before: the kernel
    /// asks anew for every packet, and does not announce that it does.
    fn neighbour(&mut self, entry: Neighbour) -> Option<HostEvent> {
        let (link, address) = entry.key();
        let before = self.facts.neighbours.get(&(link, address));
        let told = |entry: &Neighbour| (entry.mac, settled(entry.state));
        let news = before.is_none_or(|before| told(before) != told(&entry));
        // One that needs no asking is marked so when somebody takes it out of the table (`neigh_delete`, Linux 6.18).
        let was_asked = before.is_none_or(|before| is_asked_for(before.state));
        let failed = was_asked && entry.state == NeighbourState::Failed;
        insert(&mut self.facts.neighbours, (link, address), entry);
        self.changed.neighbours |= news;
        failed.then_some(HostEvent::NeighbourFailed { link, address })
    }
}

/// Whether the kernel asks for one in this state, or will as soon as there is a packet for it.
const fn is_asked_for(state: NeighbourState) -> bool {
    use NeighbourState::{Delay, NoArp, Permanent, Reachable, Stale};
    !matches!(state, Reachable | Stale | Delay | NoArp | Permanent)
}

const fn settled(state: NeighbourState) -> NeighbourState {
    match state {
        NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe => NeighbourState::Reachable,
        other => other,
    }
}

/// Whether the table differs afterwards. A table nobody else holds is changed in place.
fn insert<K: Ord + Clone, V: PartialEq + Clone>(table: &mut Arc<BTreeMap<K, V>>, key: K, value: V) -> bool {
    if table.get(&key) == Some(&value) {
        return false;
    }
    Arc::make_mut(table).insert(key, value);
    true
}

fn remove<K: Ord + Clone, V: Clone>(table: &mut Arc<BTreeMap<K, V>>, key: &K) -> bool {
    table.contains_key(key) && Arc::make_mut(table).remove(key).is_some()
}

fn prune<K: Ord + Clone, V: Clone>(table: &mut Arc<BTreeMap<K, V>>, gone: impl Fn(&K) -> bool) -> bool {
    let found = table.keys().any(&gone);
    if found {
        Arc::make_mut(table).retain(|key, _| !gone(key));
    }
    found
}

fn replace<T: PartialEq>(mine: &mut Arc<T>, new: T) -> bool {
    let differs = **mine != new;
    if differs {
        *mine = Arc::new(new);
    }
    differs
}

#[cfg(test)]
mod tests;
