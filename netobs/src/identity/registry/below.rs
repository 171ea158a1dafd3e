//! A namespace's own interfaces → those that lie on a device of this host, which has no interface of its own for them:
//! macvlan, ipvlan. Pure.

use std::net::IpAddr;

use crate::{
    host::facts::{Facts, Link, LinkKind},
    identity::{endpoint::Mode, observed::Namespace},
};

/// An interface and what it lies on.
#[derive(Clone, Debug)]
pub(super) struct Below<'a> {
    /// The host's device.
    pub(super) parent: &'a Link,
    /// How the interface is attached.
    pub(super) mode: Mode,
    /// Its hardware address; an ipvlan device has its parent's.
    pub(super) mac: Option<[u8; 6]>,
    /// Its own addresses.
    pub(super) addresses: Vec<IpAddr>,
}

/// Those of a namespace. Its interface names the parent by an index and by the number that it has for the parent's
/// namespace: only if that is ours is the index one of ours.
pub(super) fn of<'a>(namespace: &'a Namespace, facts: &'a Facts) -> Vec<Below<'a>> {
    let Some(host) = namespace.host else { return Vec::new() };
    let below = |link: &Link| {
        let mode = match link.kind {
            LinkKind::Macvlan => Mode::Macvlan,
            LinkKind::Ipvlan => Mode::Ipvlan,
            _ => return None,
        };
        let parent = facts.links.get(&link.lower.filter(|_| link.peer_namespace == Some(host))?)?;
        let own =
            namespace.addresses.iter().filter(|one| one.link == link.index && !one.address.is_loopback());
        let mac = link.mac.filter(|_| mode == Mode::Macvlan);
        Some(Below { parent, mode, mac, addresses: own.map(|one| one.address).collect() })
    };
    namespace.links.iter().filter_map(below).collect()
}
