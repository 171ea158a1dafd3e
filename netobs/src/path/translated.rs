//! Packets addressed to this host, entering and leaving → which of them were passed on, and to whom. Pure.
//!
//! The answer to a masqueraded connection, and whatever comes to a published port, is addressed to the host
//! where it enters and to a container where it leaves. The kernel side sees both and cannot tell that it is
//! one packet. But packets are passed on, not made: what leaves for a receiver and did not enter for it
//! was addressed to the host. Less what flows say of their own packets, that is what has no flow.
//!
//! Each total is exact whatever happens; this decides only whose a packet is said to be. It errs where
//! packets for a receiver enter and are dropped while the flow table is full, where packets come in by an
//! interface that is not observed, and where the sender's address is replaced too (masquerade within a
//! bridge): then they stay the host's.

use std::collections::{BTreeMap, btree_map::Entry};

use netobs_common::{counters::Counters, endpoint::EndpointId, key::PathKey, wire::Protocol};

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    /// The sender.
    pub sender: EndpointId,
    /// The receiver.
    pub receiver: EndpointId,
    /// By the closed set of the metrics.
    pub protocol: Protocol,
}

/// What flows say of packets that entered addressed to this host, since the last time.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Passed on to that receiver.
    pub passed_on: Vec<(Ends, Counters)>,
    /// By sender: of flows too young to say it.
    pub unsure: BTreeMap<(EndpointId, Protocol), Counters>,
}

/// Readings for which packets wait: two seconds, at a reading a second.
const READINGS: usize = 3;

/// Packets without flow detail that entered addressed to this host.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Where they entered.
    pub key: PathKey,
    /// The latest reading's first.
    by_age: [Counters; READINGS],
}

/// What is known of packets that are passed on.
#[derive(Debug, Default)]
pub struct Translated {
    /// What left for a receiver and neither entered for it nor is in a flow nor is booked.
    balances: BTreeMap<Ends, Balance>,
    held: BTreeMap<(EndpointId, Protocol), Held>,
    quiet: bool,
}

/// Packets, segments, bytes; below zero while packets are between two places.
type Balance = [i128; 3];

impl Translated {
    /// Packets entered, addressed to their receiver.
    pub(super) fn entered(&mut self, ends: Ends, counters: Counters) {
        self.change(ends, counters, -1);
    }

    /// Packets left for their receiver.
    pub(super) fn left(&mut self, ends: Ends, counters: Counters) {
        self.change(ends, counters, 1);
    }

    /// Packets without flow detail entered, addressed to this host.
    pub(super) fn hold(&mut self, ends: Ends, key: PathKey, counters: Counters) {
        let new = Held { key, by_age: [Counters::ZERO; READINGS] };
        let held = self.held.entry((ends.sender, ends.protocol)).or_insert(new);
        held.by_age[0].add(counters);
    }

    /// Whose the held packets are, as far as it can be told: what is booked now, and for whom.
    pub(super) fn settle(&mut self, listed: &Listed) -> Vec<(Held, EndpointId, Counters)> {
        for (ends, counters) in &listed.passed_on {
            self.change(*ends, *counters, -1);
        }
        let mut booked = Vec::new();
        let unsure = |sender: EndpointId, protocol: Protocol| {
            listed.unsure.get(&(sender, protocol)).copied().unwrap_or(Counters::ZERO)
        };
        for ((sender, protocol), held) in &mut self.held {
            let doubt = balance(unsure(*sender, *protocol));
            let mut others: Balance = [0; 3];
            let theirs = self.balances.iter_mut().filter(|(ends, _)| {
                (ends.sender, ends.protocol) == (*sender, *protocol) && ends.receiver != EndpointId::HOST
            });
            for (ends, left) in theirs {
                let sure = counters(each(|one| left[one] - doubt[one]));
                let theirs = held.take(sure);
                *left = each(|one| left[one] - balance(theirs)[one]);
                others = each(|one| others[one] + left[one].max(0));
                if !theirs.is_zero() {
                    booked.push((*held, ends.receiver, theirs));
                }
            }
            let own = held.take_own(counters(others));
            if !own.is_zero() {
                booked.push((*held, EndpointId::HOST, own));
            }
        }
        self.held.retain(|_, held| held.by_age.iter().any(|one| !one.is_zero()));
        if self.held.is_empty() && self.quiet {
            // What is left is of flows too young to say it; the rest is packets that were dropped on their
            // way, or came by a way that is not observed, and must not be set against later ones.
            self.balances.retain(|ends, left| {
                let young = balance(unsure(ends.sender, ends.protocol));
                *left = each(|one| left[one].clamp(0, young[one]));
                *left != [0; 3]
            });
        }
        self.quiet = self.held.is_empty();
        booked
    }

    /// Bytes that wait.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held.values().flat_map(|held| &held.by_age).map(|one| one.bytes).sum()
    }

    fn change(&mut self, ends: Ends, counters: Counters, sign: i128) {
        let more = balance(counters);
        match self.balances.entry(ends) {
            Entry::Occupied(mut left) => *left.get_mut() = each(|one| left.get()[one] + sign * more[one]),
            Entry::Vacant(none) => {
                none.insert(each(|one| sign * more[one]));
            }
        }
    }
}

