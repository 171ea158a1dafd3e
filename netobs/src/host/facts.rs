//! What the host's network stack is made of, as one plain value with pure questions to it. No I/O.

mod apply;
mod entry;
pub mod firewall;
mod height;
mod link;
mod next_hop;
mod query;
pub mod stack;
mod tap;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

pub use self::{
    apply::{HostEvent, Tables},
    entry::{Address, AddressScope, FdbEntry, FdbKey, Neighbour, NeighbourState, Route, RouteKind, table},
    link::{Link, LinkCounters, LinkKind, OuterDf, Vxlan},
    next_hop::{KeptHops, NextHops},
    tap::TapDevice,
};

/// Addresses by interface index, address and prefix length: what the kernel takes for one address.
pub type Addresses = BTreeMap<(u32, IpAddr, u8), Address>;
/// Neighbours by interface index and address.
pub type Neighbours = BTreeMap<(u32, IpAddr), Neighbour>;
/// Forwarding entries of bridges and VXLAN devices.
pub type Fdb = BTreeMap<FdbKey, FdbEntry>;
/// Routes, one value for each next hop, sorted.
pub type Routes = Vec<Route>;

/// One network stack as last read. The tables are shared, so that handing on a new one costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Interfaces by index.
    pub links: BTreeMap<u32, Link>,
    /// Addresses of this stack.
    pub addresses: Arc<Addresses>,
    /// Routes of all tables.
    pub routes: Arc<Routes>,
    /// Neighbours of both families.
    pub neighbours: Arc<Neighbours>,
    /// Forwarding entries of bridges and VXLAN devices.
    pub fdb: Arc<Fdb>,
}

impl Facts {
    /// Facts from lists, the later of two entries with the same key winning.
    #[must_use]
    pub fn from_lists(
        links: Vec<Link>,
        addresses: Vec<Address>,
        mut routes: Vec<Route>,
        neighbours: Vec<Neighbour>,
        fdb: Vec<FdbEntry>,
    ) -> Self {
        routes.sort();
        routes.dedup();
        Self {
            links: links.into_iter().map(|link| (link.index, link)).collect(),
            addresses: Arc::new(addresses.into_iter().map(|entry| (entry.key(), entry)).collect()),
            routes: Arc::new(routes),
            neighbours: Arc::new(neighbours.into_iter().map(|entry| (entry.key(), entry)).collect()),
            fdb: Arc::new(fdb.into_iter().map(|entry| (entry.key(), entry)).collect()),
        }
    }
}

#[cfg(test)]
pub(crate) use self::link::tests as test_links;
