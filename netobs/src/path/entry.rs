//! Whether a sighting is where its packet enters this host, with endpoints by the numbers they have now.

use netobs_common::{
    counters::FlowCounters,
    endpoint::EndpointId,
    entry,
    hook::Hook,
    interface::Interface,
    key::{FlowKey, Origin},
    tunnel::Encapsulation,
};

use crate::flow::table::Directory;

/// The rule of [`netobs_common::entry`].
#[must_use]
pub fn is_entry(
    interface: &Interface,
    hook: Hook,
    origin: Origin,
    encapsulated: bool,
    receiver: EndpointId,
    directory: &impl Directory,
) -> bool {
    entry::is_entry(interface, hook, origin, encapsulated, receiver, |owner, receiver| {
        directory.current(owner) == directory.current(receiver)
    })
}

/// Whether a flow entry is of packets that are counted there.
#[must_use]
pub fn is_entry_of(
    interface: &Interface,
    key: &FlowKey,
    read: &FlowCounters,
    directory: &impl Directory,
) -> bool {
    let encapsulated = key.encapsulation != Encapsulation::NONE;
    let origin = origin(key.hook, read.ingress_ifindex);
    is_entry(interface, key.hook, origin, encapsulated, read.destination.id, directory)
}

fn origin(hook: Hook, ingress_ifindex: u32) -> Origin {
    if hook == Hook::EGRESS && ingress_ifindex != 0 { Origin::FORWARDED } else { Origin::LOCAL }
}
