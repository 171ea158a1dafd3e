//! One conversation: every sighting of it, which side began it, and what of it is booked.

use std::sync::Arc;

use netobs_common::{
    counters::{Counters, FlowCounters},
    drop::DropKey,
    endpoint::{EndpointId, Party},
    hook::Hook,
    key::FlowKey,
    tunnel::Encapsulation,
    wire::Protocol,
};

use super::{
    errors::QuotedError,
    lifetime::Signs,
    neighbours::{Questions, Unanswered},
    progress::Progress,
    translation::Tracked,
    tuple::{Peer, Tuple},
};
use crate::evidence::reasons::Class;
use crate::report::{Close, FlowRow, HopDirection, InitiatorBy, Nat, PathFlowLabels, SocketProcess, Verdict};

/// One direction of a conversation at one hook.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Interface, hook and tuple.
    pub key: FlowKey,
    /// The tuple as seen there.
    pub tuple: Tuple,
    /// Whether it travels as the conversation's reference does.
    pub along: bool,
    /// What earlier entries of the same key held, taken out of the kernel's table.
    pub base: Counters,
    /// Everything counted here.
    pub seen: Counters,
    /// The part of `seen` that is in the metrics.
    pub booked: Counters,
    /// As the kernel side read it last.
    pub latest: FlowCounters,
    /// First packet.
    pub first_seen: u64,
    /// Whether the kernel's table has an entry of it.
    pub in_kernel: bool,
    /// Whether its packets enter this host here, or are made here.
    pub is_entry: bool,
    /// Whether the flow table was full when it was found: other hops may have no entry.
    pub amid_overflow: bool,
    /// The part of `seen` that is known to be passed on ([`crate::path::translated`]).
    pub passed_on: Counters,
}

impl Sighting {
    /// A new sighting.
    #[must_use]
    pub fn new(key: FlowKey, along: bool, read: FlowCounters) -> Self {
        Self {
            key,
            tuple: Tuple::of(&key),
            along,
            base: Counters::ZERO,
            seen: read.counters,
            booked: Counters::ZERO,
            latest: read,
            first_seen: read.first_seen,
            in_kernel: true,
            is_entry: false,
            amid_overflow: false,
            passed_on: Counters::ZERO,
        }
    }

    /// A new reading of the same entry, or the first one of a new entry of the same key.
    pub fn read(&mut self, read: FlowCounters) {
        if !self.in_kernel {
            self.base = self.seen;
            self.in_kernel = true;
        }
        self.seen = self.base;
        self.seen.add(read.counters);
        self.latest = read;
    }

    /// The packet around this one, if it was seen inside another.
    #[must_use]
    pub fn carrier(&self) -> Option<Carrier> {
        let around = (self.key.encapsulation != Encapsulation::NONE).then_some(self.latest.outer)?;
        Some(Carrier {
            encapsulation: self.key.encapsulation,
            number: self.key.network_number,
            source: Peer::new(around.source, around.ports.source),
            destination: Peer::new(around.destination, around.ports.destination),
        })
    }

    /// Latest packet.
    #[must_use]
    pub const fn last_seen(&self) -> u64 {
        self.latest.last_seen
    }

    /// Who sends here.
    #[must_use]
    pub const fn source(&self) -> Party {
        self.latest.source
    }

    /// Who receives here.
    #[must_use]
    pub const fn destination(&self) -> Party {
        self.latest.destination
    }

    /// Interface number and hook.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place { interface: self.key.interface, hook: self.key.hook }
    }
}

/// The outer packet of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carrier {
    /// What kind of tunnel.
    pub encapsulation: Encapsulation,
    /// VNI, GRE key; 0 for none.
    pub number: u32,
    /// The outer sender.
    pub source: Peer,
    /// The outer receiver.
    pub destination: Peer,
}

/// Segments that passed one hop and not the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The last hop where they were seen.
    pub from: Place,
    /// The hop where they were not.
    pub to: Place,
    /// Which way they went.
    pub direction: HopDirection,
    /// How many.
    pub segments: u64,
    /// When the first packet that may have been lost, and the last, was seen at `from`.
    pub seen: (u64, u64),
}

/// Packets of a conversation that the kernel dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropNote {
    /// What the kernel counts them by.
    pub key: DropKey,
    /// Which way they went.
    pub direction: HopDirection,
    /// Where they were seen last.
    pub place: Option<Place>,
    /// How many.
    pub packets: u64,
    /// First packet.
    pub first_seen: u64,
    /// Latest packet.
    pub last_seen: u64,
    /// The kernel's word for why.
    pub reason: Arc<str>,
    /// What that means.
    pub class: Class,
}

