//! Neighbours that did not answer → the conversations that waited for them, and the counts of the metrics. Pure.
//!
//! The host's own stack says when it gives one up; of endpoints' stacks nothing is heard but the questions, at their
//! interfaces. Those of the host are seen there too, and are evidence there, but are not counted a second time.

mod waited;

use std::net::IpAddr;

use netobs_common::{endpoint::EndpointId, hook::Hook, wire::Protocol};

use super::{Collector, Names, drops};
use crate::{
    evidence::neighbours,
    flow::{
        conversation::{Conversation, Place, Sighting},
        interfaces::{Interfaces, Observed},
        neighbours::Unanswered,
        table::Directory as _,
        translation::Translations,
    },
    host::facts::{Facts, KeptHops},
    path::{class, ledger, reporter},
    report::{HopDirection, PairLabels},
};

/// How long a failure is told to conversations that come to be known: their sightings wait for conntrack.
const TOLD_FOR: u64 = 3_000_000_000;
/// What was asked so soon after programs were put on an interface may have been answered between its two hooks.
const ATTACHED: u64 = 1_000_000_000;
/// Failures taken in in one tick. Beyond it they are counted, and no conversation is told.
const AT_ONCE: usize = 1_024;

/// A neighbour that was given up.
#[derive(Clone, Copy, Debug)]
struct Failure {
    /// Never given again.
    number: u64,
    /// Who asked for it: an endpoint, or the host.
    asker: EndpointId,
    /// On which of the host's links, where it is the host who asked.
    link: Option<u32>,
    address: IpAddr,
    place: Option<Place>,
    count: u64,
    at: u64,
}

/// What is kept from tick to tick.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// What the host's stack gave up since the last tick: link, address, when.
    heard: Vec<(u32, IpAddr, u64)>,
    /// Failures that conversations are still told of.
    recent: Vec<Failure>,
    /// By the routes as they were when one was told last, while there are any.
    hops: KeptHops,
    last: u64,
}

impl Neighbours {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn add(&mut self, failure: Failure) {
        if self.recent.len() < AT_ONCE {
            self.recent.push(failure);
        }
    }
}

impl Collector {
    /// The host's stack gave a neighbour up.
    pub fn neighbour_failed(&mut self, link: u32, address: IpAddr, now: u64) {
        self.neighbours.heard.push((link, address, now));
    }

    /// Takes in what was given up and what was asked in vain, after a reading of the flows.
    pub fn hear_neighbours(&mut self, facts: &Facts, names: &Names<'_>, translations: &Translations) {
        let now = self.ledger.now;
        for (link, address, at) in std::mem::take(&mut self.neighbours.heard) {
            self.host_failed(link, address, at, names);
        }
        // An answer may have come that has no conversation yet.
        let until = drops::context(&self.interfaces, names, translations, now).taken_until();
        self.ask(names, (now, until));
        let Self { neighbours, flows, interfaces, .. } = self;
        let Neighbours { recent, hops, .. } = neighbours;
        waited::tell(recent, flows, &waited::World { interfaces, facts, names, now, until }, hops);
        recent.retain(|one| now.saturating_sub(one.at) < TOLD_FOR);
        if recent.is_empty() {
            *hops = KeptHops::default();
        }
    }

    fn host_failed(&mut self, link: u32, address: IpAddr, at: u64, names: &Names<'_>) {
        let is_it = |one: &Observed| one.alive && !one.is_inside() && one.ifindex == link;
        let found = self.interfaces.iter().find(|(_, one)| is_it(one));
        let holder = whose(link, address, names);
        let roles = found.map_or(0, |(_, one)| 1 << one.role().0);
        let ends = [EndpointId::HOST, holder];
        let labels = PairLabels {
            source_kind: names.kind(EndpointId::HOST).into(),
            destination_kind: names.kind(holder).into(),
            path: class::between(ends, [address; 2], roles, &self.interfaces, names),
        };
        *self.ledger.totals.neighbour_failures.entry(labels).or_default() += 1;
        let place = found.map(|(interface, _)| Place { interface, hook: Hook::EGRESS });
        let number = self.neighbours.number();
        let asker = EndpointId::HOST;
        self.neighbours.add(Failure { number, asker, link: Some(link), address, place, count: 1, at });
    }

