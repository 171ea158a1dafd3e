//! Readings of the kernel's flow table → conversations, kept from their first packet until they are no
//! longer listed. Pure: what was read and the time are arguments.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use netobs_common::{
    counters::{Counters, FlowCounters},
    endpoint::{EndpointId, Kind},
    hook::Hook,
    key::FlowKey,
    wire::Protocol,
};

mod errors;
mod packet;

use super::{
    conversation::{Conversation, Counting, Place, Sighting},
    interfaces::Interfaces,
    key::{ConversationKey, identity},
    lifetime::{self, LINGER, LISTED},
    orientation, owners, parties,
    store::Store,
    translation::{Tracked, Translations, Way},
    tuple::Tuple,
    zones::Joins,
};
pub use super::{
    parties::{Directory, Owner},
    store::About,
};
use crate::{
    path::{
        counting, entry,
        translated::{Ends, Listed},
    },
    report::{HopDirection, PathFlowLabels, Verdict},
};

/// How long a conversation is watched before it is booked: a reading may have met it between two of its
/// hooks, and conntrack tells of it a moment later. Half a tick.
pub const SETTLE: u64 = 500_000_000;
/// Sightings that conntrack may not have told of yet wait for the next reading: it tells of a connection after its
/// first packet, a fifth of a second at most, and is itself heard with a delay where the host is busy. Which
/// conversation a sighting belongs to is decided once. Nothing is lost, for the kernel's counters go on.
pub const FRESH: u64 = 200_000_000;
/// How long bytes wait for a name before they are booked as unknown.
pub const PATIENCE: u64 = 2_000_000_000;

/// How long a conversation must have been quiet to be judged less often: whatever follows from silence alone (its rate,
/// its losses, an attempt that stays without an answer) is said by then.
pub const AT_REST: u64 = 5_000_000_000;
/// One of so many readings judges a conversation at rest.
const RESTING: u64 = 4;
/// So many conversations that are over are listed at most, the latest: a storm of short connections must not take
/// memory without bound, at four kilobytes each. All of them are booked.
const MOST_ENDED: usize = 65_536;
/// A packet is seen so much later at the next hook at most, and the latest packet's time is that of the clock's last
/// step, ten milliseconds before at most (HZ of 100).
const SAME_MOMENT: u64 = 20_000_000;
/// After so many readings keys of conversations that are gone are swept.
const SWEPT: u64 = 10;

/// What a reading is judged by.
pub struct Context<'a, D> {
    /// Interfaces by number.
    pub interfaces: &'a Interfaces,
    /// Who has which address.
    pub directory: &'a D,
    /// Translations by tuple.
    pub translations: &'a Translations,
    /// Nanoseconds of the monotonic clock.
    pub now: u64,
    /// Whether packets lacked flow detail since the last reading.
    pub overflowing: bool,
}

impl<D> Context<'_, D> {
    /// Whatever was first seen by then has a conversation.
    #[must_use]
    pub fn taken_until(&self) -> u64 {
        let told = self.translations.known_until(self.now).saturating_sub(FRESH);
        told.max(self.now.saturating_sub(PATIENCE))
    }
}

/// Bytes to book: once, and never to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Direction.
    pub direction: HopDirection,
    /// What came since the last booking.
    pub counters: Counters,
}

/// All conversations.
#[derive(Debug, Default)]
pub struct FlowTable {
    conversations: Store,
    by_key: HashMap<ConversationKey, u64>,
    /// Which conversation, and which of its sightings.
    by_sighting: HashMap<FlowKey, (u64, u32)>,
    last: u64,
    readings: u64,
    /// When the table was read last.
    now: u64,
    /// Packets addressed to this host of entries that wait for the next reading, by who sent them.
    unread: BTreeMap<(EndpointId, Protocol), Counters>,
    /// Sightings that may be of one of several tracked connections, and are shown as they are.
    pub unsure: u64,
}