/// A hook of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Interface number.
    pub interface: u32,
    /// Which hook.
    pub hook: Hook,
}

/// Where one direction is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// Not decided yet: its bytes wait.
    #[default]
    Undecided,
    /// At this place.
    At(Place),
    /// Packet by packet where each enters ([`crate::path::entry`]): the flow table was full, so some have no
    /// entry there, and are counted there without.
    WhereItEnters,
}

impl Counting {
    /// Whether a sighting of the direction is counted.
    #[must_use]
    pub fn counts(self, sighting: &Sighting) -> bool {
        match self {
            Self::Undecided => false,
            Self::At(place) => sighting.place() == place,
            Self::WhereItEnters => sighting.is_entry,
        }
    }
}

/// One conversation, both directions, whatever its tuple becomes on the way.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Stable and unique in the agent's life.
    pub id: Arc<str>,
    /// One direction's tuple: the original one if the connection is tracked, else the first seen.
    pub reference: Tuple,
    /// What conntrack knows of it.
    pub tracked: Option<Tracked>,
    /// Whether the reference's receiver is the initiator.
    pub flipped: bool,
    /// How the initiator was told.
    pub initiator_by: InitiatorBy,
    /// The initiator.
    pub source: EndpointId,
    /// The other side.
    pub destination: EndpointId,
    /// Every direction at every hook, in the order of first reading.
    pub sightings: Vec<Sighting>,
    /// Where each direction is counted: forward, reply.
    pub counting: [Counting; 2],
    /// What was counted of each direction so far, at whatever places.
    pub counted: [Counters; 2],
    /// The part of it that is still to be booked, from places that are given up.
    pub carried: [Counters; 2],
    /// Whether initiator, translation and endpoints are settled, so that it may be booked.
    pub settled: bool,
    /// Both directions' counters at the last tick, for rates.
    pub before: [Counters; 2],
    /// Both directions' counters now.
    pub amounts: [Counters; 2],
    /// The labels its beginning was counted under in the metrics, which its end is counted under too.
    pub opened: Option<PathFlowLabels>,
    /// Whether its end was counted.
    pub closed: bool,
    /// Whether it was counted as an attempt to connect.
    pub attempted: bool,
    /// What was lost between two hops, and is counted.
    pub losses: Vec<Loss>,
    /// What the kernel dropped of it.
    pub drops: Vec<DropNote>,
    /// The latest packet when that was looked at last.
    pub losses_at: u64,
    /// ICMP errors about its packets.
    pub errors: Vec<QuotedError>,
    /// What of it asks for neighbours, forward and reply.
    pub questions: [Questions; 2],
    /// Of a question for a neighbour that stays without an answer: who asked, and who has the address.
    pub asked: Option<[EndpointId; 2]>,
    /// Neighbours that were asked for on its behalf, or by it, and did not answer.
    pub unanswered: Vec<Unanswered>,
    /// How far it has come, TCP only.
    pub progress: Progress,
    /// Evidence that was counted, as bits `1 << EvidenceKind`.
    pub evidenced: u16,
    /// Why and when it ended.
    pub ended: Option<(Close, u64)>,
    /// Whether anything of it changed that is not judged and counted yet: what did not move says nothing new, but by
    /// silence.
    pub moved: bool,
    /// Its latest packet, once that is so long ago that all that follows from silence has been said: its rate, its
    /// losses, an attempt that stays without an answer. Then a tick passes it over.
    pub at_rest: Option<u64>,
    /// What was told of it since it was judged last.
    pub told: Option<(PathFlowLabels, Verdict)>,
    /// Its row, kept while nothing of it changes.
    pub written: Option<Arc<FlowRow>>,
    /// The process that opened it on behalf of another one.
    pub proxied_by: Option<Arc<str>>,
    /// The processes of source and destination whose sockets these are, where they are the host's and known.
    pub processes: [Option<SocketProcess>; 2],
    /// Whether the owner of its socket was looked for.
    pub owner_asked: bool,
    /// The containers on the host's network whose sockets its ends are: initiator, other side.
    pub owners: [Option<EndpointId>; 2],
}

impl Conversation {
    /// A conversation of which nothing was seen yet.
    #[must_use]
    pub fn new(id: Arc<str>, reference: Tuple, tracked: Option<Tracked>) -> Self {
        Self {
            id,
            reference,
            tracked,
            flipped: false,
            initiator_by: InitiatorBy::FirstPacket,
            source: EndpointId::UNKNOWN,
            destination: EndpointId::UNKNOWN,
            sightings: Vec::new(),
            counting: [Counting::Undecided; 2],
            counted: [Counters::ZERO; 2],
            carried: [Counters::ZERO; 2],
            settled: false,
            before: [Counters::ZERO; 2],
            amounts: [Counters::ZERO; 2],
            opened: None,
            closed: false,
            attempted: false,
            losses: Vec::new(),
            drops: Vec::new(),
            losses_at: 0,
            errors: Vec::new(),
            questions: [Questions::default(); 2],
            asked: None,
            unanswered: Vec::new(),
            progress: Progress::default(),
            evidenced: 0,
            ended: None,
            moved: true,
            at_rest: None,
            told: None,
            written: None,
            proxied_by: None,
            processes: [None, None],
            owner_asked: false,
            owners: [None; 2],
        }
    }

