//! Sightings of one flow → the place whose numbers are published. The only place that can make a byte
//! disappear from a sum: every other hop repeats what this one says.

use netobs_common::{counters::Counters, endpoint::EndpointId, hook::Hook, interface::Role};

use super::order;
use crate::{
    flow::{
        conversation::{Conversation, Counting, Place},
        interfaces::Interfaces,
        table::index,
    },
    report::HopDirection,
};

/// Where a direction is counted: for both directions at the source's own interface if it has one, else at
/// the destination's; between host and outside, and in transit, at the uplink where the flow enters or,
/// made here, leaves; on loopback at the egress of `lo`; broadcast and multicast where they enter.
#[must_use]
pub fn place(conversation: &Conversation, direction: HopDirection, interfaces: &Interfaces) -> Counting {
    let alive = |place: &Place| interfaces.get(place.interface).is_some_and(|one| one.alive);
    let mut places: Vec<Place> = conversation.toward(direction).map(|sighting| sighting.place()).collect();
    if places.iter().any(alive) {
        places.retain(alive);
    }
    let owned_by = |endpoint: EndpointId, hook: Hook| {
        places.iter().copied().find(|place| {
            // Inside is detail: the host's end of the pair says the same, and says it of everybody.
            let interface = interfaces.get(place.interface).filter(|one| !one.is_inside());
            place.hook == hook && interface.and_then(|one| one.owner()) == Some(endpoint)
        })
    };
    let of_role = |role: Role, hook: Hook| {
        places.iter().copied().find(|place| {
            let found = interfaces.get(place.interface).map(|interface| interface.role());
            place.hook == hook && found == Some(role)
        })
    };
    let (near, far) = match direction {
        HopDirection::Forward => (Hook::INGRESS, Hook::EGRESS),
        HopDirection::Reply => (Hook::EGRESS, Hook::INGRESS),
    };
    let loopback = of_role(Role::LOOPBACK, Hook::EGRESS);
    let at_source = owned_by(conversation.source, near);
    let at_destination = owned_by(conversation.destination, far);
    let first = || {
        order::first(conversation, direction, interfaces)
            .filter(|place| places.contains(place))
            .or_else(|| places.first().copied())
    };
    if conversation.is_group() {
        return first().map_or(Counting::Undecided, Counting::At);
    }
    let between = || of_role(Role::UPLINK, Hook::INGRESS).or_else(|| of_role(Role::UPLINK, Hook::EGRESS));
    // A hop may be missing: attached late, or gone early. Then the next best counts, and counts alone.
    let chosen = loopback.or(at_source).or(at_destination).or_else(between).or_else(first);
    chosen.map_or(Counting::Undecided, Counting::At)
}

/// A direction's counters: what was counted so far, and what its counting place has seen since.
#[must_use]
pub fn amount(conversation: &Conversation, direction: HopDirection) -> Counters {
    let mut amount = conversation.counted[index(direction)];
    amount.add(unbooked(conversation, direction));
    amount
}

/// What a direction's counting place has seen and nobody has booked; before the place is decided, the place
/// that saw most.
#[must_use]
pub fn unbooked(conversation: &Conversation, direction: HopDirection) -> Counters {
    let sum = |counting: Counting| {
        let mut sum = Counters::ZERO;
        for sighting in conversation.toward(direction).filter(|sighting| counting.counts(sighting)) {
            sum.add(sighting.seen.since(sighting.booked));
        }
        sum
    };
    match conversation.counting[index(direction)] {
        Counting::Undecided => conversation
            .toward(direction)
            .map(|sighting| sum(Counting::At(sighting.place())))
            .max_by_key(|counters| counters.bytes)
            .unwrap_or(Counters::ZERO),
        decided => sum(decided),
    }
}