impl FlowTable {
    /// Takes in a reading of the kernel's table.
    pub fn read<D: Directory>(&mut self, flows: &[(FlowKey, FlowCounters)], context: &Context<'_, D>) {
        let mut new: Vec<&(FlowKey, FlowCounters)> = Vec::new();
        let taken_until = context.taken_until();
        self.unread.clear();
        for sighting in flows {
            if self.follow(sighting) {
                continue;
            }
            if sighting.1.first_seen <= taken_until {
                new.push(sighting);
                continue;
            }
            let (key, read) = sighting;
            if key.hook == Hook::INGRESS && read.destination.id == EndpointId::HOST {
                let from = (context.directory.current(read.source.id), Tuple::of(key).protocol());
                self.unread.entry(from).or_default().add(read.counters);
            }
        }
        // In the order of their first packets: a SYN opens a flow before its answer looks for one.
        new.sort_by_key(|(_, read)| read.first_seen);
        let mut joins = Joins::of(flows, context);
        new.iter().for_each(|(key, read)| self.sight(key, read, &mut joins));
        self.unsure += joins.unsure;
        self.readings = self.readings.wrapping_add(1);
        self.now = context.now;
        // What did not move has nothing new but names, and they may come a few readings later.
        let readings = self.readings;
        let is_turn = |number: u64| number.wrapping_add(readings).is_multiple_of(RESTING);
        self.conversations.for_each_due(is_turn, |conversation| judge(conversation, context));
    }

    /// Goes on with a sighting already known; whether it is.
    fn follow(&mut self, (key, read): &(FlowKey, FlowCounters)) -> bool {
        let Some(&(number, at)) = self.by_sighting.get(key) else { return false };
        let Some(conversation) = self.conversations.get(number) else { return false };
        let Some(sighting) = conversation.sightings.get(at as usize) else { return false };
        if sighting.latest != *read
            && let Some(conversation) = self.conversations.moving(number)
        {
            conversation.moves();
            conversation.sightings.get_mut(at as usize).into_iter().for_each(|one| one.read(*read));
        }
        true
    }

    fn sight<D: Directory>(&mut self, key: &FlowKey, read: &FlowCounters, joins: &mut Joins<'_, D>) {
        let (tuple, context) = (Tuple::of(key), joins.context);
        let (reference, tracked, along) = match joins.join(key, &tuple) {
            Some((tracked, way)) => (tracked.original, Some(tracked), way == Way::Original),
            None => (tuple, None, true),
        };
        let identity = self.apart(identity(reference, tracked, along, read, context), key);
        let number = self.conversation_of(identity, reference, tracked, read, context);
        let Some(conversation) = self.conversations.moving(number) else { return };
        conversation.moves();
        // Without conntrack the reference is the first tuple seen, and this may be the other direction.
        let along = if tracked.is_some() { along } else { tuple == conversation.reference };
        let known = conversation.sightings.iter().position(|one| one.key == *key);
        let at = known.unwrap_or(conversation.sightings.len());
        self.by_sighting.insert(*key, (number, u32::try_from(at).unwrap_or(u32::MAX)));
        match conversation.sightings.get_mut(at) {
            Some(again) => again.read(*read),
            None => {
                let mut sighting = Sighting::new(*key, along, *read);
                sighting.amid_overflow = context.overflowing;
                sighting.is_entry = context
                    .interfaces
                    .get(key.interface)
                    .is_some_and(|one| entry::is_entry_of(&one.kernel, key, read, context.directory));
                conversation.sightings.push(sighting);
            }
        }
    }

    /// The identity of a sighting that carries another VLAN's tag, or another network's number in a tunnel, than its
    /// conversation does at the same interface: equal addresses of two VLANs on one trunk.
    fn apart(&self, identity: ConversationKey, key: &FlowKey) -> ConversationKey {
        let tags = |key: &FlowKey| [key.vlan.into(), key.inner_vlan.into(), key.network_number];
        let met = self.by_key.get(&identity).and_then(|number| self.conversations.get(*number));
        let untagged = [0; 3];
        let differs = |one: &Sighting| {
            one.key.interface == key.interface && ![untagged, tags(key)].contains(&tags(&one.key))
        };
        if tags(key) != untagged && met.is_some_and(|met| met.sightings.iter().any(differs)) {
            ConversationKey { networks: tags(key), ..identity }
        } else {
            identity
        }
    }

