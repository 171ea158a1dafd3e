//! An event → the facts after it: what the watcher sends and every consumer applies. Pure.

use std::{net::IpAddr, sync::Arc};

use super::{Addresses, Facts, Fdb, Link, Neighbours, Routes};

/// What changed on the host, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// Everything, once, before anything else.
    Synced(Box<Facts>),
    /// An interface appeared. Sent at once. The index may have belonged to another interface before, whose
    /// [`HostEvent::LinkGone`] was sent then.
    LinkAppeared(Link),
    /// Something else than the counters of an interface changed. Sent at once.
    LinkChanged {
        /// As it was.
        before: Link,
        /// As it is.
        after: Link,
    },
    /// An interface went away, or into another namespace. Sent at once.
    LinkGone(Link),
    /// A neighbour was asked for and given up. Sent at once, each time.
    NeighbourFailed {
        /// Interface index.
        link: u32,
        /// The neighbour's address.
        address: IpAddr,
    },
    /// Tables changed; sent when they have been quiet for a moment, or have not been for too long.
    FactsChanged(Tables),
}

/// The tables that changed, each as a whole; `None` for those that did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Addresses.
    pub addresses: Option<Arc<Addresses>>,
    /// Routes.
    pub routes: Option<Arc<Routes>>,
    /// Neighbours.
    pub neighbours: Option<Arc<Neighbours>>,
    /// Forwarding entries.
    pub fdb: Option<Arc<Fdb>>,
    /// Identifiers of other namespaces were given or taken: what was resolved by them is to be resolved anew.
    pub namespaces: bool,
}

impl Tables {
    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        let Self { addresses, routes, neighbours, fdb, namespaces } = self;
        addresses.is_none() && routes.is_none() && neighbours.is_none() && fdb.is_none() && !*namespaces
    }
}

impl Facts {
    /// Brings the facts to what an event says.
    pub fn apply(&mut self, event: &HostEvent) {
        match event {
            HostEvent::Synced(facts) => self.clone_from(facts),
            HostEvent::LinkAppeared(link) | HostEvent::LinkChanged { after: link, .. } => {
                self.links.insert(link.index, link.clone());
            }
            HostEvent::LinkGone(link) => {
                self.links.remove(&link.index);
            }
            HostEvent::NeighbourFailed { .. } => {}
            HostEvent::FactsChanged(tables) => {
                replace(&mut self.addresses, &tables.addresses);
                replace(&mut self.routes, &tables.routes);
                replace(&mut self.neighbours, &tables.neighbours);
                replace(&mut self.fdb, &tables.fdb);
            }
        }
    }
}

fn replace<T>(mine: &mut Arc<T>, new: &Option<Arc<T>>) {
    if let Some(new) = new {
        *mine = Arc::clone(new);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Neighbour, NeighbourState, link::tests::veth};
    use super::*;

    #[test]
    fn links_come_change_and_go() {
        let mut facts = Facts::default();
        facts.apply(&HostEvent::LinkAppeared(veth(2, "a")));
        assert_eq!(facts.links[&2].name, "a");
        facts.apply(&HostEvent::LinkChanged { before: veth(2, "a"), after: veth(2, "b") });
        assert_eq!(facts.links[&2].name, "b");
        facts.apply(&HostEvent::LinkGone(veth(2, "b")));
        assert!(facts.links.is_empty());
    }

    #[test]
    fn a_synced_event_replaces_everything() {
        let mut facts = Facts::from_lists(vec![veth(2, "old")], vec![], vec![], vec![], vec![]);
        let new = Facts::from_lists(vec![veth(3, "new")], vec![], vec![], vec![], vec![]);
        facts.apply(&HostEvent::Synced(Box::new(new.clone())));
        assert_eq!(facts, new);
    }

    #[test]
    fn a_table_that_did_not_change_stays() {
        let neighbour = Neighbour {
            link: 2,
            address: "198.51.100.9".parse().unwrap(),
            mac: None,
            state: NeighbourState::Incomplete,
        };
        let mut facts = Facts::from_lists(vec![], vec![], vec![], vec![neighbour], vec![]);
        facts.apply(&HostEvent::FactsChanged(Tables { routes: Some(Arc::default()), ..Default::default() }));
        assert_eq!(facts.neighbours.len(), 1);
        facts.apply(&HostEvent::FactsChanged(Tables {
            neighbours: Some(Arc::default()),
            ..Default::default()
        }));
        assert!(facts.neighbours.is_empty());
    }
}
