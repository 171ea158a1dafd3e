//! A packet and a stack's rules and routes → the route it takes. Pure, as the kernel does it (`fib_rules_lookup`,
//! net/core/fib_rules.c, Linux 6.18), but for marks and what rules ask beyond addresses and interfaces.

use std::net::IpAddr;

use super::{RoutingRule, RuleAction, Stack};
use crate::host::facts::{Route, RouteKind, table};

/// A packet that wants to be routed.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// Where it comes from, if that is known already.
    pub source: Option<IpAddr>,
    /// Where it goes.
    pub destination: IpAddr,
    /// The interface it came in by; `None` where it is made here.
    pub iif: Option<&'a str>,
}

impl Stack {
    /// The route a packet without a mark takes; `None` where there is none.
    #[must_use]
    pub fn route(&self, way: Way<'_>) -> Option<&Route> {
        let v6 = way.destination.is_ipv6();
        for rule in self.rules.iter().filter(|rule| rule.v6 == v6 && rule.holds(way)) {
            match rule.action {
                RuleAction::Table(number) => match self.route_in(number, way.destination) {
                    Some(route) if route.kind == RouteKind::Throw => {}
                    Some(route)
                        if rule.suppress.is_some_and(|most| route.destination.prefix_len() <= most) => {}
                    Some(route) => return Some(route),
                    None => {}
                },
                RuleAction::Refuse => return None,
                RuleAction::Other => {}
            }
        }
        if self.rules.iter().any(|rule| rule.v6 == v6) {
            return None;
        }
        // Rules could not be read: as every stack begins.
        [table::LOCAL, table::MAIN].into_iter().find_map(|number| self.route_in(number, way.destination))
    }

    /// The longest prefix wins, then the lowest metric.
    fn route_in(&self, number: u32, destination: IpAddr) -> Option<&Route> {
        let usable = |route: &&Route| {
            route.table == number
                && route.destination.contains(&destination)
                && !matches!(route.kind, RouteKind::Broadcast | RouteKind::Multicast)
                && route.link.is_none_or(|link| self.facts.links.get(&link).is_none_or(|one| one.up))
        };
        let better = |route: &&Route| (route.destination.prefix_len(), std::cmp::Reverse(route.metric));
        // Of equal ones the first: next hops of one route are in the kernel's order.
        self.facts.routes.iter().rev().filter(usable).max_by_key(better)
    }
}

impl RoutingRule {
    fn holds(&self, way: Way<'_>) -> bool {
        let within = |network: &Option<ipnet::IpNet>, address: Option<IpAddr>| {
            network.is_none_or(|network| address.is_some_and(|address| network.contains(&address)))
        };
        let came_by = way.iif.unwrap_or("lo");
        let matches = within(&self.source, way.source)
            && within(&self.destination, Some(way.destination))
            && self.iif.as_deref().is_none_or(|name| name == came_by)
            && self.oif.is_none()
            && self.mark.is_none_or(|(mark, mask)| mark & mask == 0)
            && !self.more;
        matches != self.inverted
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn route(number: u32, destination: &str, link: u32, metric: u32) -> Route {
        Route {
            table: number,
            destination: destination.parse().unwrap(),
            metric,
            link: Some(link),
            gateway: None,
            preferred_source: None,
            kind: RouteKind::Unicast,
        }
    }

    fn rule(priority: u32, action: RuleAction) -> RoutingRule {
        RoutingRule {
            v6: false,
            priority,
            source: None,
            destination: None,
            iif: None,
            oif: None,
            mark: None,
            suppress: None,
            more: false,
            inverted: false,
            action,
        }
    }

    fn stack(rules: Vec<RoutingRule>, routes: Vec<Route>) -> Stack {
        let mut stack = Stack { rules, ..Stack::default() };
        stack.facts.routes = Arc::new(routes);
        stack
    }

    fn link(stack: &Stack, source: &str, destination: &str, iif: Option<&str>) -> Option<u32> {
        let source = source.parse().ok();
        stack.route(Way { source, destination: destination.parse().unwrap(), iif })?.link
    }

    #[test]
    fn the_longest_prefix_wins_then_the_lowest_metric() {
        let all = stack(
            vec![rule(32_766, RuleAction::Table(254))],
            vec![
                route(254, "0.0.0.0/0", 1, 0),
                route(254, "10.0.0.0/8", 2, 50),
                route(254, "10.0.0.0/8", 3, 20),
                route(254, "10.1.0.0/16", 4, 900),
                route(99, "10.1.2.0/24", 5, 0),
            ],
        );
        assert_eq!(link(&all, "", "203.0.113.1", None), Some(1));
        assert_eq!(link(&all, "", "10.2.0.1", None), Some(3));
        assert_eq!(link(&all, "", "10.1.2.3", None), Some(4), "no rule leads to the other table");
    }

    #[test]
    fn a_rule_leads_to_its_table_only_who_it_is_for() {
        let own =
            RoutingRule { source: Some("10.9.0.0/16".parse().unwrap()), ..rule(10, RuleAction::Table(7)) };
        let inner = RoutingRule { iif: Some("br0".into()), ..rule(20, RuleAction::Table(8)) };
        let all = stack(
            vec![own, inner, rule(32_766, RuleAction::Table(254))],
            vec![route(7, "0.0.0.0/0", 7, 0), route(8, "0.0.0.0/0", 8, 0), route(254, "0.0.0.0/0", 1, 0)],
        );
        assert_eq!(link(&all, "10.9.0.1", "203.0.113.1", None), Some(7));
        assert_eq!(link(&all, "10.8.0.1", "203.0.113.1", None), Some(1));
        assert_eq!(link(&all, "10.8.0.1", "203.0.113.1", Some("br0")), Some(8));
    }

    #[test]
    fn a_table_without_the_destination_is_passed_over_and_a_refusal_is_not() {
        let refuse =
            RoutingRule { destination: Some("10.0.0.0/8".parse().unwrap()), ..rule(30, RuleAction::Refuse) };
        let all = stack(
            vec![rule(10, RuleAction::Table(7)), refuse, rule(32_766, RuleAction::Table(254))],
            vec![route(7, "192.0.2.0/24", 7, 0), route(254, "0.0.0.0/0", 1, 0)],
        );
        assert_eq!(link(&all, "", "203.0.113.1", None), Some(1));
        assert_eq!(link(&all, "", "10.0.0.1", None), None);
    }

    #[test]
    fn a_default_route_that_does_not_count_is_passed_over() {
        // As wg-quick does it: what the main table knows better than by its default route, then the tunnel.
        let main = RoutingRule { suppress: Some(0), ..rule(10, RuleAction::Table(254)) };
        let tunnel =
            RoutingRule { mark: Some((7, u32::MAX)), inverted: true, ..rule(20, RuleAction::Table(7)) };
        let all = stack(
            vec![main, tunnel, rule(32_766, RuleAction::Table(254))],
            vec![route(254, "0.0.0.0/0", 1, 0), route(254, "10.0.0.0/8", 2, 0), route(7, "0.0.0.0/0", 7, 0)],
        );
        assert_eq!(link(&all, "", "203.0.113.1", None), Some(7));
        assert_eq!(link(&all, "", "10.0.0.1", None), Some(2));
    }

    #[test]
    fn without_rules_it_is_the_local_and_the_main_table() {
        let all = stack(vec![], vec![route(254, "0.0.0.0/0", 1, 0), route(9, "0.0.0.0/0", 2, 0)]);
        assert_eq!(link(&all, "", "203.0.113.1", None), Some(1));
    }
}