    fn conversation_of<D>(
        &mut self,
        key: ConversationKey,
        reference: Tuple,
        tracked: Option<Tracked>,
        read: &FlowCounters,
        context: &Context<'_, D>,
    ) -> u64 {
        if let Some(number) = self.by_key.get(&key)
            && let Some(conversation) = self.conversations.get(*number)
            && !begins_anew(conversation, read, context.overflowing)
        {
            return *number;
        }
        self.last += 1;
        let id: Arc<str> = format!("f{:x}", self.last).into();
        self.conversations.insert(self.last, Conversation::new(id, reference, tracked));
        self.by_key.insert(key, self.last);
        self.last
    }

    /// Hands out what can be booked, conversation by conversation.
    pub fn book(&mut self, mut book: impl FnMut(&Conversation, Booking)) {
        for conversation in self.conversations.active_mut() {
            if !conversation.settled || !conversation.moved {
                continue;
            }
            for direction in HopDirection::BOTH {
                let counters = take_unbooked(conversation, direction);
                if !counters.is_zero() {
                    book(conversation, Booking { direction, counters });
                }
            }
        }
    }

    /// What flows say of packets that entered addressed to this host: who they were passed on to.
    pub fn passed_on<D: Directory>(&mut self, directory: &D) -> Listed {
        let mut listed = Listed { passed_on: Vec::new(), unsure: std::mem::take(&mut self.unread) };
        for conversation in self.conversations.active_mut() {
            let (settled, flipped) = (conversation.settled, conversation.flipped);
            let protocol = conversation.protocol();
            let ends = [conversation.source, conversation.destination];
            for sighting in &mut conversation.sightings {
                let to_host = sighting.destination().id == EndpointId::HOST;
                let more = sighting.seen.since(sighting.passed_on);
                if !to_host || !sighting.is_entry || sighting.key.hook != Hook::INGRESS || more.is_zero() {
                    continue;
                }
                let sender = directory.current(sighting.source().id);
                if !settled {
                    listed.unsure.entry((sender, protocol)).or_default().add(more);
                    continue;
                }
                sighting.passed_on = sighting.seen;
                let receiver = if sighting.along != flipped { ends[1] } else { ends[0] };
                let receiver = directory.stack(receiver);
                if receiver != EndpointId::HOST {
                    listed.passed_on.push((Ends { sender, receiver, protocol }, more));
                }
            }
        }
        listed
    }

