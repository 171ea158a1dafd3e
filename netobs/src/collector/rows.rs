//! Conversations → the rows of the report.

use std::{sync::Arc, time::Duration};

use netobs_common::{counters::Counters, endpoint::EndpointId, tunnel::Encapsulation};

use super::{Clock, Collector, Names};
use crate::{
    evidence::{
        facts,
        pairs::{Pairs, Told},
        verdict,
    },
    flow::{
        conversation::{Carrier, Conversation, Place},
        interfaces::Interfaces,
        table::Directory,
        tuple::Peer,
    },
    path::{
        ledger,
        loss::{self, Lost},
        order, reporter, via,
    },
    report::{
        Amounts, Evidence, FlowRow, HopDirection, HopRow, OriginalDestination, Overlay, PairDrops,
        PairLabels, PairRow, Party, ProtocolName, SocketProcess, Tcp,
    },
};

/// All rows, the busiest first, then the latest.
pub(super) fn flows(
    collector: &mut Collector,
    names: &Names<'_>,
    clock: Clock,
    interval: Duration,
) -> Vec<Arc<FlowRow>> {
    let Collector { flows, interfaces, .. } = collector;
    let writer = Writer { interfaces, names, clock, interval: interval.as_secs_f64().max(0.001) };
    let shown = flows
        .iter_mut()
        .filter(|one| !one.sightings.is_empty() && !one.ends().into_iter().any(|end| names.is_hidden(end)));
    let mut rows: Vec<Arc<FlowRow>> = shown.map(|one| writer.latest(one)).collect();
    rows.sort_by(|one, other| {
        let rate = other.bits_per_second().total_cmp(&one.bits_per_second());
        rate.then(other.last_seen.cmp(&one.last_seen)).then_with(|| one.id.cmp(&other.id))
    });
    rows
}

/// All pairs. One of which a side is not to be shown is counted, and nobody is named.
pub(super) fn pairs(pairs: &Pairs, names: &Names<'_>, clock: Clock) -> Vec<PairRow> {
    let row = |(ends, labels, told): ([EndpointId; 2], PairLabels, &Told)| {
        let is_shown = !ends.iter().any(|end| names.is_hidden(*end));
        PairRow {
            ends: is_shown.then(|| ends.map(|end| names.id(end))),
            labels,
            verdict: told.verdict,
            last_seen: clock.wall_time(told.last_seen),
            dropped: told.unjoined.as_ref().map(|unjoined| PairDrops {
                packets: unjoined.packets,
                reason: unjoined.reason.clone(),
                first_seen: clock.wall_time(unjoined.first_seen),
                last_seen: clock.wall_time(unjoined.last_seen),
            }),
        }
    };
    pairs.iter().map(row).collect()
}

struct Writer<'a> {
    interfaces: &'a Interfaces,
    names: &'a Names<'a>,
    clock: Clock,
    interval: f64,
}

