//! Which interface lies on which → how far above the wire each is. Pure.

use std::collections::BTreeSet;

use super::{Facts, Link, LinkKind};

/// Devices stacked higher than this are stacked in a circle, as no kernel has them (`MAX_NEST_DEV`, Linux 6.18).
const HIGHEST: u8 = 8;

impl Facts {
    /// How many devices an interface lies on: 0 for a card, a tap, or the host's end of a pair; a bridge or a bond
    /// lies on its ports, a VLAN or macvlan device on its parent, a tunnel on the device below or else the
    /// uplinks. What comes in passes lower devices first, what goes out passes them last.
    #[must_use]
    pub fn height(&self, index: u32, uplinks: &BTreeSet<u32>) -> u8 {
        self.height_within(index, uplinks, HIGHEST)
    }

    fn height_within(&self, index: u32, uplinks: &BTreeSet<u32>, left: u8) -> u8 {
        let Some(link) = self.links.get(&index) else { return 0 };
        let Some(left) = left.checked_sub(1) else { return 0 };
        let above = |lower: u32| 1 + self.height_within(lower, uplinks, left);
        let on = |lower: Option<u32>| lower.map(above).unwrap_or(1);
        match &link.kind {
            LinkKind::Vxlan(vxlan) if vxlan.lower.is_some() => on(vxlan.lower),
            LinkKind::Vxlan(_)
            | LinkKind::Geneve { .. }
            | LinkKind::Gre
            | LinkKind::Ipip
            | LinkKind::Wireguard => {
                let lower = here(link).into_iter().chain(uplinks.iter().copied().filter(|one| *one != index));
                lower.map(above).max().unwrap_or(1)
            }
            LinkKind::Vlan { lower, .. } => on(*lower),
            LinkKind::Macvlan | LinkKind::Macvtap | LinkKind::Ipvlan => on(here(link)),
            _ => self.ports_of(index).into_iter().map(above).max().unwrap_or(0),
        }
    }
}

/// The device below, where it is one of this namespace.
fn here(link: &Link) -> Option<u32> {
    link.lower.filter(|_| link.peer_namespace.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::{
        Vxlan,
        link::tests::{bridge, veth},
    };

    fn on(master: u32, link: Link) -> Link {
        Link { master: Some(master), ..link }
    }

    fn of_kind(kind: LinkKind, index: u32) -> Link {
        Link { kind, ..veth(index, "x") }
    }

    fn heights(links: Vec<Link>, uplinks: &[u32], wanted: &[u32]) -> Vec<u8> {
        let facts = Facts::from_lists(links, vec![], vec![], vec![], vec![]);
        let uplinks = uplinks.iter().copied().collect();
        wanted.iter().map(|index| facts.height(*index, &uplinks)).collect()
    }

    #[test]
    fn a_bridge_lies_on_its_ports_and_a_tunnel_on_the_uplink() {
        let vxlan = of_kind(LinkKind::Vxlan(Vxlan::default()), 5);
        let links = vec![veth(2, "eth0"), bridge(3, "cni0"), on(3, veth(4, "va")), vxlan];
        assert_eq!(heights(links, &[2], &[2, 3, 4, 5]), [0, 1, 0, 1]);
    }

    #[test]
    fn a_tunnel_that_is_a_port_lifts_its_bridge() {
        let vxlan = on(3, of_kind(LinkKind::Vxlan(Vxlan::default()), 5));
        let links = vec![veth(2, "eth0"), bridge(3, "br0"), on(3, veth(4, "va")), vxlan];
        assert_eq!(heights(links, &[2], &[5, 3]), [1, 2]);
    }

    #[test]
    fn a_vlan_lies_on_its_trunk_and_a_tunnel_on_the_vlan_it_names() {
        let vlan = of_kind(LinkKind::Vlan { id: 7, lower: Some(2) }, 6);
        let vxlan = of_kind(LinkKind::Vxlan(Vxlan { lower: Some(6), ..Vxlan::default() }), 5);
        assert_eq!(heights(vec![veth(2, "eth0"), vlan, vxlan], &[2], &[6, 5]), [1, 2]);
    }

    #[test]
    fn a_parent_in_another_namespace_is_nothing_to_lie_on() {
        let far = Link { lower: Some(2), peer_namespace: Some(0), ..of_kind(LinkKind::Macvlan, 6) };
        let near = Link { lower: Some(2), ..of_kind(LinkKind::Macvlan, 7) };
        assert_eq!(heights(vec![bridge(2, "br"), on(2, veth(3, "p")), far, near], &[], &[6, 7]), [1, 2]);
    }

    #[test]
    fn a_circle_has_an_end() {
        let links = vec![on(3, bridge(2, "a")), on(2, bridge(3, "b"))];
        assert!(heights(links, &[], &[2])[0] <= HIGHEST);
    }
}