impl Held {
    /// Takes out so much, the oldest first; what it was, where there was less.
    fn take(&mut self, wanted: Counters) -> Counters {
        let (mut wanted, mut taken) = (balance(wanted), Counters::ZERO);
        for held in self.by_age.iter_mut().rev() {
            let part = counters(each(|one| wanted[one].min(balance(*held)[one])));
            *held = held.since(part);
            wanted = each(|one| wanted[one] - balance(part)[one]);
            taken.add(part);
        }
        taken
    }

    /// Takes out what waited for a reading and cannot be others', and what waited too long; the rest ages.
    fn take_own(&mut self, others: Counters) -> Counters {
        let [latest, waited, oldest] = self.by_age;
        let both = each(|one| balance(waited)[one] + balance(oldest)[one]);
        let free = each(|one| (both[one] - balance(others)[one]).max(balance(oldest)[one]));
        self.by_age[0] = Counters::ZERO;
        let own = self.take(counters(free));
        let [_, waited, _] = self.by_age;
        self.by_age = [Counters::ZERO, latest, waited];
        own
    }
}

fn each(of: impl Fn(usize) -> i128) -> Balance {
    [of(0), of(1), of(2)]
}

fn balance(counters: Counters) -> Balance {
    [counters.packets, counters.segments, counters.bytes].map(i128::from)
}

fn counters([packets, segments, bytes]: Balance) -> Counters {
    let [packets, segments, bytes] = [packets, segments, bytes].map(|one| u64::try_from(one).unwrap_or(0));
    Counters { packets, segments, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: EndpointId = EndpointId(16);

    fn to(receiver: EndpointId) -> Ends {
        Ends { sender: EndpointId::EXTERNAL, receiver, protocol: Protocol::TCP }
    }

    fn packets(packets: u64) -> Counters {
        Counters { packets, segments: packets, bytes: packets * 100 }
    }

    fn hold(translated: &mut Translated, number: u64) {
        translated.hold(to(EndpointId::HOST), PathKey::default(), packets(number));
    }

    fn settle(translated: &mut Translated, listed: &Listed) -> Vec<(EndpointId, u64)> {
        translated.settle(listed).into_iter().map(|(_, whose, counters)| (whose, counters.packets)).collect()
    }

    fn nothing_listed() -> Listed {
        Listed::default()
    }

    #[test]
    fn what_left_for_somebody_was_theirs_and_the_rest_the_hosts() {
        let mut all = Translated::default();
        hold(&mut all, 10);
        all.left(to(WEB), packets(4));
        assert_eq!(settle(&mut all, &nothing_listed()), [(WEB, 4)]);
        assert_eq!(all.held_bytes(), 600, "the others may be on their way");
        assert_eq!(settle(&mut all, &nothing_listed()), [(EndpointId::HOST, 6)]);
        assert_eq!(all.held_bytes(), 0);
    }

    #[test]
    fn what_entered_for_its_receiver_explains_what_left_for_it() {
        let mut all = Translated::default();
        hold(&mut all, 10);
        all.entered(to(WEB), packets(4));
        all.left(to(WEB), packets(4));
        assert_eq!(settle(&mut all, &nothing_listed()), []);
        assert_eq!(settle(&mut all, &nothing_listed()), [(EndpointId::HOST, 10)]);
    }

    #[test]
    fn what_flows_say_of_their_own_is_not_what_has_none() {
        let mut all = Translated::default();
        hold(&mut all, 10);
        all.left(to(WEB), packets(4));
        let listed = Listed { passed_on: vec![(to(WEB), packets(3))], ..Listed::default() };
        assert_eq!(settle(&mut all, &listed), [(WEB, 1)]);
        assert_eq!(settle(&mut all, &nothing_listed()), [(EndpointId::HOST, 9)]);
    }

    #[test]
    fn a_flow_too_young_to_say_it_holds_up_no_longer_than_three_readings() {
        let mut all = Translated::default();
        hold(&mut all, 10);
        all.left(to(WEB), packets(4));
        let unsure = BTreeMap::from([((EndpointId::EXTERNAL, Protocol::TCP), packets(4))]);
        let doubt = Listed { unsure, ..Listed::default() };
        assert_eq!(settle(&mut all, &doubt), []);
        assert_eq!(settle(&mut all, &doubt), [(EndpointId::HOST, 6)], "beyond doubt");
        assert_eq!(settle(&mut all, &doubt), [(EndpointId::HOST, 4)]);
        assert_eq!(all.held_bytes(), 0);
    }

    #[test]
    fn what_was_dropped_before_the_table_was_full_is_not_set_against_what_came_then() {
        let mut all = Translated::default();
        all.entered(to(WEB), packets(1_000));
        settle(&mut all, &nothing_listed());
        settle(&mut all, &nothing_listed());
        hold(&mut all, 10);
        all.left(to(WEB), packets(4));
        assert_eq!(settle(&mut all, &nothing_listed()), [(WEB, 4)]);
    }

    #[test]
    fn another_protocol_or_sender_explains_nothing() {
        let mut all = Translated::default();
        hold(&mut all, 10);
        all.left(Ends { protocol: Protocol::UDP, ..to(WEB) }, packets(4));
        all.left(Ends { sender: EndpointId(17), ..to(WEB) }, packets(4));
        assert_eq!(settle(&mut all, &nothing_listed()), []);
        assert_eq!(settle(&mut all, &nothing_listed()), [(EndpointId::HOST, 10)]);
    }
}
