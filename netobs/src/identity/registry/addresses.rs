//! Endpoints and the host's own addresses → who has which address in which segment. Pure.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
};

use netobs_common::endpoint::{EndpointId, Kind};

use crate::{
    host::facts::{Facts, LinkKind, Route, RouteKind, table},
    identity::claim::Provenance,
};

/// The routed part of the host.
pub const ROUTED: u32 = 0;

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressOwner {
    /// Its number.
    pub endpoint: EndpointId,
    /// What it is.
    pub kind: Kind,
    /// Whether an interface of the host belongs to it alone, so that its packets are counted there.
    pub own_interface: bool,
    /// Who says that it has the address; `None` if it is only remembered or seen, which is nobody's word.
    pub known_by: Option<Provenance>,
}

impl AddressOwner {
    /// Whether this claim beats another endpoint's: the stronger source, then whoever came later, since an
    /// address is given away again after its last owner, not before.
    fn beats(&self, other: &Self) -> bool {
        let rank = |one: &Self| (one.known_by.is_none(), one.known_by, std::cmp::Reverse(one.endpoint));
        rank(self) < rank(other)
    }
}

/// All addresses known, by segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    pub(super) by_segment: BTreeMap<(u32, IpAddr), AddressOwner>,
    /// How often two endpoints had a claim on the same address of the same segment.
    pub(super) conflicts: u64,
}

impl Addresses {
    /// The host's own, which nobody can take from it: in the routed part, and on the bridge they are
    /// configured on.
    pub(super) fn of_host(facts: &Facts) -> Self {
        let mut addresses = Self::default();
        let host = AddressOwner {
            endpoint: EndpointId::HOST,
            kind: Kind::HOST,
            own_interface: false,
            known_by: Some(Provenance::Netns),
        };
        for entry in facts.addresses.values() {
            let is_bridge = facts.links.get(&entry.link).is_some_and(|link| link.kind == LinkKind::Bridge);
            if is_bridge {
                addresses.by_segment.insert((entry.link, entry.address.to_canonical()), host);
            }
            if !is_link_local(entry.address) || !is_bridge {
                addresses.by_segment.insert((ROUTED, entry.address.to_canonical()), host);
            }
        }
        addresses
    }

    /// Takes an endpoint's address in.
    pub(super) fn add(&mut self, segment: u32, address: IpAddr, owner: AddressOwner) {
        let address = address.to_canonical();
        // What is valid on one link only says nothing about the routed part.
        if segment == ROUTED && is_link_local(address) {
            return;
        }
        match self.by_segment.entry((segment, address)) {
            Entry::Vacant(free) => {
                free.insert(owner);
            }
            Entry::Occupied(mut held) => {
                let before = *held.get();
                if before.endpoint == owner.endpoint || before.endpoint == EndpointId::HOST {
                    return;
                }
                self.conflicts += 1;
                if owner.beats(&before) {
                    held.insert(owner);
                }
            }
        }
    }

    /// Makes addresses behind bridges known to the routed part, each where the host routes it: of two
    /// bridges with equal addresses at most one is meant there, and an isolated bridge never. What is nobody's word
    /// counts only where the host takes the address for a neighbour's: to others it goes by way of a gateway.
    pub(super) fn route(&mut self, facts: &Facts) {
        let routes = Routing::of(facts);
        let leads_to = |segment: u32, address: IpAddr, owner: &AddressOwner| {
            let route = routes.to(address).filter(|route| route.link == Some(segment));
            route.is_some_and(|route| owner.known_by.is_some() || route.gateway.is_none())
        };
        let routed: Vec<_> = self
            .by_segment
            .iter()
            .filter(|((segment, address), owner)| *segment != ROUTED && leads_to(*segment, *address, owner))
            .map(|((_, address), owner)| (*address, *owner))
            .collect();
        for (address, owner) in routed {
            self.add(ROUTED, address, owner);
        }
    }
}

/// The main table, longest prefix first.
struct Routing<'a> {
    routes: Vec<&'a Route>,
}

impl<'a> Routing<'a> {
    fn of(facts: &'a Facts) -> Self {
        let mut routes: Vec<_> = facts
            .routes
            .iter()
            .filter(|one| one.table == table::MAIN && one.kind == RouteKind::Unicast)
            .collect();
        routes.sort_by_key(|one| (std::cmp::Reverse(one.destination.prefix_len()), one.metric));
        Self { routes }
    }

    fn to(&self, address: IpAddr) -> Option<&'a Route> {
        self.routes.iter().find(|one| one.destination.contains(&address)).copied()
    }
}

/// Whether the host takes an address for a neighbour's behind a link of its own.
pub(super) fn is_neighbour(facts: &Facts, link: u32, address: IpAddr) -> bool {
    let route = Routing::of(facts).to(address);
    route.is_some_and(|route| route.link == Some(link) && route.gateway.is_none())
}

/// `fe80::/10` and `169.254.0.0/16`.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
