//! Readings of what the kernel dropped → bookings, evidence for conversations, rows. Pure.

mod name;
mod place;
mod rows;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use netobs_common::{
    drop::{DropCounters, DropKey, DropRestKey, Dropped},
    endpoint::EndpointId,
    maps::{APART_NOT_IP, APART_UNCOUNTED},
    wire::{Proto, Protocol},
};

pub(super) use rows::Rows;

use super::Names;
use crate::{
    evidence::{
        pairs::Unjoined,
        reasons::{Class, Reason, Reasons},
    },
    flow::{
        conversation::{Conversation, DropNote, Place},
        interfaces::Interfaces,
        table::{Context, FlowTable, PATIENCE},
        translation::Translations,
        tuple::{Peer, Tuple},
    },
    path::ledger,
    report::{DropLabels, HopDirection, PairLabels, RoleName},
};

/// One reading of the kernel's tables of drops.
#[derive(Clone, Copy, Debug, Default)]
pub struct DropReading<'a> {
    /// As [`netobs_common::maps::DROPS`] has it.
    pub detailed: &'a [(DropKey, DropCounters)],
    /// As [`netobs_common::maps::DROP_REST`] has it.
    pub rest: &'a [(DropRestKey, Dropped)],
    /// As [`netobs_common::maps::DROPS_APART`] has it.
    pub apart: &'a [(u32, Dropped)],
}

/// How long a count must have stood still to be taken out of the kernel's table.
const IDLE_AFTER: u64 = 30_000_000_000;
/// The same where the table is crowded: longer than names take to settle.
const CROWDED_AFTER: u64 = 3_000_000_000;
/// How long an attempt is remembered after its count was taken out: longer than the last wait between two SYNs.
const REMEMBERED: u64 = 180_000_000_000;
/// Entries taken out in one tick: each is a system call.
const AT_ONCE: usize = 1_024;

/// What is known of the drops under one key.
#[derive(Clone, Debug, Default)]
struct Known {
    latest: DropCounters,
    booked: Dropped,
    settled: bool,
    /// Who sent it to whom, and by which way: as last judged.
    told: Option<([EndpointId; 2], PairLabels)>,
    /// Whether a conversation has it for its evidence.
    joined: bool,
    evidenced: bool,
    attempted: bool,
}

/// What counts a drop.
#[derive(Clone, Copy, Debug)]
pub struct Booked<'a> {
    /// The labels of the metrics.
    pub labels: DropLabels,
    /// Sender and receiver.
    pub ends: [EndpointId; 2],
    /// How much.
    pub count: Dropped,
    /// Whether this is the first of these packets, and no conversation says so.
    pub is_evidence: bool,
    /// Whether it is an attempt to connect that came to nothing, and no conversation says so.
    pub is_attempt: Option<Class>,
    /// The reason.
    pub reason: &'a Reason,
}

/// Everything about drops that is kept from tick to tick.
#[derive(Debug, Default)]
pub struct Drops {
    /// What the running kernel's numbers mean.
    pub reasons: Reasons,
    /// Inode of the agent's own namespace.
    pub own: u32,
    /// Endpoints by the inode of their namespace.
    pub stacks: HashMap<u32, EndpointId>,
    /// The rows.
    pub rows: Rows,
    known: HashMap<DropKey, Known>,
    /// Attempts whose counts were taken out, and when.
    before: HashMap<DropKey, (u64, Known)>,
    rest: HashMap<DropRestKey, (Dropped, u64)>,
    /// Packets without detail.
    without_detail: u64,
    apart: BTreeMap<Arc<str>, u64>,
}

