//! A sighting → whether it is where its packet enters this host or is made on it: the place where packets
//! without flow detail are counted, by the same rule in the kernel and in the collector.
//!
//! Every packet passes exactly one such place, and no translation can hide it: what comes in is counted
//! where it comes in, whatever addresses it is given later. With flow detail the collector counts at the
//! source's interface (`netobs::path::counting`); packet by packet that cannot be told, for the answer to a
//! masqueraded connection is addressed to the host at the uplink and to the container behind it.

use crate::{
    endpoint::EndpointId,
    hook::Hook,
    interface::{Interface, Role},
    key::Origin,
};

/// Whether packets seen here are counted here: on loopback at egress; what comes in at the ingress of
/// anything but a bridge, which repeats what its ports said, and a tunnel's device, which repeats what was seen
/// inside the outer packet; what is made here at the receiver's own
/// interface, else at the uplink or tunnel, and for groups before a bridge multiplies it.
///
/// `is_same` compares the interface's owner with the receiver: the collector's numbers change while a packet
/// waits to be read, as an interface's becomes its container's.
#[must_use]
#[inline(always)]
pub fn is_entry(
    interface: &Interface,
    hook: Hook,
    origin: Origin,
    encapsulated: bool,
    receiver: EndpointId,
    is_same: impl FnOnce(EndpointId, EndpointId) -> bool,
) -> bool {
    let ingress = hook == Hook::INGRESS;
    if interface.role == Role::LOOPBACK {
        return !ingress;
    }
    // Outside it is seen as well, and counted there.
    if interface.inside != 0 {
        return false;
    }
    if ingress {
        return interface.role != Role::BRIDGE && interface.tunnels.repeats == 0;
    }
    // What leaves inside another packet entered before, or was made where it was put into it.
    if encapsulated || origin == Origin::FORWARDED {
        return false;
    }
    if receiver == EndpointId::GROUP {
        return interface.port == 0;
    }
    match interface.owner {
        EndpointId::UNKNOWN => interface.role != Role::BRIDGE,
        // A bridge floods what it has no port for: the owner is not the receiver of all it gets.
        owner => is_same(owner, receiver),
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::{
        endpoint::{Kind, Party},
        tunnel::Tunnels,
    };

    const WEB: Party = Party::new(EndpointId(20), Kind::CONTAINER, true);
    const DB: Party = Party::new(EndpointId(21), Kind::CONTAINER, true);

    fn veth(owner: Party) -> Interface {
        Interface { id: owner.id.0, owner: owner.id, role: Role::VETH, port: 1, ..Interface::default() }
    }

    fn of_role(role: Role) -> Interface {
        Interface { id: 1, role, ..Interface::default() }
    }

    /// Of the places a packet passes, with the receiver as each of them sees it, those where it is counted.
    fn counted(way: &[(&'static str, Interface, Hook, Origin, EndpointId)]) -> Vec<&'static str> {
        let entry = |(_, interface, hook, origin, receiver): &&(_, Interface, Hook, Origin, EndpointId)| {
            is_entry(interface, *hook, *origin, false, *receiver, |owner, receiver| owner == receiver)
        };
        way.iter().filter(entry).map(|(name, ..)| *name).collect()
    }

    const IN: Hook = Hook::INGRESS;
    const OUT: Hook = Hook::EGRESS;
    const HERE: Origin = Origin::LOCAL;
    const PASSED: Origin = Origin::FORWARDED;

    #[test]
    fn between_two_containers_it_is_the_senders_interface() {
        let way = [("web I", veth(WEB), IN, HERE, DB.id), ("db E", veth(DB), OUT, PASSED, DB.id)];
        assert_eq!(counted(&way), ["web I"]);
    }

    #[test]
    fn a_masqueraded_question_and_its_answer_count_once_each() {
        let bridge = of_role(Role::BRIDGE);
        let uplink = of_role(Role::UPLINK);
        let question = [
            ("web I", veth(WEB), IN, HERE, EndpointId::EXTERNAL),
            ("br I", bridge, IN, HERE, EndpointId::EXTERNAL),
            ("up E", uplink, OUT, PASSED, EndpointId::EXTERNAL),
        ];
        assert_eq!(counted(&question), ["web I"]);
        let answer = [
            ("up I", uplink, IN, HERE, EndpointId::HOST),
            ("br E", bridge, OUT, PASSED, WEB.id),
            ("web E", veth(WEB), OUT, PASSED, WEB.id),
        ];
        assert_eq!(counted(&answer), ["up I"]);
    }

    #[test]
    fn what_the_host_makes_counts_at_the_receivers_interface_or_the_uplink() {
        let bridge = of_role(Role::BRIDGE);
        let to_web = [
            ("br E", bridge, OUT, HERE, WEB.id),
            ("web E", veth(WEB), OUT, HERE, WEB.id),
            ("db E flooded", veth(DB), OUT, HERE, WEB.id),
        ];
        assert_eq!(counted(&to_web), ["web E"]);
        assert_eq!(counted(&[("up E", of_role(Role::UPLINK), OUT, HERE, EndpointId::EXTERNAL)]), ["up E"]);
    }

    #[test]
    fn a_broadcast_counts_where_it_enters_and_not_where_a_bridge_floods_it() {
        let from_web = [
            ("web I", veth(WEB), IN, HERE, EndpointId::GROUP),
            ("db E", veth(DB), OUT, PASSED, EndpointId::GROUP),
        ];
        assert_eq!(counted(&from_web), ["web I"]);
        let bridge = of_role(Role::BRIDGE);
        let from_host = [
            ("br E", bridge, OUT, HERE, EndpointId::GROUP),
            ("web E", veth(WEB), OUT, HERE, EndpointId::GROUP),
        ];
        assert_eq!(counted(&from_host), ["br E"]);
    }

    #[test]
    fn inside_an_endpoint_only_its_loopback_counts() {
        let inside = |role| Interface { inside: 1, ..of_role(role) };
        let enters = |role, hook| is_entry(&inside(role), hook, HERE, false, WEB.id, |_, _| true);
        assert!(enters(Role::LOOPBACK, OUT) && !enters(Role::LOOPBACK, IN));
        assert!(!enters(Role::VETH, OUT) && !enters(Role::VETH, IN) && !enters(Role::MACVLAN, OUT));
    }

    #[test]
    fn loopback_counts_at_egress() {
        let lo = of_role(Role::LOOPBACK);
        let way = [("lo E", lo, OUT, HERE, EndpointId::HOST), ("lo I", lo, IN, HERE, EndpointId::HOST)];
        assert_eq!(counted(&way), ["lo E"]);
    }

    #[test]
    fn what_travels_inside_another_packet_counts_where_that_enters_and_not_where_it_leaves() {
        let enters = |interface: &Interface, hook, inside| {
            is_entry(interface, hook, HERE, inside, WEB.id, |owner, receiver| owner == receiver)
        };
        let tunnel =
            Interface { tunnels: Tunnels { repeats: 1, ..Tunnels::default() }, ..of_role(Role::OVERLAY) };
        assert!(enters(&of_role(Role::UPLINK), IN, true));
        assert!(!enters(&tunnel, IN, false), "seen at the uplink already");
        assert!(enters(&of_role(Role::OVERLAY), IN, false), "the uplink does not look into these");
        assert!(enters(&tunnel, OUT, false), "made here");
        assert!(!enters(&of_role(Role::UPLINK), OUT, true));
    }
}