    /// Looks at the questions that came by, and their answers `until` then.
    fn ask(&mut self, names: &Names<'_>, (now, until): (u64, u64)) {
        let Self { neighbours, flows, interfaces, ledger, overflowing, .. } = self;
        for conversation in flows.active_mut().filter(|one| may_ask(one)) {
            for direction in HopDirection::BOTH {
                let Some(question) = Question::of(conversation, direction, interfaces, names) else {
                    continue;
                };
                let answered_at = conversation.last_seen_toward(direction.turned());
                let (read, asked_at) = (question.read, question.asked_at);
                let known = &mut conversation.questions[crate::flow::table::index(direction)];
                let (begins, before) = (known.asked == 0, known.answered_at);
                let failed = neighbours::follow(known, read, asked_at, answered_at, until);
                // While the flow table is full, an answer may have no entry.
                if begins && question.is_early || *overflowing {
                    known.settled = known.asked;
                    continue;
                }
                if answered_at > before {
                    conversation.asked = None;
                }
                if failed == 0 {
                    continue;
                }
                let Question { asker, holder, address, place, .. } = question;
                let number = neighbours.number();
                conversation.asked = Some([asker, holder]);
                conversation.tell_unanswered(Unanswered {
                    address,
                    along: question.along,
                    place: Some(place),
                    count: failed,
                    first_seen: question.first_seen.max(answered_at),
                    last_seen: asked_at,
                    latest: number,
                });
                // The host's stack counts its own.
                if names.stack(asker) == EndpointId::HOST {
                    continue;
                }
                let labels = PairLabels {
                    source_kind: names.kind(asker).into(),
                    destination_kind: names.kind(holder).into(),
                    path: ledger::flow_labels(conversation, interfaces, names).path,
                };
                *ledger.totals.neighbour_failures.entry(labels).or_default() += failed;
                let (link, place) = (None, Some(place));
                neighbours.add(Failure { number, asker, link, address, place, count: failed, at: now });
            }
        }
    }
}

fn may_ask(conversation: &Conversation) -> bool {
    matches!(conversation.protocol(), Protocol::ARP | Protocol::ICMPV6) && conversation.is_question()
}

/// One side's questions for the other.
#[derive(Clone, Copy, Debug)]
struct Question {
    asker: EndpointId,
    holder: EndpointId,
    address: IpAddr,
    place: Place,
    along: bool,
    read: u16,
    asked_at: u64,
    first_seen: u64,
    is_early: bool,
}

impl Question {
    /// Where the questions of one direction enter this host, if it sees their answers: who is elsewhere asks others, whose
    /// answers pass elsewhere. Whoever asks for its own address, or without having one, hopes for no answer (RFC 5227;
    /// RFC 4862, 5.4).
    fn of(
        conversation: &Conversation,
        direction: HopDirection,
        interfaces: &Interfaces,
        names: &Names<'_>,
    ) -> Option<Self> {
        let asks = conversation.toward(direction).filter(|one| one.latest.asks != 0 && !one.amid_overflow);
        let first: &Sighting = asks.min_by_key(|one| (!one.is_entry, one.first_seen))?;
        let asker = names.current(first.source().id);
        let [from, address] = [first.tuple.source.address, first.tuple.destination.address];
        let is_local = reporter::is_local(asker, names.kind(asker));
        if !is_local || from.is_unspecified() || from == address {
            return None;
        }
        let interface = interfaces.get(first.key.interface)?;
        let bridge = interfaces.get(interface.kernel.segment).map_or(0, |bridge| bridge.ifindex);
        Some(Self {
            asker,
            holder: whose(bridge, address, names),
            address,
            place: first.place(),
            along: first.along,
            read: first.latest.asks,
            asked_at: first.last_seen(),
            first_seen: first.first_seen,
            is_early: first.first_seen.saturating_sub(interface.since) < ATTACHED,
        })
    }
}

/// Who has an address on a segment or behind a link, as far as is known.
fn whose(segment: u32, address: IpAddr, names: &Names<'_>) -> EndpointId {
    let known = names.holder(segment, address).or_else(|| names.holder(0, address));
    let other = if names.is_outside(address) { EndpointId::EXTERNAL } else { EndpointId::UNKNOWN };
    names.current(known.unwrap_or(other))
}