    /// Bytes at counting places that wait to be booked.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        let pending = |conversation: &Conversation| -> u64 {
            HopDirection::BOTH
                .into_iter()
                .filter(|direction| {
                    !conversation.settled || conversation.counting[index(*direction)] == Counting::Undecided
                })
                .map(|direction| counting::unbooked(conversation, direction).bytes)
                .sum()
        };
        self.conversations.active().filter(|one| one.moved).map(pending).sum()
    }

    /// Ends what is over; the entries the kernel's table needs no longer.
    pub fn expire(&mut self, now: u64) -> Vec<FlowKey> {
        let mut over = Vec::new();
        // What rests can only fall silent for good.
        self.conversations.wake(|protocol, last| lifetime::is_idle(protocol, last, now));
        for conversation in self.conversations.active_mut() {
            if conversation.ended.is_none()
                && let Some(close) = lifetime::ended(conversation.protocol(), &conversation.signs(), now)
            {
                conversation.ended = Some((close, now));
            }
            // At once: a SYN from the same port a moment after a reset must find no entry to go on with.
            if conversation.ended.is_some() {
                let living = conversation.sightings.iter().filter(|sighting| sighting.in_kernel);
                over.extend(living.map(|sighting| sighting.key));
            }
        }
        over
    }

    /// An entry was taken out of the kernel's table, with what it held at that moment.
    pub fn taken(&mut self, key: &FlowKey, last: Option<FlowCounters>) {
        let Some((number, at)) = self.by_sighting.remove(key) else { return };
        let Some(conversation) = self.conversations.moving(number) else { return };
        conversation.moves();
        if let Some(sighting) = conversation.sightings.get_mut(at as usize) {
            if let Some(last) = last {
                sighting.read(last);
            }
            sighting.in_kernel = false;
        }
    }

    /// Forgets conversations that were over long enough and have nothing left to book.
    pub fn forget(&mut self, now: u64) {
        let is_listed = |ended: Option<u64>| ended.is_none_or(|at| now.saturating_sub(at) < LISTED);
        let keep = |conversation: &Conversation| {
            is_listed(conversation.ended.map(|(_, at)| at))
                || conversation.sightings.iter().any(|sighting| sighting.in_kernel)
        };
        self.conversations.retain(keep, is_listed);
        self.conversations.shorten(MOST_ENDED);
        // A key that leads to nobody is found out when it is met.
        if self.readings.is_multiple_of(SWEPT) {
            let conversations = &self.conversations;
            self.by_key.retain(|_, number| conversations.contains(*number));
        }
    }

    /// Remembers the amounts of this tick, so that the next one's rates are over what came since.
    pub fn close_tick(&mut self) {
        for conversation in self.conversations.active_mut() {
            conversation.before = conversation.amounts;
            conversation.moved &= !conversation.is_decided();
            let last = conversation.last_seen();
            let entries_left =
                conversation.ended.is_some() && conversation.sightings.iter().any(|one| one.in_kernel);
            if conversation.settled && !entries_left && self.now.saturating_sub(last) >= AT_REST {
                conversation.at_rest = Some(last);
                conversation.sightings.shrink_to_fit();
            }
        }
        self.conversations.settle();
    }

    /// Every conversation.
    pub fn iter(&self) -> impl Iterator<Item = &Conversation> {
        self.conversations.iter()
    }

    /// Every conversation, to be added to.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Conversation> {
        self.conversations.iter_mut()
    }

    /// Those that do not rest: whatever there is to count is theirs.
    pub fn active_mut(&mut self) -> impl Iterator<Item = &mut Conversation> {
        self.conversations.active_mut()
    }

    /// What is to be told of every conversation; `judge` says labels and verdict.
    pub fn for_each_about(
        &mut self,
        judge: impl FnMut(&mut Conversation) -> (PathFlowLabels, Verdict),
        each: impl FnMut(&About),
    ) {
        self.conversations.for_each_about(judge, each);
    }
}

pub(crate) const fn index(direction: HopDirection) -> usize {
    match direction {
        HopDirection::Forward => 0,
        HopDirection::Reply => 1,
    }
}

/// Whether a new sighting opens a new flow instead of going on with one that is over.
fn begins_anew(conversation: &Conversation, read: &FlowCounters, overflowing: bool) -> bool {
    let Some((_, ended)) = conversation.ended else { return false };
    // What was on its way when a connection was reset belongs to it; a SYN, and anything that comes later,
    // does not.
    let straggler = conversation.protocol() == Protocol::TCP
        && read.syn == 0
        && read.syn_ack == 0
        && read.first_seen.saturating_sub(ended) < LINGER;
    // Where it is counted was decided when all its hops had entries. They are gone, and may not come again.
    let uncertain = overflowing && !conversation.sightings.iter().any(|sighting| sighting.in_kernel);
    !straggler || uncertain
}

/// Who the two sides are; whether the owners of their sockets are settled.
fn name<D: Directory>(conversation: &mut Conversation, context: &Context<'_, D>) -> bool {
    (conversation.source, conversation.destination) =
        parties::of(conversation, context.interfaces, context.directory);
    owners::tell(conversation, context.directory)
}

