//! Hops in the order of travel, by what the interfaces are, not by guess.

use netobs_common::{hook::Hook, interface::Role};

use crate::{
    flow::{
        conversation::{Conversation, Place, Sighting},
        interfaces::{Interfaces, Observed},
    },
    report::HopDirection,
};

/// The sightings of one direction in the order of travel.
#[must_use]
pub fn hops<'a>(
    conversation: &'a Conversation,
    direction: HopDirection,
    interfaces: &Interfaces,
) -> Vec<&'a Sighting> {
    let mut hops: Vec<_> = conversation.toward(direction).collect();
    hops.sort_by_key(|sighting| {
        (
            interfaces.get(sighting.key.interface).map_or(u8::MAX, |one| rank(one, sighting.key.hook)),
            sighting.first_seen,
        )
    });
    hops
}

/// Where a direction was seen first.
#[must_use]
pub fn first(conversation: &Conversation, direction: HopDirection, interfaces: &Interfaces) -> Option<Place> {
    hops(conversation, direction, interfaces).first().map(|sighting| sighting.place())
}

/// How far on its way through the host a packet is at a hook: in by a port or an uplink, decapsulated, up
/// through the bridge, routed, down through the bridge, encapsulated, out by a port or an uplink
/// (measured sequences: docs/paths.md). On `lo` it leaves before it arrives.
const fn rank(interface: &Observed, hook: Hook) -> u8 {
    let ingress = hook.0 == Hook::INGRESS.0;
    match (interface.kernel.role, ingress) {
        (Role::LOOPBACK, true) => 1,
        (Role::LOOPBACK, false) => 0,
        (Role::OVERLAY, true) => 3,
        (Role::BRIDGE, true) => 4,
        (_, true) => 2,
        (Role::BRIDGE, false) => 5,
        (Role::OVERLAY, false) => 6,
        (_, false) => 7,
    }
}
