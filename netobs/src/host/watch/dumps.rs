//! Dump requests for each table of the network configuration → facts.

use std::sync::Arc;

use netlink_sys::protocols::NETLINK_ROUTE;

use super::super::{
    decode::{self, Change, Malformed},
    facts::{Addresses, Facts, Fdb, Link, Neighbours, Route},
    health::WatchHealth,
    netlink::{Dumped, Message, dump},
};

const AF_INET: u8 = libc::AF_INET as u8;
const AF_INET6: u8 = libc::AF_INET6 as u8;
const AF_BRIDGE: u8 = libc::AF_BRIDGE as u8;

/// What is read again after a loss, links first.
pub(super) struct Found {
    pub(super) links: Links,
    pub(super) addresses: Addresses,
    pub(super) neighbours: Neighbours,
    pub(super) fdb: Fdb,
    /// Whether something did not hold still and is to be read once more.
    pub(super) interrupted: bool,
}

/// All interfaces.
pub(super) struct Links {
    pub(super) found: Vec<Link>,
    /// What is not among them does not exist.
    pub(super) complete: bool,
}

/// All routes of both families.
pub(super) struct Routes {
    pub(super) routes: Vec<Route>,
    pub(super) undecoded: u64,
    pub(super) truncated: bool,
    /// Whether they did not hold still and are to be read once more.
    pub(super) interrupted: bool,
}

pub(in crate::host) async fn facts(health: &WatchHealth) -> anyhow::Result<Facts> {
    let found = all_but_routes(health).await?;
    let routes = routes().await?;
    health.undecoded(routes.undecoded);
    health.incomplete(routes.truncated || routes.interrupted);
    let mut facts = Facts::from_lists(found.links.found, vec![], routes.routes, vec![], vec![]);
    facts.addresses = Arc::new(found.addresses);
    facts.neighbours = Arc::new(found.neighbours);
    facts.fdb = Arc::new(found.fdb);
    Ok(facts)
}

pub(super) async fn all_but_routes(health: &WatchHealth) -> anyhow::Result<Found> {
    let links = links(health).await?;
    let addresses = noted(ask::<8, _>(libc::RTM_GETADDR, 0, decode::dumped_address).await?, health);
    let entries = noted(ask::<12, _>(libc::RTM_GETNEIGH, 0, decode::dumped_neighbour).await?, health);
    let forwarding =
        noted(ask::<12, _>(libc::RTM_GETNEIGH, AF_BRIDGE, decode::dumped_neighbour).await?, health);
    let interrupted = addresses.interrupted || entries.interrupted || forwarding.interrupted;
    let (mut neighbours, mut fdb) = (Neighbours::new(), Fdb::new());
    for entry in entries.entries.into_iter().chain(forwarding.entries) {
        match entry {
            Change::Neighbour(entry) => drop(neighbours.insert(entry.key(), entry)),
            Change::Fdb(entry) => drop(fdb.insert(entry.key(), entry)),
            _ => {}
        }
    }
    let addresses = addresses.entries.into_iter().map(|entry| (entry.key(), entry)).collect();
    Ok(Found { links, addresses, neighbours, fdb, interrupted })
}

pub(super) async fn links(health: &WatchHealth) -> anyhow::Result<Links> {
    let dumped = noted(ask::<16, _>(libc::RTM_GETLINK, 0, decode::dumped_link).await?, health);
    Ok(Links { complete: !dumped.is_incomplete(), found: dumped.entries })
}

pub(super) async fn routes() -> anyhow::Result<Routes> {
    let v4 = ask::<12, _>(libc::RTM_GETROUTE, AF_INET, decode::dumped_routes).await?;
    let v6 = ask::<12, _>(libc::RTM_GETROUTE, AF_INET6, decode::dumped_routes).await?;
    Ok(Routes {
        undecoded: v4.undecoded + v6.undecoded,
        truncated: v4.truncated || v6.truncated,
        interrupted: v4.interrupted || v6.interrupted,
        routes: v4.entries.into_iter().chain(v6.entries).flatten().collect(),
    })
}

/// `FIXED` is the size of the request's fixed part, which starts with the family and is zero otherwise.
async fn ask<const FIXED: usize, T>(
    kind: u16,
    family: u8,
    decode: impl FnMut(Message<'_>) -> Result<Option<T>, Malformed>,
) -> anyhow::Result<Dumped<T>> {
    let mut fixed = [0; FIXED];
    fixed[0] = family;
    dump(NETLINK_ROUTE, kind, &fixed, decode).await
}

fn noted<T>(dumped: Dumped<T>, health: &WatchHealth) -> Dumped<T> {
    health.undecoded(dumped.undecoded);
    health.incomplete(dumped.is_incomplete());
    dumped
}
