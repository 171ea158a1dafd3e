//! Devices that encapsulate → on which interfaces their packets are looked into, and by which ports. Pure.

use std::collections::BTreeSet;

use netobs_common::{
    interface::Role,
    tunnel::{Encapsulation, Tunnels, VXLAN_PORTS},
};

use crate::host::facts::{Facts, Link, LinkKind};

/// VXLAN by its registered port (RFC 7348), and by the kernel's own, which it had before that and which Flannel uses.
const VXLAN: [u16; 2] = [4_789, 8_472];
/// Geneve (RFC 8926).
const GENEVE: u16 = 6_081;

/// What is looked into on this host: interfaces, and ports.
#[derive(Clone, Debug, Default)]
pub(super) struct Underlay {
    carriers: BTreeSet<u32>,
    vxlan: [u16; VXLAN_PORTS],
    geneve: u16,
}

impl Underlay {
    /// Of the host as it is. The devices' own ports go before the configured ones, those before the usual ones:
    /// there is room for four.
    pub(super) fn of(facts: &Facts, uplinks: &BTreeSet<u32>, configured: &[u16]) -> Self {
        let mut ports: Vec<u16> = Vec::new();
        let mut geneve = GENEVE;
        let mut carriers = uplinks.clone();
        for link in facts.links.values() {
            match &link.kind {
                LinkKind::Vxlan(vxlan) => {
                    ports.push(vxlan.port);
                    carriers.extend(vxlan.lower);
                }
                LinkKind::Geneve { port } if *port != 0 => geneve = *port,
                _ => {}
            }
        }
        ports.sort_unstable();
        ports.extend(configured.iter().chain(&VXLAN));
        let mut vxlan = [0; VXLAN_PORTS];
        let mut used = 0;
        for port in ports {
            if port != 0 && !vxlan.contains(&port) && used < VXLAN_PORTS {
                vxlan[used] = port;
                used += 1;
            }
        }
        // What an uplink is made of carries the same packets.
        let below: Vec<u32> = facts
            .links
            .values()
            .filter(|link| is_below(link, &carriers, facts))
            .map(|one| one.index)
            .collect();
        carriers.extend(below);
        Self { carriers, vxlan, geneve }
    }

    /// What the kernel side is told of an interface.
    pub(super) fn at(&self, link: &Link, role: Role) -> Tunnels {
        let enabled = self.carriers.contains(&link.index) && role != Role::OVERLAY;
        let repeats = role == Role::OVERLAY && self.looks_into(&link.kind);
        Tunnels {
            vxlan: if enabled { self.vxlan } else { [0; VXLAN_PORTS] },
            geneve: if enabled { self.geneve } else { 0 },
            enabled: u8::from(enabled),
            repeats: u8::from(repeats),
        }
    }

    fn looks_into(&self, kind: &LinkKind) -> bool {
        if self.carriers.is_empty() {
            return false;
        }
        match kind {
            LinkKind::Vxlan(vxlan) => {
                self.vxlan.contains(&vxlan.port)
                    && vxlan.lower.is_none_or(|lower| self.carriers.contains(&lower))
            }
            LinkKind::Geneve { port } => *port == self.geneve || *port == 0,
            LinkKind::Gre | LinkKind::Ipip => true,
            _ => false,
        }
    }
}

/// What a device puts packets into that nobody can look into.
pub(super) const fn seals(link: &Link) -> Encapsulation {
    match link.kind {
        LinkKind::Wireguard => Encapsulation::WIREGUARD,
        _ => Encapsulation::NONE,
    }
}

/// A card that is a port of a carrying bridge or bond, or under a carrying VLAN device.
fn is_below(link: &Link, carriers: &BTreeSet<u32>, facts: &Facts) -> bool {
    let card = matches!(link.kind, LinkKind::Physical | LinkKind::Bond | LinkKind::Vlan { .. });
    let is_lower = |upper: &Link| match upper.kind {
        LinkKind::Vlan { lower, .. } => lower == Some(link.index),
        _ => false,
    };
    card && (link.master.is_some_and(|master| carriers.contains(&master))
        || carriers.iter().filter_map(|one| facts.links.get(one)).any(is_lower))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::{Vxlan, test_links::veth};

    fn vxlan(index: u32, port: u16, lower: Option<u32>) -> Link {
        Link { kind: LinkKind::Vxlan(Vxlan { port, lower, ..Vxlan::default() }), ..veth(index, "vx") }
    }

    fn facts(links: Vec<Link>) -> Facts {
        Facts::from_lists(links, vec![], vec![], vec![], vec![])
    }

    #[test]
    fn an_uplink_is_looked_into_by_the_devices_ports_first() {
        let facts = facts(vec![veth(2, "eth0"), vxlan(5, 9_999, None), veth(3, "va")]);
        let underlay = Underlay::of(&facts, &BTreeSet::from([2]), &[7_777]);
        let uplink = underlay.at(&facts.links[&2], Role::UPLINK);
        assert_eq!((uplink.enabled, uplink.vxlan, uplink.geneve), (1, [9_999, 7_777, 4_789, 8_472], 6_081));
        assert_eq!(underlay.at(&facts.links[&3], Role::VETH), Tunnels::default());
        assert_eq!(
            underlay.at(&facts.links[&5], Role::OVERLAY),
            Tunnels { repeats: 1, ..Tunnels::default() }
        );
    }

    #[test]
    fn a_device_below_is_looked_into_although_no_default_route_leads_there() {
        let facts = facts(vec![veth(2, "eth0"), veth(4, "eth1"), vxlan(5, 4_789, Some(4))]);
        let underlay = Underlay::of(&facts, &BTreeSet::from([2]), &[]);
        assert_eq!(underlay.at(&facts.links[&4], Role::VETH).enabled, 1);
        assert_eq!(underlay.at(&facts.links[&5], Role::OVERLAY).repeats, 1);
    }

    #[test]
    fn the_card_below_a_bridge_or_a_vlan_carries_the_same_packets() {
        let card = Link { kind: LinkKind::Physical, master: Some(2), ..veth(4, "eth0") };
        let trunk = Link { kind: LinkKind::Physical, ..veth(6, "eth1") };
        let vlan = Link { kind: LinkKind::Vlan { id: 7, lower: Some(6) }, ..veth(7, "eth1.7") };
        let facts = facts(vec![crate::host::facts::test_links::bridge(2, "br0"), card, trunk, vlan]);
        let underlay = Underlay::of(&facts, &BTreeSet::from([2, 7]), &[]);
        assert_eq!(underlay.at(&facts.links[&4], Role::OTHER).enabled, 1);
        assert_eq!(underlay.at(&facts.links[&6], Role::OTHER).enabled, 1);
    }

    #[test]
    fn what_nobody_can_look_into_is_counted_where_it_comes_out() {
        let wireguard = Link { kind: LinkKind::Wireguard, ..veth(5, "wg0") };
        assert_eq!(seals(&wireguard), Encapsulation::WIREGUARD);
        assert_eq!(seals(&vxlan(6, 1, None)), Encapsulation::NONE);
        let facts = facts(vec![veth(2, "eth0"), wireguard, vxlan(6, 1, None)]);
        let underlay = Underlay::of(&facts, &BTreeSet::new(), &[]);
        assert_eq!(underlay.at(&facts.links[&5], Role::OVERLAY).repeats, 0);
        assert_eq!(underlay.at(&facts.links[&6], Role::OVERLAY).repeats, 0, "no uplink is known");
    }
}
