//! Routes → whom the host sends a packet to, on which link. Pure.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{Facts, RouteKind, table};

/// The main table, by the length of prefixes, longest first. Other tables (`ip rule`) are not asked.
#[derive(Debug, Default)]
pub struct NextHops {
    by_length: BTreeMap<Reverse<u8>, HashMap<IpNet, Best>>,
}

/// The next hops with the lowest metric: link, and gateway if there is one.
#[derive(Debug)]
struct Best {
    metric: u32,
    hops: Vec<(u32, Option<IpAddr>)>,
}

impl NextHops {
    /// From the routes as they are.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let mut all = Self::default();
        for route in
            facts.routes.iter().filter(|one| one.table == table::MAIN && one.kind == RouteKind::Unicast)
        {
            let Some(link) = route.link else { continue };
            let (network, metric) = (route.destination.trunc(), route.metric);
            let of_length = all.by_length.entry(Reverse(network.prefix_len())).or_default();
            let best = of_length.entry(network).or_insert_with(|| Best { metric, hops: Vec::new() });
            if metric < best.metric {
                *best = Best { metric, hops: Vec::new() };
            }
            if metric == best.metric {
                best.hops.push((link, route.gateway));
            }
        }
        all
    }

    /// Whether a packet for an address goes to this neighbour: the gateway, or the receiver itself. Of several next hops
    /// that are equal it may be any.
    #[must_use]
    pub fn lead_to(&self, address: IpAddr, link: u32, neighbour: IpAddr) -> bool {
        let best = self
            .by_length
            .iter()
            .find_map(|(length, networks)| networks.get(&IpNet::new(address, length.0).ok()?.trunc()));
        best.is_some_and(|best| {
            best.hops.iter().any(|(on, gateway)| *on == link && gateway.unwrap_or(address) == neighbour)
        })
    }

    /// Whether anything is behind a neighbour.
    #[must_use]
    pub fn is_gateway(&self, neighbour: IpAddr) -> bool {
        let mut all = self.by_length.values().flat_map(HashMap::values).flat_map(|best| &best.hops);
        all.any(|(_, gateway)| *gateway == Some(neighbour))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Route, *};

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
        let hops = NextHops::of(&Facts::from_lists(vec![], vec![], routes, vec![], vec![]));
        let lead = |address: &str, link, neighbour: &str| {
            hops.lead_to(address.parse().unwrap(), link, neighbour.parse().unwrap())
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
}
