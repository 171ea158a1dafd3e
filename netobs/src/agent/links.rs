//! The host's interfaces → their rows in the report. Pure.

use std::collections::BTreeSet;

use super::interfaces;
use crate::{
    host::facts::{Facts, Link, LinkKind},
    identity::text,
    report::LinkRow,
};

/// Every interface, by index.
pub(super) fn rows(facts: &Facts, uplinks: &BTreeSet<u32>) -> Vec<LinkRow> {
    let row = |link: &Link| LinkRow {
        name: text::clean(&link.name).into(),
        ifindex: link.index,
        kind: kind(&link.kind).into(),
        role: interfaces::role(link, uplinks).ok().map(Into::into),
        bridge: facts.bridge_of(link.index),
        lower: lower(link).filter(|index| facts.links.contains_key(index)),
    };
    facts.links.values().map(row).collect()
}

/// The kernel's word for a kind of device (`ip link add type …`).
fn kind(kind: &LinkKind) -> String {
    let word = match kind {
        LinkKind::Loopback => "loopback",
        LinkKind::Physical => "physical",
        LinkKind::Veth => "veth",
        LinkKind::Bridge => "bridge",
        LinkKind::Tun { tap: true } => "tap",
        LinkKind::Tun { tap: false } => "tun",
        LinkKind::Vxlan(_) => "vxlan",
        LinkKind::Macvlan => "macvlan",
        LinkKind::Macvtap => "macvtap",
        LinkKind::Ipvlan => "ipvlan",
        LinkKind::Vlan { .. } => "vlan",
        LinkKind::Geneve { .. } => "geneve",
        LinkKind::Gre => "gre",
        LinkKind::Ipip => "ipip",
        LinkKind::Wireguard => "wireguard",
        LinkKind::Dummy => "dummy",
        LinkKind::Ifb => "ifb",
        LinkKind::Bond => "bond",
        LinkKind::Other(word) => return text::clean(word),
    };
    word.to_owned()
}

/// The device below, where it is one of this host. The other end of a pair is beside, not below.
fn lower(link: &Link) -> Option<u32> {
    match &link.kind {
        LinkKind::Veth => None,
        LinkKind::Vlan { lower, .. } => *lower,
        LinkKind::Vxlan(vxlan) => vxlan.lower,
        _ => link.lower.filter(|_| link.peer_namespace.is_none()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::facts::test_links::{bridge, veth},
        report::RoleName,
    };

    fn rows_of(links: Vec<Link>, uplinks: &[u32]) -> Vec<LinkRow> {
        let facts = Facts::from_lists(links, vec![], vec![], vec![], vec![]);
        rows(&facts, &uplinks.iter().copied().collect())
    }

    #[test]
    fn a_port_names_its_bridge_and_an_uplink_is_one_whatever_its_kind() {
        let mut port = veth(4, "va");
        (port.master, port.lower) = (Some(3), Some(9));
        let rows = rows_of(vec![veth(2, "up0"), bridge(3, "br0"), port], &[2]);
        assert_eq!(rows[0].role, Some(RoleName::Uplink));
        assert_eq!((rows[1].role, &*rows[1].kind), (Some(RoleName::Bridge), "bridge"));
        assert_eq!((rows[2].bridge, rows[2].lower), (Some(3), None), "the other end is not below");
    }

    #[test]
    fn a_device_in_another_namespace_is_not_below() {
        let macvtap = |namespace| Link {
            kind: LinkKind::Macvtap,
            lower: Some(2),
            peer_namespace: namespace,
            ..veth(5, "macvtap0")
        };
        assert_eq!(rows_of(vec![veth(2, "up0"), macvtap(None)], &[2])[1].lower, Some(2));
        assert_eq!(rows_of(vec![veth(2, "up0"), macvtap(Some(1))], &[2])[1].lower, None);
    }

    #[test]
    fn a_card_without_a_default_route_has_no_role() {
        let card = Link { kind: LinkKind::Physical, ..veth(2, "eth1") };
        let rows = rows_of(vec![card], &[]);
        assert_eq!((rows[0].role, &*rows[0].kind), (None, "physical"));
    }

    #[test]
    fn names_from_outside_are_cleaned() {
        let odd = Link { kind: LinkKind::Other("x\u{202e}y".into()), ..veth(2, "a\u{1b}b") };
        let rows = rows_of(vec![odd], &[]);
        assert_eq!((&*rows[0].name, &*rows[0].kind), ("a?b", "x?y"));
    }
}
