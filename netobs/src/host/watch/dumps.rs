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
    pub(super) links: Vec<Link>,
    pub(super) addresses: Addresses,
    pub(super) neighbours: Neighbours,
    pub(super) fdb: Fdb,
}

/// All routes of both families.
pub(super) struct Routes {
    pub(super) routes: Vec<Route>,
    pub(super) undecoded: u64,
    pub(super) incomplete: bool,
}

pub(super) async fn facts(health: &WatchHealth) -> anyhow::Result<Facts> {
    let found = all_but_routes(health).await?;
    let routes = routes().await?;
    health.undecoded(routes.undecoded);
    health.incomplete(routes.incomplete);
    let mut facts = Facts::from_lists(found.links, vec![], routes.routes, vec![], vec![]);
    facts.addresses = Arc::new(found.addresses);
    facts.neighbours = Arc::new(found.neighbours);
    facts.fdb = Arc::new(found.fdb);
    Ok(facts)
}

pub(super) async fn all_but_routes(health: &WatchHealth) -> anyhow::Result<Found> {
    let links = links(health).await?;
    let addresses = noted(ask::<8, _>(libc::RTM_GETADDR, 0, decode::dumped_address).await?, health);
    let mut entries = noted(ask::<12, _>(libc::RTM_GETNEIGH, 0, decode::dumped_neighbour).await?, health);
    entries
        .extend(noted(ask::<12, _>(libc::RTM_GETNEIGH, AF_BRIDGE, decode::dumped_neighbour).await?, health));
    let (mut neighbours, mut fdb) = (Neighbours::new(), Fdb::new());
    for entry in entries {
        match entry {
            Change::Neighbour(entry) => drop(neighbours.insert(entry.key(), entry)),
            Change::Fdb(entry) => drop(fdb.insert(entry.key(), entry)),
            _ => {}
        }
    }
    let addresses = addresses.into_iter().map(|entry| (entry.key(), entry)).collect();
    Ok(Found { links, addresses, neighbours, fdb })
}

pub(super) async fn links(health: &WatchHealth) -> anyhow::Result<Vec<Link>> {
    Ok(noted(ask::<16, _>(libc::RTM_GETLINK, 0, decode::dumped_link).await?, health))
}

pub(super) async fn routes() -> anyhow::Result<Routes> {
    let v4 = ask::<12, _>(libc::RTM_GETROUTE, AF_INET, decode::dumped_routes).await?;
    let v6 = ask::<12, _>(libc::RTM_GETROUTE, AF_INET6, decode::dumped_routes).await?;
    Ok(Routes {
        undecoded: v4.undecoded + v6.undecoded,
        incomplete: v4.incomplete || v6.incomplete,
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

fn noted<T>(dumped: Dumped<T>, health: &WatchHealth) -> Vec<T> {
    health.undecoded(dumped.undecoded);
    health.incomplete(dumped.incomplete);
    dumped.entries
}
