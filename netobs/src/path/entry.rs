//! Whether a sighting is where its packet enters this host, with endpoints by the numbers they have now.

use netobs_common::{
    counters::FlowCounters, endpoint::EndpointId, entry, hook::Hook, interface::Interface, key::Origin,
};

use crate::flow::table::Directory;

/// The rule of [`netobs_common::entry`].
#[must_use]
pub fn is_entry(
    interface: &Interface,
    hook: Hook,
    origin: Origin,
    receiver: EndpointId,
    directory: &impl Directory,
) -> bool {
    entry::is_entry(interface, hook, origin, receiver, |owner, receiver| {
        directory.current(owner) == directory.current(receiver)
    })
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
