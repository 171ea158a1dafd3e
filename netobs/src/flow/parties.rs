//! Who the two sides are: what the kernel side wrote at each hook, and what is known of the address by now.

use std::net::IpAddr;

use netobs_common::{
    endpoint::{EndpointId, Kind, Party},
    wire::Proto,
};

pub use super::owners::Owner;
use super::{
    conversation::{Conversation, Sighting},
    interfaces::Interfaces,
    tuple::Peer,
};
use crate::report::HopDirection;

/// Questions to identity.
pub trait Directory {
    /// The number an endpoint goes by now.
    fn current(&self, endpoint: EndpointId) -> EndpointId;
    /// Who has an address on a bridge (by interface index), or in the routed part (0).
    fn holder(&self, segment: u32, address: IpAddr) -> Option<EndpointId>;
    /// What an endpoint is.
    fn kind(&self, endpoint: EndpointId) -> Kind;
    /// Whether several endpoints have the address, on different segments.
    fn is_ambiguous(&self, address: IpAddr) -> bool;
    /// Whose network stack an endpoint uses: its own, or the host's ([`EndpointId::HOST`]).
    fn stack(&self, endpoint: EndpointId) -> EndpointId;
    /// Whether an endpoint has the address, or any if none is given, on an interface that shares its parent's
    /// (macvlan, ipvlan, macvtap): the host has no interface of its own for it.
    fn is_on_parent(&self, endpoint: EndpointId, address: Option<IpAddr>) -> bool;
    /// Who opened the socket of that cookie; `None` where that was not recorded.
    fn socket(&self, cookie: u64) -> Option<Owner>;
    /// Who has a connection of the host's stack.
    fn connection(&self, proto: Proto, local: Peer, remote: Peer) -> Owner;
}

/// Initiator and other side.
pub(super) fn of(
    conversation: &Conversation,
    interfaces: &Interfaces,
    directory: &impl Directory,
) -> (EndpointId, EndpointId) {
    let source = Side { address: conversation.source_peer().address, sends: HopDirection::Forward };
    let destination = Side { address: conversation.destination_peer().address, sends: HopDirection::Reply };
    let source = source.best(conversation, interfaces, directory);
    if conversation.is_group() {
        return (source, EndpointId::GROUP);
    }
    (source, destination.best(conversation, interfaces, directory))
}

/// One side: its address, and the direction in which it sends.
struct Side {
    address: IpAddr,
    sends: HopDirection,
}

impl Side {
    fn best(
        &self,
        conversation: &Conversation,
        interfaces: &Interfaces,
        directory: &impl Directory,
    ) -> EndpointId {
        let candidates = conversation.sightings.iter().filter_map(|sighting| {
            let (party, address) = self.end(conversation, sighting);
            // After translation it is another address, and another party's name on it.
            (address == self.address)
                .then(|| directory.current(self.known(party, sighting, interfaces, directory)))
        });
        let best = candidates.max_by_key(|endpoint| rank(*endpoint)).unwrap_or(EndpointId::UNKNOWN);
        if rank(best) > rank(EndpointId::EXTERNAL) {
            return best;
        }
        // Which of several holders it is, the zone does not say.
        if conversation.tracked.is_some_and(|one| one.is_apart()) && directory.is_ambiguous(self.address) {
            return best;
        }
        directory.holder(0, self.address).map_or(best, |holder| directory.current(holder))
    }

    fn end(&self, conversation: &Conversation, sighting: &Sighting) -> (Party, IpAddr) {
        if conversation.direction(sighting) == self.sends {
            (sighting.source(), sighting.tuple.source.address)
        } else {
            (sighting.destination(), sighting.tuple.destination.address)
        }
    }

    /// What the kernel side did not know at the first packet may be known by now.
    fn known(
        &self,
        party: Party,
        sighting: &Sighting,
        interfaces: &Interfaces,
        directory: &impl Directory,
    ) -> EndpointId {
        if rank(party.id) > rank(EndpointId::EXTERNAL) {
            return party.id;
        }
        let segment = interfaces
            .get(sighting.key.interface)
            .and_then(|one| interfaces.get(one.kernel.segment))
            .map_or(0, |bridge| bridge.ifindex);
        directory.holder(segment, self.address).unwrap_or(party.id)
    }
}

/// How much a number says: an endpoint of this host more than the host, that more than somebody elsewhere, that more
/// than "outside".
const fn rank(endpoint: EndpointId) -> u8 {
    match endpoint {
        _ if endpoint.is_elsewhere() => 2,
        EndpointId::UNKNOWN => 0,
        EndpointId::EXTERNAL => 1,
        EndpointId::GROUP => 2,
        EndpointId::HOST => 3,
        _ => 4,
    }
}
