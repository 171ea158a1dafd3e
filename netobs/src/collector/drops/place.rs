//! The interfaces a dropped packet was on → the hop where it was seen last, and the one that should have been next.

use std::collections::HashMap;

use netobs_common::{drop::DropKey, endpoint::EndpointId, hook::Hook, interface::Role};

use crate::{
    flow::{
        conversation::{Conversation, Place},
        interfaces::{Interfaces, Observed},
        table::Directory,
    },
    path::order,
    report::HopDirection,
};

/// The host's interfaces as the kernel numbers them now.
pub(super) struct Places<'a> {
    by_index: HashMap<u32, (u32, &'a Observed)>,
}

/// Where a packet was when it was dropped, of the host's own interfaces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct At<'a> {
    /// The interface it was on.
    pub(super) device: Option<(u32, &'a Observed)>,
    /// The interface it came in by.
    pub(super) ingress: Option<(u32, &'a Observed)>,
}

impl At<'_> {
    /// Where a packet was seen last of which nothing else is known: where it came in. What was made here passes its
    /// first hook later.
    pub(super) fn seen_last(&self) -> Option<Place> {
        self.ingress.map(|(interface, _)| Place { interface, hook: Hook::INGRESS })
    }

    fn is_on(&self, place: Place) -> bool {
        [self.device, self.ingress].into_iter().flatten().any(|(number, _)| number == place.interface)
    }
}

impl<'a> Places<'a> {
    pub(super) fn of(interfaces: &'a Interfaces) -> Self {
        let here = interfaces.iter().filter(|(_, one)| one.alive && !one.is_inside());
        Self { by_index: here.map(|(number, one)| (one.ifindex, (number, one))).collect() }
    }

    pub(super) fn of_drop(&self, key: &DropKey) -> At<'a> {
        self.at(key.device, key.ingress)
    }

    pub(super) fn at(&self, device: u32, ingress: u32) -> At<'a> {
        let find = |index: u32| self.by_index.get(&index).copied();
        At { device: find(device), ingress: find(ingress) }
    }
}

/// Of a conversation's hops in the packet's direction, the last one that it passed: on an interface it was on, or,
/// where it was dropped `inside` an endpoint, the last of all. What came by no hook has none.
pub(super) fn last_hop(
    conversation: &Conversation,
    direction: HopDirection,
    at: &At<'_>,
    inside: bool,
    interfaces: &Interfaces,
) -> Option<Place> {
    let hops = order::hops(conversation, direction, interfaces);
    let mut places = hops.iter().map(|one| one.place());
    if inside {
        return places.next_back();
    }
    places.rfind(|place| at.is_on(*place)).or_else(|| at.seen_last())
}

/// The receiver's own interface; the uplink, where the receiver is not on this host.
pub(super) fn expected(
    receiver: EndpointId,
    last: Option<Place>,
    places: &Places<'_>,
    directory: &impl Directory,
) -> Option<Place> {
    let beyond = receiver == EndpointId::EXTERNAL || receiver.is_elsewhere();
    let is_next = |one: &Observed| match one.owner() {
        Some(owner) => directory.current(owner) == receiver && receiver != EndpointId::HOST,
        None => beyond && one.role() == Role::UPLINK,
    };
    let found = places.by_index.values().filter(|(_, one)| is_next(one)).map(|(number, _)| *number).min();
    found.map(|interface| Place { interface, hook: Hook::EGRESS }).filter(|place| Some(*place) != last)
}
