//! A sighting → whether it is where its packet enters this host or is made on it: the place where packets
//! are counted while the flow table is full.
//!
//! Every packet passes exactly one such place, and no translation can hide it: what comes in is counted
//! where it comes in, whatever addresses it is given later. With flow detail the collector counts at the
//! source's interface ([`super::counting`]); packet by packet that cannot be told, for the answer to a
//! masqueraded connection is addressed to the host at the uplink and to the container behind it.

use netobs_common::{
    counters::FlowCounters,
    endpoint::EndpointId,
    hook::Hook,
    interface::{Interface, Role},
    key::Origin,
};

use crate::flow::table::Directory;

/// Whether packets seen here are counted here: on loopback at egress; what comes in at the ingress of
/// anything but a bridge, which repeats what its ports said; what is made here at the receiver's own
/// interface, else at the uplink or tunnel, and for groups before a bridge multiplies it.
#[must_use]
pub fn is_entry(
    interface: &Interface,
    hook: Hook,
    origin: Origin,
    receiver: EndpointId,
    directory: &impl Directory,
) -> bool {
    let ingress = hook == Hook::INGRESS;
    if interface.role == Role::LOOPBACK {
        return !ingress;
    }
    if ingress {
        return interface.role != Role::BRIDGE;
    }
    if origin == Origin::FORWARDED {
        return false;
    }
    if receiver == EndpointId::GROUP {
        return interface.port == 0;
    }
    match interface.owner() {
        // A bridge floods what it has no port for: the owner is not the receiver of all it gets. Numbers
        // change while a packet waits to be read: an interface's becomes its container's.
        Some(owner) => directory.current(owner.id) == directory.current(receiver),
        None => interface.role != Role::BRIDGE,
    }
}

/// Whether a flow entry is of packets that are counted there.
#[must_use]
pub fn is_entry_of(
    interface: &Interface,
    hook: Hook,
    read: &FlowCounters,
    directory: &impl Directory,
) -> bool {
    is_entry(interface, hook, origin(hook, read.ingress_ifindex), read.destination.id, directory)
}

fn origin(hook: Hook, ingress_ifindex: u32) -> Origin {
    if hook == Hook::EGRESS && ingress_ifindex != 0 { Origin::FORWARDED } else { Origin::LOCAL }
}