impl Writer<'_> {
    /// The row of a conversation: the one there is, where nothing can have changed.
    fn latest(&self, conversation: &mut Conversation) -> Arc<FlowRow> {
        let rests = conversation.at_rest.is_some();
        if let Some(written) = conversation.written.as_ref().filter(|_| rests)
            && (conversation.told.is_some() || self.is_named_so(conversation, written))
        {
            return Arc::clone(written);
        }
        let row = Arc::new(self.row(conversation));
        conversation.written = rests.then(|| Arc::clone(&row));
        row
    }

    /// Whether the names in a row are those of now.
    fn is_named_so(&self, conversation: &Conversation, row: &FlowRow) -> bool {
        let of = |endpoint, party: &Party| {
            party.endpoint == self.names.id(endpoint) && party.kind == self.names.kind(endpoint).into()
        };
        let service = || {
            let peer = via::original_destination(conversation);
            let found = peer.and_then(|peer| self.names.service(peer, conversation.original().proto));
            let known = row.original_destination.as_ref().and_then(|one| one.service.as_ref());
            found.as_ref().map(|(id, _)| id) == known
        };
        let [source, destination] = conversation.ends();
        of(source, &row.source)
            && of(destination, &row.destination)
            && row.source.process == conversation.processes[0]
            && row.destination.process == conversation.processes[1]
            && row.proxied_by == conversation.proxied_by
            && service()
    }

    fn row(&self, conversation: &Conversation) -> FlowRow {
        let labels = ledger::flow_labels(conversation, self.interfaces, self.names);
        let (source_local, destination_local) = ledger::locality(conversation, self.names);
        let destination_kind = self.names.kind(conversation.destination);
        let [forward, reply] = [0, 1].map(|one| self.amounts(conversation, one));
        let tcp = (labels.protocol == ProtocolName::Tcp).then(|| Tcp {
            state: verdict::tcp_state(conversation),
            handshake_seconds: conversation.progress.handshake.map(seconds),
            rtt_seconds: conversation.progress.round_trip.map(seconds),
            retransmits: Some(conversation.progress.retransmits.iter().sum()),
            resets: u64::from(conversation.signs().rst),
            zero_windows: Some(conversation.progress.zero_windows.iter().sum()),
        });
        let original = via::original_destination(conversation);
        let service = original.and_then(|peer| self.names.service(peer, conversation.original().proto));
        let [source, destination] = conversation.ends();
        FlowRow {
            id: Arc::clone(&conversation.id),
            source: self.party(source, conversation.original().source_shown(), &conversation.processes[0]),
            destination: self.party(
                destination,
                conversation.translated().destination_shown(),
                &conversation.processes[1],
            ),
            initiator_by: conversation.initiator_by,
            original_destination: original.map(|peer| OriginalDestination {
                address: peer.address,
                port: peer.port,
                service: service.as_ref().map(|(id, _)| Arc::clone(id)),
            }),
            protocol: labels.protocol,
            path: labels.path,
            nat: conversation.nat(),
            via: service.map_or_else(
                || via::of(conversation, destination_kind, |peer| self.names.is_host(peer.address)),
                |(_, via)| via,
            ),
            reporter: reporter::of(source_local, destination_local),
            overlay: conversation.carrier().map(overlay).or_else(|| self.sealed(conversation)),
            proxied_by: conversation.proxied_by.clone(),
            forward,
            reply,
            hops: self.hops(conversation),
            tcp,
            verdict: verdict::of(conversation, self.clock.monotonic),
            evidence: self.evidence(conversation),
            first_seen: self.clock.wall_time(conversation.first_seen()),
            last_seen: self.clock.wall_time(conversation.last_seen().max(conversation.first_seen())),
        }
    }

    fn party(&self, endpoint: EndpointId, peer: Peer, process: &Option<SocketProcess>) -> Party {
        Party {
            endpoint: self.names.id(endpoint),
            kind: self.names.kind(endpoint).into(),
            address: peer.address,
            port: peer.port,
            process: process.clone(),
        }
    }

    fn amounts(&self, conversation: &Conversation, direction: usize) -> Amounts {
        let now = conversation.amounts.get(direction).copied().unwrap_or(Counters::ZERO);
        let before = conversation.before.get(direction).copied().unwrap_or(Counters::ZERO);
        // The place may have been decided since: its count can be below the provisional one.
        let bytes = now.bytes.saturating_sub(before.bytes);
        Amounts::new(now, bytes as f64 * 8.0 / self.interval)
    }

    fn hops(&self, conversation: &Conversation) -> Vec<HopRow> {
        let interfaces = self.interfaces;
        let mut hops = Vec::with_capacity(conversation.sightings.len());
        for direction in HopDirection::BOTH {
            let steps = loss::steps(conversation, direction, interfaces, self.names, self.clock.monotonic);
            for sighting in order::hops(conversation, direction, interfaces) {
                let Some(interface) = interfaces.get(sighting.key.interface) else { continue };
                let carrier = sighting.carrier();
                let (source, destination) = carrier.map_or_else(
                    || (sighting.tuple.source_shown(), sighting.tuple.destination_shown()),
                    |one| (one.source, one.destination),
                );
                hops.push(HopRow {
                    direction,
                    interface: Arc::clone(&interface.name),
                    ifindex: interface.ifindex,
                    inside: interface.owner().filter(|_| interface.is_inside()).map(|one| self.names.id(one)),
                    hook: sighting.key.hook.into(),
                    role: interface.role().into(),
                    encapsulation: carrier.map(|one| one.encapsulation.name().into()),
                    source: written(source),
                    destination: written(destination),
                    packets: sighting.seen.packets,
                    segments: sighting.seen.segments,
                    bytes: sighting.seen.bytes,
                    lost_segments: steps.iter().find(|step| step.from.key == sighting.key).and_then(|step| {
                        match step.lost {
                            Lost::Segments(segments) => Some(segments),
                            Lost::Unsettled | Lost::NotComparable => None,
                        }
                    }),
                });
            }
        }
        hops
    }

    /// The tunnel into which nobody looks: known by its device alone. Its own datagrams are another conversation, and
    /// nothing in them says what they carry.
    fn sealed(&self, conversation: &Conversation) -> Option<Overlay> {
        let at = conversation.sightings.iter().filter_map(|one| self.interfaces.get(one.key.interface));
        let seals = at.map(|one| one.seals).find(|one| *one != Encapsulation::NONE)?;
        let kind = seals.name().into();
        Some(Overlay { kind, vni: None, outer_source: None, outer_destination: None })
    }

    fn evidence(&self, conversation: &Conversation) -> Vec<Evidence> {
        let hop = |place: Place| {
            let interface = self.interfaces.get(place.interface)?;
            Some(format!("{} {}", interface.name, place.hook.name()).into())
        };
        let facts = facts::of(conversation).into_iter().map(|fact| Evidence {
            kind: fact.kind,
            count: fact.count,
            first_seen: self.clock.wall_time(fact.first_seen),
            last_seen: self.clock.wall_time(fact.last_seen),
            hop: hop(fact.place),
            detail: fact.detail,
        });
        facts.collect()
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

fn overlay(carrier: Carrier) -> Overlay {
    let numbered = matches!(carrier.encapsulation, Encapsulation::VXLAN | Encapsulation::GENEVE);
    Overlay {
        kind: carrier.encapsulation.name().into(),
        vni: (numbered || carrier.number != 0).then_some(carrier.number),
        outer_source: Some(carrier.source.address),
        outer_destination: Some(carrier.destination.address),
    }
}

fn written(peer: Peer) -> Arc<str> {
    std::net::SocketAddr::new(peer.address, peer.port).to_string().into()
}
