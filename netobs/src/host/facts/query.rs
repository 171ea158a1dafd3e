//! Questions to the facts: which interface is the way out, who is a port of what. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{Facts, Link, LinkKind, RouteKind, table};

impl Facts {
    /// The interface of that name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// The uplinks: the interfaces configured, as far as they exist, or where none are configured those of
    /// the default routes of the main table, per family the ones with the lowest metric (several for a route
    /// with several next hops).
    #[must_use]
    pub fn uplinks(&self, configured: &[String]) -> BTreeSet<u32> {
        if !configured.is_empty() {
            return self
                .links
                .values()
                .filter(|link| configured.contains(&link.name))
                .map(|l| l.index)
                .collect();
        }
        let defaults = || {
            self.routes.iter().filter(|route| {
                route.table == table::MAIN
                    && route.kind == RouteKind::Unicast
                    && route.destination.prefix_len() == 0
            })
        };
        let mut lowest: BTreeMap<bool, u32> = BTreeMap::new();
        for route in defaults() {
            let metric = lowest.entry(is_v6(&route.destination)).or_insert(route.metric);
            *metric = route.metric.min(*metric);
        }
        defaults()
            .filter(|route| lowest.get(&is_v6(&route.destination)) == Some(&route.metric))
            .filter_map(|route| route.link)
            .collect()
    }

    /// Every address configured on this stack.
    #[must_use]
    pub fn local_addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses.values().map(|entry| entry.address).collect()
    }

    /// Whether this stack accepts packets to the address: it is configured, or a route of the local table
    /// covers it (all of `127.0.0.0/8`, addresses a load balancer binds without an interface).
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.addresses.values().any(|entry| entry.address == address)
            || self.routes.iter().any(|route| {
                route.table == table::LOCAL
                    && route.kind == RouteKind::Local
                    && route.destination.contains(&address)
            })
    }

    /// The bridge an interface is a port of, if its master is a bridge.
    #[must_use]
    pub fn bridge_of(&self, port: u32) -> Option<u32> {
        let master = self.links.get(&port)?.master?;
        (self.links.get(&master)?.kind == LinkKind::Bridge).then_some(master)
    }

    /// The ports of a bridge, bond or VRF.
    #[must_use]
    pub fn ports_of(&self, bridge: u32) -> BTreeSet<u32> {
        self.links.values().filter(|link| link.master == Some(bridge)).map(|link| link.index).collect()
    }

    /// The networks an interface is directly connected to by its addresses, host bits zero.
    #[must_use]
    pub fn connected_prefixes(&self, link: u32) -> BTreeSet<IpNet> {
        self.addresses
            .values()
            .filter(|entry| entry.link == link)
            .filter_map(|entry| IpNet::new(entry.peer.unwrap_or(entry.address), entry.prefix).ok())
            .map(|network| network.trunc())
            .collect()
    }
}

const fn is_v6(network: &IpNet) -> bool {
    matches!(network, IpNet::V6(_))
}

#[cfg(test)]
mod tests {
    use super::super::{
        Address, AddressScope, Route,
        link::tests::{bridge, veth},
    };
    use super::*;

    fn default_route(network: &str, link: u32, metric: u32) -> Route {
        Route {
            table: table::MAIN,
            destination: network.parse().unwrap(),
            metric,
            link: Some(link),
            gateway: Some("198.51.100.1".parse().unwrap()),
            preferred_source: None,
            kind: RouteKind::Unicast,
        }
    }

    fn address(link: u32, address: &str, prefix: u8, peer: Option<&str>) -> Address {
        Address {
            link,
            address: address.parse().unwrap(),
            prefix,
            scope: AddressScope::Global,
            peer: peer.map(|peer| peer.parse().unwrap()),
            broadcast: None,
        }
    }

    fn facts(routes: Vec<Route>, addresses: Vec<Address>) -> Facts {
        let mut port = veth(4, "veth4");
        port.master = Some(3);
        let mut slave = veth(5, "veth5");
        slave.master = Some(2);
        Facts::from_lists(
            vec![veth(1, "up0"), veth(2, "up1"), bridge(3, "br0"), port, slave],
            addresses,
            routes,
            vec![],
            vec![],
        )
    }

    #[test]
    fn the_lowest_metric_of_each_family_is_the_uplink() {
        let facts = facts(
            vec![
                default_route("0.0.0.0/0", 1, 100),
                default_route("0.0.0.0/0", 2, 200),
                default_route("::/0", 2, 1024),
            ],
            vec![],
        );
        assert_eq!(facts.uplinks(&[]), BTreeSet::from([1, 2]));
    }

    #[test]
    fn every_next_hop_of_a_multipath_default_route_is_an_uplink() {
        let facts = facts(vec![default_route("0.0.0.0/0", 1, 0), default_route("0.0.0.0/0", 2, 0)], vec![]);
        assert_eq!(facts.uplinks(&[]), BTreeSet::from([1, 2]));
    }

    #[test]
    fn other_tables_other_kinds_and_other_destinations_are_no_uplinks() {
        let mut elsewhere = default_route("0.0.0.0/0", 1, 0);
        elsewhere.table = 100;
        let mut unreachable = default_route("::/0", 1, 0);
        unreachable.kind = RouteKind::Unreachable;
        let facts = facts(vec![elsewhere, unreachable, default_route("198.51.100.0/24", 2, 0)], vec![]);
        assert!(facts.uplinks(&[]).is_empty());
    }

    #[test]
    fn configured_uplinks_replace_the_default_route() {
        let facts = facts(vec![default_route("0.0.0.0/0", 1, 0)], vec![]);
        assert_eq!(facts.uplinks(&["up1".into(), "absent".into()]), BTreeSet::from([2]));
    }

    #[test]
    fn only_a_bridge_makes_a_port() {
        let facts = facts(vec![], vec![]);
        assert_eq!(facts.bridge_of(4), Some(3));
        assert_eq!(facts.bridge_of(5), None, "its master is no bridge");
        assert_eq!(facts.bridge_of(1), None);
        assert_eq!(facts.ports_of(3), BTreeSet::from([4]));
    }

    #[test]
    fn a_point_to_point_link_is_connected_to_its_peer() {
        let facts = facts(
            vec![],
            vec![address(1, "198.51.100.7", 24, None), address(2, "203.0.113.1", 32, Some("203.0.113.2"))],
        );
        assert_eq!(facts.connected_prefixes(1), BTreeSet::from(["198.51.100.0/24".parse().unwrap()]));
        assert_eq!(facts.connected_prefixes(2), BTreeSet::from(["203.0.113.2/32".parse().unwrap()]));
        assert!(facts.local_addresses().contains(&"203.0.113.1".parse::<IpAddr>().unwrap()));
    }

    #[test]
    fn routes_of_the_local_table_make_addresses_local() {
        let mut any = default_route("127.0.0.0/8", 1, 0);
        (any.table, any.kind) = (table::LOCAL, RouteKind::Local);
        let facts = facts(vec![any], vec![address(1, "198.51.100.7", 24, None)]);
        assert!(facts.is_local("127.5.5.5".parse().unwrap()));
        assert!(facts.is_local("198.51.100.7".parse().unwrap()));
        assert!(!facts.is_local("198.51.100.8".parse().unwrap()));
    }
}
