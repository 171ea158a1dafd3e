//! The host's own addresses → the networks it is on, by link. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{addresses::ROUTED, addresses::is_link_local};
use crate::identity::observed::Observed;

/// Every network that this host is directly connected to.
#[derive(Debug, Default)]
pub(super) struct Connected(Vec<Network>);

#[derive(Debug)]
struct Network {
    link: u32,
    leads_out: bool,
    network: IpNet,
}

impl Connected {
    pub(super) fn of(observed: &Observed<'_>) -> Self {
        let of_link = |link: &u32| {
            let (link, leads_out) = (*link, observed.uplinks.contains(link));
            let networks = observed.facts.connected_prefixes(link);
            networks.into_iter().map(move |network| Network { link, leads_out, network })
        };
        Self(observed.facts.links.keys().flat_map(of_link).collect())
    }

    /// Length of the smallest network around an address, of those otherwise than by uplinks: who is unknown there is
    /// not elsewhere.
    pub(super) fn inner(&self, address: IpAddr) -> Option<u8> {
        let inner = self.0.iter().filter(|one| !one.leads_out && one.network.contains(&address));
        inner.map(|one| one.network.prefix_len()).max()
    }

    /// Length of the smallest network around an address, of those on a segment; on any for the routed part.
    pub(super) fn around(&self, segment: u32, address: IpAddr) -> Option<u8> {
        let here = self.0.iter().filter(|one| segment == ROUTED || one.link == segment);
        here.filter(|one| one.network.contains(&address)).map(|one| one.network.prefix_len()).max()
    }

    /// Whether the host is on a segment with an address that others route to.
    pub(super) fn is_on(&self, segment: u32) -> bool {
        self.0.iter().any(|one| one.link == segment && !is_link_local(one.network.addr()))
    }
}
