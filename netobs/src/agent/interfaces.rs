//! Links → which of them are observed, in which role, and what the kernel side is told of each. Pure.

use std::collections::BTreeSet;

use netobs_common::{
    endpoint::{EndpointId, Kind},
    interface::{Interface, LinkLayer, Role},
    tunnel::Tunnels,
};

use crate::host::facts::{Facts, Link, LinkKind};

/// Hardware types with an Ethernet header (`if_arp.h`): `ARPHRD_ETHER`, `ARPHRD_LOOPBACK`.
const WITH_ETHERNET: [u16; 2] = [1, 772];

/// What an interface is for, or why it is not observed.
pub(super) fn role(link: &Link, uplinks: &BTreeSet<u32>) -> Result<Role, &'static str> {
    if uplinks.contains(&link.index) {
        return Ok(Role::UPLINK);
    }
    match &link.kind {
        LinkKind::Loopback => Ok(Role::LOOPBACK),
        LinkKind::Veth => Ok(Role::VETH),
        LinkKind::Tun { .. } => Ok(Role::TAP),
        LinkKind::Bridge => Ok(Role::BRIDGE),
        LinkKind::Vxlan(_)
        | LinkKind::Geneve { .. }
        | LinkKind::Gre
        | LinkKind::Ipip
        | LinkKind::Wireguard => Ok(Role::OVERLAY),
        LinkKind::Macvlan | LinkKind::Macvtap | LinkKind::Ipvlan => Ok(Role::MACVLAN),
        LinkKind::Physical | LinkKind::Bond | LinkKind::Vlan { .. } => {
            Err("no default route leads through it: name it by --uplink to observe it")
        }
        LinkKind::Dummy | LinkKind::Ifb | LinkKind::Other(_) => {
            Err("not a kind of interface packets travel by")
        }
    }
}

/// What the kernel side is told: `number` is the interface's, `bridge` that of the bridge it is a port of.
pub(super) fn describe(
    facts: &Facts,
    link: &Link,
    role: Role,
    number: u32,
    bridge: Option<u32>,
    owner: Option<(EndpointId, Kind)>,
    tunnels: Tunnels,
) -> Interface {
    let is_bridge = link.kind == LinkKind::Bridge;
    let is_port = facts.bridge_of(link.index).is_some();
    // An uplink's packets are nobody's own.
    let owner = owner.filter(|_| matches!(role, Role::VETH | Role::TAP));
    let (owner, owner_kind) = owner.unwrap_or_default();
    Interface {
        id: number,
        owner,
        segment: if is_bridge { number } else { bridge.unwrap_or(0) },
        role,
        link_layer: link_layer(link),
        port: u8::from(is_port),
        owner_kind,
        tunnels,
        inside: 0,
        padding: [0; 3],
    }
}

/// What an interface's packets start with.
pub(super) fn link_layer(link: &Link) -> LinkLayer {
    if WITH_ETHERNET.contains(&link.arphrd) { LinkLayer::ETHERNET } else { LinkLayer::NONE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::test_links::{bridge, veth};

    #[test]
    fn the_uplink_is_the_uplink_whatever_its_kind() {
        let uplinks = BTreeSet::from([2]);
        assert_eq!(role(&veth(2, "eth0"), &uplinks), Ok(Role::UPLINK));
        assert_eq!(role(&veth(3, "va"), &uplinks), Ok(Role::VETH));
    }

    #[test]
    fn a_second_card_says_how_it_can_be_observed() {
        let card = Link { kind: LinkKind::Physical, ..veth(2, "eth1") };
        assert!(role(&card, &BTreeSet::new()).is_err_and(|why| why.contains("--uplink")));
    }

    #[test]
    fn ports_have_their_bridges_segment_and_an_uplink_has_no_owner() {
        let mut port = veth(3, "va");
        port.master = Some(2);
        let facts = Facts::from_lists(vec![bridge(2, "br0"), port.clone()], vec![], vec![], vec![], vec![]);
        let owner = Some((EndpointId(20), Kind::CONTAINER));
        let told = describe(&facts, &port, Role::VETH, 8, Some(7), owner, Tunnels::default());
        assert_eq!((told.segment, told.port, told.owner), (7, 1, EndpointId(20)));
        let told = describe(&facts, &facts.links[&2], Role::BRIDGE, 7, None, None, Tunnels::default());
        assert_eq!((told.segment, told.port, told.owner), (7, 0, EndpointId::UNKNOWN));
        let told = describe(&facts, &port, Role::UPLINK, 8, Some(7), owner, Tunnels::default());
        assert_eq!(told.owner, EndpointId::UNKNOWN);
    }

    #[test]
    fn a_tun_device_has_no_ethernet_header() {
        let tun = Link { kind: LinkKind::Tun { tap: false }, arphrd: 65_534, ..veth(4, "tun0") };
        let told = describe(&Facts::default(), &tun, Role::TAP, 9, None, None, Tunnels::default());
        assert_eq!(told.link_layer, LinkLayer::NONE);
    }
}
