//! Two moments of a network stack → what changed of interfaces, addresses and routes. Pure.

use std::{cmp::Ordering, collections::BTreeMap};

use ipnet::IpNet;

use super::Change;
use crate::{
    host::facts::{Addresses, Link, Route, RouteKind, table},
    report::EventKind,
};

/// Changes told of one table at once: a router that loses its peer loses thousands of routes.
const MOST: usize = 64;
/// Ways told of one destination.
const MOST_WAYS: usize = 8;

/// An interface that appeared, changed or went.
#[must_use]
pub fn link(before: Option<&Link>, after: Option<&Link>) -> Option<Change> {
    let subject = after.or(before)?.name.clone();
    let [told, tells] = [before, after].map(|link| link.map(of_link));
    let renamed = before.zip(after).filter(|(before, after)| before.name != after.name);
    let detail = renamed.map(|(before, _)| format!("was called {}", before.name));
    let change = Change { kind: EventKind::Link, subject, before: told, after: tells, detail };
    (change.before != change.after || change.detail.is_some()).then_some(change)
}

fn of_link(link: &Link) -> String {
    let state = match (link.up, link.carrier) {
        (false, _) => "down",
        (true, false) => "no carrier",
        (true, true) => "up",
    };
    let port = if link.master.is_some() { ", a port" } else { "" };
    format!("{state}, mtu {}{port}", link.mtu)
}

/// Addresses that came and went.
#[must_use]
pub fn addresses(before: &Addresses, after: &Addresses, name: impl Fn(u32) -> String) -> Vec<Change> {
    let change = |(link, address, prefix): &(u32, std::net::IpAddr, u8), came: bool| {
        let text = Some(format!("{address}/{prefix}"));
        let (before, after) = if came { (None, text) } else { (text, None) };
        Change { kind: EventKind::Address, subject: name(*link), before, after, detail: None }
    };
    let gone = before.keys().filter(|key| !after.contains_key(key)).map(|key| change(key, false));
    let came = after.keys().filter(|key| !before.contains_key(key)).map(|key| change(key, true));
    bounded(gone.chain(came), EventKind::Address)
}

/// Routes that came, went, or lead elsewhere now. Both lists are sorted, as [`crate::host::facts::Facts`] has them.
#[must_use]
pub fn routes(before: &[Route], after: &[Route], name: impl Fn(u32) -> String) -> Vec<Change> {
    let mut differ: BTreeMap<String, [Vec<String>; 2]> = BTreeMap::new();
    let mut more = 0;
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.cmp(other),
        };
        let (side, route) = match order {
            Ordering::Equal => {
                old.next();
                new.next();
                continue;
            }
            Ordering::Less => (0, old.next()),
            Ordering::Greater => (1, new.next()),
        };
        let Some(route) = route.filter(|route| !is_kernels(route)) else { continue };
        let subject = subject(route);
        if differ.len() >= MOST && !differ.contains_key(&subject) {
            more += 1;
            continue;
        }
        let ways = &mut differ.entry(subject).or_default()[side];
        if ways.len() < MOST_WAYS {
            ways.push(way(route, &name));
        }
    }
    let changes = differ.into_iter().map(|(subject, ways)| {
        let [before, after] = ways.map(|ways| (!ways.is_empty()).then(|| ways.join("; ")));
        Change { kind: EventKind::Route, subject, before, after, detail: None }
    });
    let mut told: Vec<Change> = changes.collect();
    told.extend(rest(more, EventKind::Route));
    told
}

/// What the kernel makes by itself, for each address there is and for each interface that is up.
fn is_kernels(route: &Route) -> bool {
    let link_local = match route.destination {
        IpNet::V4(_) => false,
        IpNet::V6(network) => network.addr().is_unicast_link_local() || network.addr().is_multicast(),
    };
    route.table == table::LOCAL || link_local
}

fn subject(route: &Route) -> String {
    let destination = match route.destination.prefix_len() {
        0 if route.destination.addr().is_ipv4() => "default".to_owned(),
        0 => "default of IPv6".to_owned(),
        _ => route.destination.to_string(),
    };
    match route.table {
        table::MAIN => destination,
        other => format!("{destination} (table {other})"),
    }
}

fn way(route: &Route, name: &impl Fn(u32) -> String) -> String {
    let mut words = Vec::new();
    match route.kind {
        RouteKind::Blackhole => words.push("blackhole".to_owned()),
        RouteKind::Unreachable => words.push("unreachable".to_owned()),
        RouteKind::Prohibit => words.push("prohibit".to_owned()),
        RouteKind::Throw => words.push("throw".to_owned()),
        _ => {}
    }
    words.extend(route.gateway.map(|gateway| format!("via {gateway}")));
    words.extend(route.link.map(|link| format!("dev {}", name(link))));
    if route.metric != 0 {
        words.push(format!("metric {}", route.metric));
    }
    words.join(" ")
}

