//! A sighting and what conntrack says of its tuple → which conversation it belongs to. Pure.

use netobs_common::{counters::FlowCounters, endpoint::EndpointId};

use super::{
    table::{Context, Directory},
    translation::Tracked,
    tuple::Tuple,
};
use crate::report::Nat;

/// Which conversation a sighting belongs to: equal for all its sightings, different for equal addresses on
/// two bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConversationKey {
    pub(super) tuple: Tuple,
    /// What tells equal addresses apart, for each end of the tuple; 0 where nothing needs to.
    pub(super) ends: [u64; 2],
    /// Outer and inner VLAN and a tunnel's network, where the same addresses talk in another one at the same place;
    /// else 0. Not always the tag: a frame has it at the trunk and not at the port, and is one conversation all
    /// the same.
    pub(super) networks: [u32; 3],
    /// Conntrack's, where only it tells equal addresses apart; else 0.
    pub(super) zone: u16,
}

/// The identity of a sighting, joined as conntrack says; `along` where it travels as the reference does.
pub(super) fn identity<D: Directory>(
    reference: Tuple,
    tracked: Option<Tracked>,
    along: bool,
    read: &FlowCounters,
    context: &Context<'_, D>,
) -> ConversationKey {
    let end = |source: bool| {
        let peer = if source { reference.source } else { reference.destination };
        if peer.address.is_unspecified() {
            // "This host on this network" (RFC 1122, 3.2.1.3): the hardware address tells which.
            let [a, b, c, d, e, f] = read.source_mac;
            return u64::from_be_bytes([1, 0, a, b, c, d, e, f]);
        }
        let party = if source == along { read.source.id } else { read.destination.id };
        if peer.address.is_loopback() && party != EndpointId::HOST {
            // Every stack has the same ones.
            return u64::from(context.directory.current(party).0);
        }
        if !context.directory.is_ambiguous(peer.address) {
            return 0;
        }
        // After translation a hook sees other addresses, so its parties are not these ends. Tracked alone
        // says nothing: with bridge netfilter the equal tuples of two bridges are one entry.
        let translated = tracked.is_some_and(|tracked| tracked.nat() != Nat::None);
        let endpoint =
            if translated { context.directory.holder(0, peer.address).unwrap_or(party) } else { party };
        u64::from(context.directory.current(endpoint).0)
    };
    let zone = tracked.filter(Tracked::is_apart).map_or(0, |tracked| tracked.zones[0]);
    let [source, destination] = if zone == 0 { [end(true), end(false)] } else { [0; 2] };
    let turned = reference.source > reference.destination;
    let ends = if turned { [destination, source] } else { [source, destination] };
    ConversationKey { tuple: reference.normalized(), ends, networks: [0; 3], zone }
}