impl Drops {
    /// Takes in a reading. `book` is given what counts.
    pub fn read(
        &mut self,
        reading: &DropReading<'_>,
        flows: &mut FlowTable,
        context: &Context<'_, Names<'_>>,
        mut book: impl FnMut(Booked<'_>),
    ) {
        let places = place::Places::of(context.interfaces);
        for (key, counters) in reading.detailed {
            let known = self.known.get(key);
            // What stands still and is booked has nothing new to say.
            if known.is_some_and(|known| known.settled && known.latest == *counters) {
                continue;
            }
            self.judge(key, *counters, flows, context, &places, &mut book);
        }
        for (key, count) in reading.rest {
            self.judge_rest(key, *count, context, &places, &mut book);
        }
        for (index, count) in reading.apart {
            let name = match *index {
                APART_NOT_IP => "not_ip".into(),
                APART_UNCOUNTED => "uncounted".into(),
                reason => Arc::clone(&self.reasons.get(reason).name),
            };
            self.apart.insert(name, count.packets);
        }
        self.rows.forget(context.now);
    }

    fn judge(
        &mut self,
        key: &DropKey,
        counters: DropCounters,
        flows: &mut FlowTable,
        context: &Context<'_, Names<'_>>,
        places: &place::Places<'_>,
        book: &mut impl FnMut(Booked<'_>),
    ) {
        let reason = self.reasons.get(key.reason);
        let tuple = tuple(key);
        let own = key.namespace == self.own;
        let at = if own { places.of_drop(key) } else { place::At::default() };
        let stack = self.stacks.get(&key.namespace).copied().filter(|_| !own);
        let ends = name::ends(&tuple, &at, stack, key.ingress != 0, context);
        let before = self.before.remove(key).map(|(_, before)| before);
        let known = self.known.entry(*key).or_insert_with(|| before.unwrap_or_default());
        let more = counters.dropped.since(known.booked);
        let grown = counters.dropped.since(known.latest.dropped);
        let news = known.latest != counters;
        known.latest = counters;
        if is_echo_answer(key) && reason.class == Class::Answered {
            // The kernel's own ping socket is asked after the one that took it (`ping_rcv`, Linux 6.18).
            known.booked = counters.dropped;
            known.settled = true;
            known.joined = true;
            *self.apart.entry("no_socket_echo".into()).or_default() += more.packets;
            return;
        }
        let found = flows.of_packet(&tuple, ends, context);
        let told = match found {
            Some((conversation, direction)) => {
                let last = place::last_hop(conversation, direction, &at, stack.is_some(), context.interfaces);
                let packets = if known.joined { grown.packets } else { counters.dropped.packets };
                note(conversation, key, direction, last, packets, &counters, reason);
                if news {
                    conversation.moves();
                }
                let ends = if direction == HopDirection::Forward {
                    [conversation.source, conversation.destination]
                } else {
                    [conversation.destination, conversation.source]
                };
                let labels = ledger::flow_labels(conversation, context.interfaces, context.directory);
                known.settled |= conversation.settled;
                known.joined = true;
                let labels = PairLabels::from(labels);
                let turned = PairLabels {
                    source_kind: labels.destination_kind,
                    destination_kind: labels.source_kind,
                    ..labels
                };
                (ends, if direction == HopDirection::Forward { labels } else { turned }, last)
            }
            None => (ends, name::labels(ends, &tuple, &at, context), at.seen_last()),
        };
        let (ends, labels, last) = told;
        known.told = Some((ends, labels));
        known.settled |= context.now.saturating_sub(counters.first_seen) >= PATIENCE;
        if !known.settled {
            return;
        }
        known.booked = counters.dropped;
        let class = reason.class;
        // It was made here and came by no hook, so no conversation tells of the attempt.
        let unseen = !known.joined && own && key.ingress == 0 && counters.syn != 0;
        let is_attempt = unseen && tuple.protocol() == Protocol::TCP && !known.attempted;
        known.attempted |= is_attempt;
        let is_evidence = !known.joined && !known.evidenced;
        known.evidenced = true;
        let role =
            last.and_then(|place| context.interfaces.get(place.interface)).map(|one| one.role().into());
        let next = place::expected(ends[1], last, places, context.directory);
        book(Booked {
            labels: drop_labels(labels, role, reason),
            ends,
            count: more,
            is_evidence,
            is_attempt: is_attempt.then_some(class),
            reason,
        });
        let row = rows::Key::of(key, &tuple, ends, last, next, reason);
        let alone = !known.joined && is_beginning(key, &counters);
        self.rows.add(row, more, (counters.first_seen, counters.last_seen), alone, stack);
    }

    fn judge_rest(
        &mut self,
        key: &DropRestKey,
        count: Dropped,
        context: &Context<'_, Names<'_>>,
        places: &place::Places<'_>,
        book: &mut impl FnMut(Booked<'_>),
    ) {
        let (before, changed) = self.rest.entry(*key).or_default();
        let more = count.since(*before);
        if more == Dropped::ZERO {
            return;
        }
        (*before, *changed) = (count, context.now);
        self.without_detail += more.packets;
        let reason = self.reasons.get(key.reason);
        let own = key.namespace == self.own;
        let last = own.then(|| places.at(key.device, key.ingress).seen_last()).flatten();
        let role =
            last.and_then(|place| context.interfaces.get(place.interface)).map(|one| one.role().into());
        let ends = [EndpointId::UNKNOWN; 2];
        book(Booked {
            labels: drop_labels(name::nobody(), role, reason),
            ends,
            count: more,
            is_evidence: false,
            is_attempt: None,
            reason,
        });
        let row = rows::Key::without_detail(last, reason);
        self.rows.add(row, more, (context.now, context.now), false, None);
    }

    /// Counts the kernel's table can do without, for they have not moved for a while.
    #[must_use]
    pub fn idle(&self, now: u64, crowded: bool) -> Vec<DropKey> {
        let after = if crowded { CROWDED_AFTER } else { IDLE_AFTER };
        let is_idle = |known: &Known| known.settled && now.saturating_sub(known.latest.last_seen) >= after;
        self.known.iter().filter(|(_, known)| is_idle(known)).map(|(key, _)| *key).take(AT_ONCE).collect()
    }

    /// The same of counts without detail.
    #[must_use]
    pub fn idle_rest(&self, now: u64) -> Vec<DropRestKey> {
        let is_idle = |changed: u64| now.saturating_sub(changed) >= IDLE_AFTER;
        let idle = self.rest.iter().filter(|(_, (_, changed))| is_idle(*changed));
        idle.map(|(key, _)| *key).take(AT_ONCE).collect()
    }

    /// A count was taken out of the kernel's table, with what it held at that moment.
    pub fn taken(
        &mut self,
        key: &DropKey,
        last: Option<DropCounters>,
        flows: &mut FlowTable,
        context: &Context<'_, Names<'_>>,
        mut book: impl FnMut(Booked<'_>),
    ) {
        if let Some(last) = last
            && self.known.get(key).is_some_and(|known| known.latest != last)
        {
            self.judge(key, last, flows, context, &place::Places::of(context.interfaces), &mut book);
        }
        let Some(known) = self.known.remove(key) else { return };
        // A SYN may come once more, long after the last one: that is no other attempt.
        self.before.retain(|_, (at, _)| context.now.saturating_sub(*at) < REMEMBERED);
        if known.attempted && self.before.len() < AT_ONCE {
            let again = Known {
                joined: known.joined,
                evidenced: known.evidenced,
                attempted: true,
                ..Known::default()
            };
            self.before.insert(*key, (context.now, again));
        }
    }

    /// A count without detail was taken out.
    pub fn rest_taken(
        &mut self,
        key: &DropRestKey,
        last: Option<Dropped>,
        context: &Context<'_, Names<'_>>,
        mut book: impl FnMut(Booked<'_>),
    ) {
        if let Some(last) = last {
            self.judge_rest(key, last, context, &place::Places::of(context.interfaces), &mut book);
        }
        self.rest.remove(key);
    }

    /// Pairs that packets were dropped between and no conversation tells of: who, by which way, the reason's class,
    /// and what was dropped.
    pub fn pairs(&self) -> impl Iterator<Item = ([EndpointId; 2], PairLabels, Class, Unjoined)> {
        let unjoined = self.known.iter().filter(|(_, known)| known.settled && !known.joined);
        unjoined.filter(|(key, known)| is_beginning(key, &known.latest)).filter_map(|(key, known)| {
            let (ends, labels) = known.told?;
            let reason = self.reasons.get(key.reason);
            let unjoined = Unjoined {
                packets: known.latest.dropped.packets,
                first_seen: known.latest.first_seen,
                last_seen: known.latest.last_seen,
                reason: Some(Arc::clone(&reason.name)),
            };
            Some((ends, labels, reason.class, unjoined))
        })
    }

    /// Packets dropped without detail.
    #[must_use]
    pub const fn without_detail(&self) -> u64 {
        self.without_detail
    }

    /// Socket buffers freed that are no drops, by reason.
    #[must_use]
    pub const fn apart(&self) -> &BTreeMap<Arc<str>, u64> {
        &self.apart
    }
}

/// What a reading of drops is judged by besides.
#[must_use]
pub(super) fn context<'a>(
    interfaces: &'a Interfaces,
    directory: &'a Names<'a>,
    translations: &'a Translations,
    now: u64,
) -> Context<'a, Names<'a>> {
    Context { interfaces, directory, translations, now, overflowing: false }
}

/// A fragment, or what is left over of a connection, is no attempt.
fn is_beginning(key: &DropKey, counters: &DropCounters) -> bool {
    key.fragment == 0 && (key.proto != Proto::TCP || counters.syn != 0)
}

fn drop_labels(labels: PairLabels, last_hop: Option<RoleName>, reason: &Reason) -> DropLabels {
    DropLabels { pair: labels, last_hop, reason: reason.label }
}

/// The packet as a hop would have seen it.
fn tuple(key: &DropKey) -> Tuple {
    Tuple {
        source: Peer::new(key.source, key.source_port),
        destination: Peer::new(key.destination, key.destination_port),
        network: key.network,
        proto: key.proto,
        fragment: key.fragment != 0,
    }
}

/// An answer to an echo, which is a drop for want of a socket also where another one has it: a request is answered by
/// the kernel, and needs none.
const fn is_echo_answer(key: &DropKey) -> bool {
    matches!(key.proto, Proto::ICMP | Proto::ICMPV6)
}

/// Makes the drops under a key evidence of a conversation.
fn note(
    conversation: &mut Conversation,
    key: &DropKey,
    direction: HopDirection,
    place: Option<Place>,
    packets: u64,
    counters: &DropCounters,
    reason: &Reason,
) {
    (conversation.told, conversation.written) = (None, None);
    let same = |one: &&mut DropNote| one.key == *key;
    match conversation.drops.iter_mut().find(same) {
        Some(one) => (one.packets, one.last_seen) = (one.packets + packets, counters.last_seen),
        None => conversation.drops.push(DropNote {
            key: *key,
            direction,
            place,
            packets,
            first_seen: counters.first_seen,
            last_seen: counters.last_seen,
            reason: Arc::clone(&reason.name),
            class: reason.class,
        }),
    }
}