fn bounded(changes: impl Iterator<Item = Change>, kind: EventKind) -> Vec<Change> {
    let mut changes = changes.peekable();
    let mut told: Vec<Change> = changes.by_ref().take(MOST).collect();
    told.extend(rest(changes.count(), kind));
    told
}

/// Those that are not told one by one.
fn rest(more: usize, kind: EventKind) -> Option<Change> {
    let subject = format!("{more} more at once");
    (more > 0).then_some(Change { kind, subject, before: None, after: None, detail: None })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::host::facts::{Address, AddressScope, test_links::veth};

    fn name(index: u32) -> String {
        format!("if{index}")
    }

    fn route(destination: &str, link: u32, gateway: Option<&str>) -> Route {
        Route {
            table: table::MAIN,
            destination: destination.parse().unwrap(),
            metric: 0,
            link: Some(link),
            gateway: gateway.map(|one| one.parse().unwrap()),
            preferred_source: None,
            kind: RouteKind::Unicast,
        }
    }

    fn told(changes: &[Change]) -> Vec<(&str, Option<&str>, Option<&str>)> {
        changes
            .iter()
            .map(|one| (one.subject.as_str(), one.before.as_deref(), one.after.as_deref()))
            .collect()
    }

    #[test]
    fn routes_come_go_and_lead_elsewhere() {
        let (default, moved) = (route("0.0.0.0/0", 2, Some("198.51.100.1")), route("10.0.0.0/8", 3, None));
        let other = route("10.0.0.0/8", 4, None);
        let all = |mut routes: Vec<Route>| {
            routes.sort();
            routes
        };
        let (before, after) = (all(vec![default.clone(), moved]), all(vec![other]));
        assert_eq!(
            told(&routes(&before, &after, name)),
            [
                ("10.0.0.0/8", Some("dev if3"), Some("dev if4")),
                ("default", Some("via 198.51.100.1 dev if2"), None)
            ]
        );
        assert_eq!(
            told(&routes(&after, &all(vec![default, route("10.0.0.0/8", 4, None)]), name)),
            [("default", None, Some("via 198.51.100.1 dev if2"))]
        );
        assert!(routes(&before, &before, name).is_empty());
    }

    #[test]
    fn the_kernels_own_routes_are_not_told() {
        let own = Route { table: table::LOCAL, kind: RouteKind::Local, ..route("10.0.0.1/32", 3, None) };
        let link_local = route("fe80::/64", 3, None);
        assert!(routes(&[], &[own, link_local], name).is_empty());
    }

    #[test]
    fn thousands_of_routes_are_told_by_their_number() {
        let mut many: Vec<Route> =
            (0..1_000).map(|n| route(&format!("10.{}.{}.0/24", n / 256, n % 256), 2, None)).collect();
        many.sort();
        let changes = routes(&many, &[], name);
        assert_eq!(changes.len(), MOST + 1);
        assert_eq!(changes[MOST].subject, format!("{} more at once", 1_000 - MOST));
    }

    #[test]
    fn interfaces_come_change_and_go() {
        let up = veth(2, "va");
        let down = Link { up: false, ..veth(2, "va") };
        let change = link(Some(&up), Some(&down)).unwrap();
        assert_eq!(
            (change.before.as_deref(), change.after.as_deref()),
            (Some("up, mtu 1500"), Some("down, mtu 1500"))
        );
        assert_eq!(link(Some(&up), Some(&Link { mac: None, ..veth(2, "va") })), None, "of no interest");
        let renamed = link(Some(&up), Some(&veth(2, "vb"))).unwrap();
        assert_eq!((renamed.subject.as_str(), renamed.detail.as_deref()), ("vb", Some("was called va")));
        assert_eq!(link(Some(&up), None).unwrap().after, None);
        assert_eq!(link(None, Some(&up)).unwrap().before, None);
    }

    #[test]
    fn addresses_come_and_go() {
        let one = |address: &str| Address {
            link: 2,
            address: address.parse::<IpAddr>().unwrap(),
            prefix: 24,
            scope: AddressScope::Global,
            peer: None,
            broadcast: None,
        };
        let of = |all: &[&str]| all.iter().map(|text| (one(text).key(), one(text))).collect::<Addresses>();
        let changes = addresses(&of(&["10.0.0.1"]), &of(&["10.0.0.2"]), name);
        assert_eq!(told(&changes), [("if2", Some("10.0.0.1/24"), None), ("if2", None, Some("10.0.0.2/24"))]);
    }
}