/// Brings a conversation up to what is known now.
fn judge<D: Directory>(conversation: &mut Conversation, context: &Context<'_, D>) {
    let age = context.now.saturating_sub(conversation.first_seen());
    if !conversation.settled {
        orientation::orient(conversation);
    }
    conversation.told = None;
    let owned = name(conversation, context);
    if !conversation.settled && age >= SETTLE {
        let (source, destination) = (conversation.source, conversation.destination);
        let named = |endpoint| context.directory.kind(endpoint) != Kind::UNKNOWN;
        let both = owned && named(source) && (named(destination) || destination == EndpointId::GROUP);
        conversation.settled = both || age >= PATIENCE;
        if conversation.settled {
            // Whose sockets these are is kept from now on: when it is judged next, they may be forgotten.
            name(conversation, context);
        }
    }
    if conversation.settled {
        for direction in HopDirection::BOTH {
            decide(conversation, direction, context);
        }
    }
    conversation.amounts = HopDirection::BOTH.map(|direction| counting::amount(conversation, direction));
}

/// Decides where a direction is counted, once it has been seen long enough for all its hooks to be there.
fn decide<D>(conversation: &mut Conversation, direction: HopDirection, context: &Context<'_, D>) {
    match conversation.counting[index(direction)] {
        Counting::Undecided => {}
        Counting::At(place) if is_gone(place, conversation, direction, context.interfaces) => {
            leave(conversation, direction, place);
        }
        Counting::At(_) | Counting::WhereItEnters => return,
    }
    let first = conversation.toward(direction).map(|sighting| sighting.first_seen).min();
    if first.is_some_and(|first| context.now.saturating_sub(first) >= SETTLE) {
        let uncertain =
            context.overflowing || conversation.toward(direction).any(|sighting| sighting.amid_overflow);
        conversation.counting[index(direction)] = if uncertain {
            Counting::WhereItEnters
        } else {
            counting::place(conversation, direction, context.interfaces)
        };
    }
}

/// Whether the counting place went away while the flow goes on elsewhere: a card that was replaced, an uplink
/// that failed over.
fn is_gone(
    place: Place,
    conversation: &Conversation,
    direction: HopDirection,
    interfaces: &Interfaces,
) -> bool {
    let alive = |place: Place| interfaces.get(place.interface).is_some_and(|one| one.alive);
    !alive(place) && conversation.toward(direction).any(|sighting| alive(sighting.place()))
}

/// Gives a counting place up. What it saw is still to be booked; what other places saw until now repeats it.
fn leave(conversation: &mut Conversation, direction: HopDirection, place: Place) {
    let at = |one: &&Sighting| one.place() == place;
    let last = conversation.toward(direction).filter(at).map(Sighting::last_seen).max().unwrap_or(0);
    let rest = take_unbooked(conversation, direction);
    conversation.carried[index(direction)].add(rest);
    let flipped = conversation.flipped;
    for sighting in &mut conversation.sightings {
        let forward = sighting.along != flipped;
        if forward == (direction == HopDirection::Forward) && sighting.first_seen <= last + SAME_MOMENT {
            sighting.booked = sighting.seen;
        }
    }
    conversation.counting[index(direction)] = Counting::Undecided;
}

/// What a direction's counting place has seen and nobody has booked.
fn take_unbooked(conversation: &mut Conversation, direction: HopDirection) -> Counters {
    let counting = conversation.counting[index(direction)];
    let flipped = conversation.flipped;
    let mut sum = Counters::ZERO;
    for sighting in &mut conversation.sightings {
        let forward = sighting.along != flipped;
        if counting.counts(sighting) && forward == (direction == HopDirection::Forward) {
            sum.add(sighting.seen.since(sighting.booked));
            sighting.booked = sighting.seen;
        }
    }
    conversation.counted[index(direction)].add(sum);
    sum.add(std::mem::take(&mut conversation.carried[index(direction)]));
    sum
}

#[cfg(test)]
mod tests;
