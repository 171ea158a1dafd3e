//! A sighting without flow detail → whether it is the one that counts.
//!
//! Every packet is seen at several hooks and counted at one. With flow detail the collector decides by
//! the initiator (`netobs::path::counting`). Without it, this rule decides packet by packet, the same way
//! in the kernel and in the collector, with the client told by the ports.

use crate::{
    endpoint::{EndpointId, Party},
    hook::Hook,
    interface::{Interface, Role},
    key::{Client, Origin, Ports},
    wire::Protocol,
};

/// Which side is taken for the client: the one with the higher port, as servers listen on low ones; the
/// sender where ports are equal or absent. Both directions of a TCP, UDP or SCTP flow give the same side.
#[must_use]
#[inline(always)]
pub const fn client(protocol: Protocol, ports: Ports) -> Client {
    match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP if ports.destination > ports.source => {
            Client::DESTINATION
        }
        _ => Client::SOURCE,
    }
}

/// Whether this sighting counts: at the client's own interface if it has one, else at the other side's;
/// between host and outside, and in transit, at the uplink where the packet enters or, made here, leaves;
/// on loopback at egress; broadcast and multicast where they enter.
#[must_use]
#[inline(always)]
pub fn counts(
    interface: &Interface,
    hook: Hook,
    origin: Origin,
    source: Party,
    destination: Party,
    client: Client,
) -> bool {
    let ingress = hook == Hook::INGRESS;
    if interface.role == Role::LOOPBACK {
        return !ingress;
    }
    if destination.id == EndpointId::GROUP {
        return if ingress {
            interface.role != Role::BRIDGE
        } else {
            origin == Origin::LOCAL && interface.port == 0
        };
    }
    let by_source = match (source.has_own_interface(), destination.has_own_interface()) {
        (true, true) => client == Client::SOURCE,
        (true, false) => true,
        (false, true) => false,
        (false, false) => {
            return interface.role == Role::UPLINK && (ingress || origin == Origin::LOCAL);
        }
    };
    if by_source {
        ingress && interface.owner == source.id
    } else {
        !ingress && interface.owner == destination.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Kind;

    const WEB: Party = Party::new(EndpointId(20), Kind::CONTAINER, true);
    const DB: Party = Party::new(EndpointId(21), Kind::CONTAINER, true);

    fn veth(owner: Party) -> Interface {
        Interface { id: owner.id.0, owner: owner.id, role: Role::VETH, port: 1, ..Interface::default() }
    }

    fn of_role(role: Role) -> Interface {
        Interface { id: 1, role, ..Interface::default() }
    }

    fn where_counted(source: Party, destination: Party, client: Client) -> Vec<&'static str> {
        let places = [
            ("web I", veth(WEB), Hook::INGRESS, Origin::LOCAL),
            ("web E", veth(WEB), Hook::EGRESS, Origin::FORWARDED),
            ("db I", veth(DB), Hook::INGRESS, Origin::LOCAL),
            ("db E", veth(DB), Hook::EGRESS, Origin::FORWARDED),
            ("br I", of_role(Role::BRIDGE), Hook::INGRESS, Origin::LOCAL),
            ("br E", of_role(Role::BRIDGE), Hook::EGRESS, Origin::FORWARDED),
            ("up I", of_role(Role::UPLINK), Hook::INGRESS, Origin::LOCAL),
            ("up E", of_role(Role::UPLINK), Hook::EGRESS, Origin::FORWARDED),
        ];
        places
            .iter()
            .filter(|(_, interface, hook, origin)| {
                counts(interface, *hook, *origin, source, destination, client)
            })
            .map(|(name, ..)| *name)
            .collect()
    }

    use std::{vec, vec::Vec};

    #[test]
    fn between_two_containers_both_directions_count_at_the_client() {
        assert_eq!(where_counted(WEB, DB, Client::SOURCE), ["web I"]);
        assert_eq!(where_counted(DB, WEB, Client::DESTINATION), ["web E"]);
    }

    #[test]
    fn host_and_container_count_at_the_container() {
        assert_eq!(where_counted(Party::HOST, WEB, Client::SOURCE), ["web E"]);
        assert_eq!(where_counted(WEB, Party::HOST, Client::DESTINATION), ["web I"]);
    }

    #[test]
    fn outside_and_container_count_at_the_container() {
        assert_eq!(where_counted(WEB, Party::EXTERNAL, Client::SOURCE), ["web I"]);
        assert_eq!(where_counted(Party::EXTERNAL, WEB, Client::DESTINATION), ["web E"]);
    }

    #[test]
    fn outside_to_host_and_transit_count_where_they_enter() {
        assert_eq!(where_counted(Party::EXTERNAL, Party::HOST, Client::SOURCE), ["up I"]);
        assert_eq!(where_counted(Party::EXTERNAL, Party::EXTERNAL, Client::SOURCE), ["up I"]);
    }

    #[test]
    fn host_to_outside_counts_where_it_leaves_and_translated_packets_do_not() {
        let up = of_role(Role::UPLINK);
        let at = |origin| counts(&up, Hook::EGRESS, origin, Party::HOST, Party::EXTERNAL, Client::SOURCE);
        assert!(at(Origin::LOCAL));
        assert!(!at(Origin::FORWARDED));
    }

    #[test]
    fn multicast_counts_where_it_enters() {
        assert_eq!(where_counted(WEB, Party::GROUP, Client::SOURCE), ["web I", "db I", "up I"]);
        let bridge = of_role(Role::BRIDGE);
        let from_host = |interface, origin| {
            counts(interface, Hook::EGRESS, origin, Party::HOST, Party::GROUP, Client::SOURCE)
        };
        assert!(from_host(&bridge, Origin::LOCAL));
        assert!(!from_host(&veth(WEB), Origin::LOCAL), "the bridge floods what was counted there");
    }

    #[test]
    fn loopback_counts_once() {
        let lo = of_role(Role::LOOPBACK);
        let at = |hook| counts(&lo, hook, Origin::LOCAL, Party::HOST, Party::HOST, Client::SOURCE);
        assert_eq!(vec![at(Hook::INGRESS), at(Hook::EGRESS)], [false, true]);
    }

    #[test]
    fn both_directions_name_the_same_client() {
        let there = client(Protocol::TCP, Ports { source: 40_000, destination: 80 });
        let back = client(Protocol::TCP, Ports { source: 80, destination: 40_000 });
        assert_eq!((there, back), (Client::SOURCE, Client::DESTINATION));
    }
}