    /// Something of it changed.
    pub const fn moves(&mut self) {
        self.at_rest = None;
        self.moved = true;
    }

    /// Whether it is settled where what was seen of it is counted, so that nothing of it waits.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        let is_decided = |direction: HopDirection| {
            self.counting[crate::flow::table::index(direction)] != Counting::Undecided
                || self.toward(direction).next().is_none()
        };
        self.settled && is_decided(HopDirection::Forward) && is_decided(HopDirection::Reply)
    }

    /// Transport protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.reference.protocol()
    }

    /// Which way a sighting travels.
    #[must_use]
    pub const fn direction(&self, sighting: &Sighting) -> HopDirection {
        if sighting.along != self.flipped { HopDirection::Forward } else { HopDirection::Reply }
    }

    /// Sightings of one direction.
    pub fn toward(&self, direction: HopDirection) -> impl Iterator<Item = &Sighting> {
        self.sightings.iter().filter(move |sighting| self.direction(sighting) == direction)
    }

    /// The tuple as the initiator sends it.
    #[must_use]
    pub fn original(&self) -> Tuple {
        match self.tracked {
            // What conntrack took for the answer: it is sent as translated, and arrives as the original.
            Some(tracked) if self.flipped => tracked.translated.reversed(),
            None if self.flipped => self.reference.reversed(),
            _ => self.reference,
        }
    }

    /// The tuple as the other side receives it.
    #[must_use]
    pub fn translated(&self) -> Tuple {
        match self.tracked {
            Some(_) if self.flipped => self.reference.reversed(),
            Some(tracked) => tracked.translated,
            None => self.original(),
        }
    }

    /// The initiator's address as it sends from.
    #[must_use]
    pub fn source_peer(&self) -> Peer {
        self.original().source
    }

    /// The other side's address as it receives at.
    #[must_use]
    pub fn destination_peer(&self) -> Peer {
        self.translated().destination
    }

    /// Which addresses are translated.
    #[must_use]
    pub fn nat(&self) -> Nat {
        match self.tracked.map_or(Nat::None, |tracked| tracked.nat()) {
            Nat::Snat if self.flipped => Nat::Dnat,
            Nat::Dnat if self.flipped => Nat::Snat,
            nat => nat,
        }
    }

    /// The tunnel it travels in: as its initiator's packets were seen, else as the answers, turned around.
    #[must_use]
    pub fn carrier(&self) -> Option<Carrier> {
        let of = |direction| self.toward(direction).find_map(Sighting::carrier);
        of(HopDirection::Forward).or_else(|| {
            of(HopDirection::Reply).map(|one| Carrier {
                source: Peer { port: 0, ..one.destination },
                destination: Peer { port: one.destination.port, ..one.source },
                ..one
            })
        })
    }

    /// First packet of any direction, nanoseconds of the monotonic clock.
    #[must_use]
    pub fn first_seen(&self) -> u64 {
        self.sightings.iter().map(|sighting| sighting.first_seen).min().unwrap_or(0)
    }

    /// Latest packet of a direction, 0 for none.
    #[must_use]
    pub fn last_seen_toward(&self, direction: HopDirection) -> u64 {
        self.toward(direction).map(Sighting::last_seen).max().unwrap_or(0)
    }

    /// Latest packet of any direction.
    #[must_use]
    pub fn last_seen(&self) -> u64 {
        self.sightings.iter().map(Sighting::last_seen).max().unwrap_or(0)
    }

    /// What tells of its end.
    #[must_use]
    pub fn signs(&self) -> Signs {
        Signs {
            forward_fin: self.toward(HopDirection::Forward).any(|sighting| sighting.latest.fin != 0),
            reply_fin: self.toward(HopDirection::Reply).any(|sighting| sighting.latest.fin != 0),
            rst: self.sightings.iter().any(|sighting| sighting.latest.rst != 0),
            last_seen: self.last_seen(),
        }
    }

    /// Whether it has no other side that could answer.
    #[must_use]
    pub fn is_group(&self) -> bool {
        self.sightings.iter().any(|sighting| sighting.destination().id == EndpointId::GROUP)
    }
}
