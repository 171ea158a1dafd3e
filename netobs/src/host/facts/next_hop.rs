//! Routes → whom the host sends a packet to, on which link. Pure.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{Route, RouteKind, Routes, table};

/// A link, and a gateway on it if there is one.
type Hop = (u32, Option<IpAddr>);

/// The main table, by the length of prefixes, longest first. Other tables (`ip rule`) are not asked.
#[derive(Debug, Default)]
pub struct NextHops {
    by_length: BTreeMap<Reverse<u8>, HashMap<IpNet, Best>>,
    /// Of every route, used or not.
    gateways: HashSet<IpAddr>,
}

/// The next hops with the lowest metric.
#[derive(Debug)]
struct Best {
    metric: u32,
    hops: Vec<Hop>,
}

impl NextHops {
    /// From the routes as they are.
    #[must_use]
    pub fn of(routes: &[Route]) -> Self {
        let mut all = Self::default();
        for route in routes.iter().filter(|one| one.table == table::MAIN && one.kind == RouteKind::Unicast) {
            let Some(link) = route.link else { continue };
            let (network, metric, hop) = (route.destination.trunc(), route.metric, (link, route.gateway));
            all.gateways.extend(route.gateway);
            let of_length = all.by_length.entry(Reverse(network.prefix_len())).or_default();
            let best = of_length.entry(network).or_insert_with(|| Best { metric, hops: Vec::new() });
            if metric < best.metric {
                *best = Best { metric, hops: Vec::new() };
            }
            if metric == best.metric && !best.hops.contains(&hop) {
                best.hops.push(hop);
            }
        }
        all
    }

    /// Where a packet for an address goes: to the gateway, or to the receiver itself. Of several it may be any.
    #[must_use]
    pub fn toward(&self, address: IpAddr) -> &[Hop] {
        let mut matching = self
            .by_length
            .iter()
            .filter_map(|(length, networks)| networks.get(&IpNet::new(address, length.0).ok()?.trunc()));
        matching.next().map_or(&[], |best| &best.hops)
    }

    /// Whether anything may be behind a neighbour.
    #[must_use]
    pub fn is_gateway(&self, neighbour: IpAddr) -> bool {
        self.gateways.contains(&neighbour)
    }
}

/// Next hops for as long as the routes stay the same: a node may have a hundred thousand, and be asked every second.
#[derive(Debug, Default)]
pub struct KeptHops {
    kept: Option<(Arc<Routes>, NextHops)>,
}

impl KeptHops {
    /// By these routes.
    pub fn by(&mut self, routes: &Arc<Routes>) -> &NextHops {
        let (_, hops) = match self.kept.take() {
            Some(kept) if Arc::ptr_eq(&kept.0, routes) => self.kept.insert(kept),
            _ => self.kept.insert((Arc::clone(routes), NextHops::of(routes))),
        };
        hops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(network: &str, link: u32, metric: u32, gateway: Option<&str>) -> Route {
        Route {
            table: table::MAIN,
            destination: network.parse().unwrap(),
            metric,
            link: Some(link),
            gateway: gateway.map(|one| one.parse().unwrap()),
            preferred_source: None,
            kind: RouteKind::Unicast,
        }
    }

    #[test]
    fn the_longest_prefix_leads_and_a_gateway_stands_for_who_is_behind_it() {
        let routes = vec![
            route("0.0.0.0/0", 1, 0, Some("198.51.100.1")),
            route("198.51.100.0/24", 1, 0, None),
            route("203.0.113.0/24", 4, 9, Some("198.51.100.4")),
            route("203.0.113.0/24", 2, 5, Some("198.51.100.2")),
            route("203.0.113.0/24", 3, 5, Some("198.51.100.3")),
            Route { table: 100, ..route("203.0.113.9/32", 5, 0, None) },
            Route { kind: RouteKind::Unreachable, ..route("203.0.113.9/32", 5, 0, None) },
            route("2001:db8::/64", 6, 0, None),
        ];
        let hops = NextHops::of(&routes);
        let lead = |address: &str, link, neighbour: &str| {
            let (address, neighbour): (IpAddr, IpAddr) =
                (address.parse().unwrap(), neighbour.parse().unwrap());
            let is_it = |(on, gateway): &Hop| *on == link && gateway.unwrap_or(address) == neighbour;
            hops.toward(address).iter().any(is_it)
        };
        assert!(lead("198.51.100.9", 1, "198.51.100.9"));
        assert!(!lead("198.51.100.9", 2, "198.51.100.9"), "on another link");
        assert!(lead("192.0.2.1", 1, "198.51.100.1") && !lead("192.0.2.1", 1, "192.0.2.1"));
        assert!(lead("203.0.113.9", 2, "198.51.100.2") && lead("203.0.113.9", 3, "198.51.100.3"));
        assert!(!lead("203.0.113.9", 4, "198.51.100.4"), "a worse route");
        assert!(lead("2001:db8::7", 6, "2001:db8::7") && !lead("2001:db8:1::7", 6, "2001:db8:1::7"));
        assert!(hops.is_gateway("198.51.100.2".parse().unwrap()));
        assert!(!hops.is_gateway("198.51.100.9".parse().unwrap()));
    }

    #[test]
    fn a_next_hop_that_two_routes_name_is_one() {
        let of = |source: &str| Route {
            preferred_source: Some(source.parse().unwrap()),
            ..route("203.0.113.0/24", 2, 5, Some("198.51.100.2"))
        };
        let hops = NextHops::of(&[of("198.51.100.7"), of("198.51.100.8")]);
        assert_eq!(hops.toward("203.0.113.9".parse().unwrap()).len(), 1);
    }

    #[test]
    fn routes_are_gone_through_once_until_they_are_others() {
        let routes = |gateway| Arc::new(vec![route("0.0.0.0/0", 1, 0, Some(gateway))]);
        let (before, after) = (routes("198.51.100.1"), routes("198.51.100.2"));
        let mut kept = KeptHops::default();
        let made =
            |hops: &NextHops| hops.by_length.values().next().unwrap().values().next().unwrap().hops.as_ptr();
        let first = made(kept.by(&before));
        assert_eq!(made(kept.by(&before)), first, "nothing was made anew");
        assert!(kept.by(&before).is_gateway("198.51.100.1".parse().unwrap()));
        assert!(!kept.by(&after).is_gateway("198.51.100.1".parse().unwrap()));
        assert!(kept.by(&after).is_gateway("198.51.100.2".parse().unwrap()));
    }
}
