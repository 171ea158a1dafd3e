//! What conntrack says → which conversation a tuple belongs to, whatever NAT made of it. Never by equal ports.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use netobs_common::wire::{Network, Proto, icmp};
use slab::Slab;

use super::tuple::{Peer, Tuple};
use crate::{host::conntrack::Connection, report::Nat};

/// A tracked connection as it matters here: what was sent, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tracked {
    /// As the initiator sent it.
    pub original: Tuple,
    /// As it is after translation: the reply direction turned around.
    pub translated: Tuple,
    /// The zones that `original` and `translated` are tracked in, 0 by default: in another zone an equal tuple is
    /// another connection's.
    pub zones: [u16; 2],
}

impl Tracked {
    /// In the default zone.
    #[must_use]
    pub const fn new(original: Tuple, translated: Tuple) -> Self {
        Self { original, translated, zones: [0; 2] }
    }

    /// From conntrack's two directions. `None` for protocols that have no tuple of this form.
    #[must_use]
    pub fn of(connection: &Connection) -> Option<Self> {
        let proto = Proto(connection.protocol);
        let tuple = |one: &crate::host::conntrack::Tuple| {
            let network = if one.source.is_ipv4() { Network::IPV4 } else { Network::IPV6 };
            // An echo is a flow whose port is the identifier, on both sides. Which of conntrack's two
            // fields holds it depends on the direction.
            let identifier = one.source_port.max(one.destination_port);
            let echo = matches!(proto, Proto::ICMP | Proto::ICMPV6);
            let ports = if echo { (identifier, identifier) } else { (one.source_port, one.destination_port) };
            Tuple {
                source: Peer { address: one.source, port: ports.0 },
                destination: Peer { address: one.destination, port: ports.1 },
                network,
                proto,
                fragment: false,
            }
        };
        let queries = [icmp::ECHO_REQUEST, icmp::V6_ECHO_REQUEST];
        if connection.original.icmp.is_some_and(|icmp| !queries.contains(&icmp.kind)) {
            return None;
        }
        Some(Self {
            original: tuple(&connection.original),
            translated: tuple(&connection.reply).reversed(),
            zones: [connection.zone, connection.reply_zone],
        })
    }

    /// Which addresses or ports were translated.
    #[must_use]
    pub fn nat(&self) -> Nat {
        let source = self.original.source != self.translated.source;
        let destination = self.original.destination != self.translated.destination;
        match (source, destination) {
            (false, false) => Nat::None,
            (true, false) => Nat::Snat,
            (false, true) => Nat::Dnat,
            (true, true) => Nat::Both,
        }
    }

    /// Whether any address or port is.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.original != self.translated
    }

    /// Whether only its zone tells it from a connection of equal addresses: its own are hidden on a part of the way.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.zones[0] != 0 && self.is_translated()
    }

    /// The forward tuples it is seen with once something is translated.
    pub fn changed(&self) -> impl Iterator<Item = Tuple> {
        let original = self.original;
        self.forward().into_iter().filter(move |tuple| *tuple != original)
    }

    /// The forward tuples it may be seen with on its way: before translation, after it, and between the
    /// translation of one side and of the other. Turned around, they are the reply's.
    fn forward(&self) -> [Tuple; 4] {
        let half = |source, destination| Tuple { source, destination, ..self.original };
        [
            self.original,
            self.translated,
            half(self.original.source, self.translated.destination),
            half(self.translated.source, self.original.destination),
        ]
    }
}

/// Which direction of a tracked connection a tuple is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// As the initiator sends.
    Original,
    /// The answer.
    Reply,
}

/// Every tuple of every tracked connection.
///
/// A node may track a quarter of a million of them, each with up to eight tuples: the index holds eight bytes for each
/// tuple, and what it stands for is worked out from the connection.
#[derive(Clone, Debug, Default)]
pub struct Translations {
    connections: Slab<Entry>,
    by_tuple: HashTable<Half>,
    /// What else has the tuple, in other zones.
    others: HashMap<Tuple, Vec<(Tracked, Way)>>,
    hasher: DefaultHashBuilder,
    heard: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tracked: Tracked,
    /// Tuples that lead here.
    tuples: u8,
}

/// One tuple of a connection.
#[derive(Clone, Copy, Debug)]
struct Half {
    connection: u32,
    /// Which of [`Tracked::forward`].
    stage: u8,
    way: Way,
}

impl Half {
    fn tuple(self, connections: &Slab<Entry>) -> Option<Tuple> {
        let forward = connections.get(self.connection as usize)?.tracked.forward();
        let tuple = *forward.get(usize::from(self.stage))?;
        Some(if self.way == Way::Original { tuple } else { tuple.reversed() })
    }

    /// Before all translation, or after it: what packets of this connection alone look like.
    const fn is_real(self) -> bool {
        self.stage < 2
    }
}

/// Every tuple a connection may be seen with, real ones first.
fn halves(tracked: &Tracked) -> impl Iterator<Item = (u8, Way, Tuple)> {
    (0_u8..)
        .zip(tracked.forward())
        .flat_map(|(stage, tuple)| [(stage, Way::Original, tuple), (stage, Way::Reply, tuple.reversed())])
}

/// The zones of the connection a tuple leads to.
fn zones(connections: &Slab<Entry>, half: Half) -> Option<[u16; 2]> {
    connections.get(half.connection as usize).map(|entry| entry.tracked.zones)
}

/// One of each zone.
fn put(others: &mut Vec<(Tracked, Way)>, one: (Tracked, Way), real: bool) {
    match others.iter_mut().find(|known| known.0.zones == one.0.zones) {
        Some(known) if real => *known = one,
        Some(_) => {}
        None => others.push(one),
    }
}

impl Translations {
    /// A connection began, or was in a dump.
    pub fn add(&mut self, tracked: Tracked) {
        let connection = match self.slot(&tracked) {
            Some(known) => known,
            None => match u32::try_from(self.connections.insert(Entry { tracked, tuples: 0 })) {
                Ok(slot) => slot,
                Err(_) => return,
            },
        };
        for (stage, way, tuple) in halves(&tracked) {
            let half = Half { connection, stage, way };
            let hash = self.hasher.hash_one(tuple);
            let connections = &self.connections;
            let equals = |one: &Half| one.tuple(connections) == Some(tuple);
            match self.by_tuple.find_mut(hash, equals) {
                Some(known) if known.connection == connection => continue,
                Some(known) if zones(connections, *known) != Some(tracked.zones) => {
                    put(self.others.entry(tuple).or_default(), (tracked, way), half.is_real());
                    continue;
                }
                // Where a half equals another connection's real tuple, the real one stays.
                Some(_) if !half.is_real() => continue,
                Some(known) => {
                    let other = std::mem::replace(known, half).connection;
                    self.let_go(other);
                }
                None => {
                    let Self { hasher, connections, by_tuple, .. } = self;
                    let rehash =
                        |one: &Half| one.tuple(connections).map_or(0, |tuple| hasher.hash_one(tuple));
                    by_tuple.insert_unique(hash, half, rehash);
                }
            }
            if let Some(entry) = self.connections.get_mut(connection as usize) {
                entry.tuples += 1;
            }
        }
        // All its tuples are another zone's: it is among the others, and nothing leads to its place.
        if self.connections.get(connection as usize).is_some_and(|entry| entry.tuples == 0) {
            self.connections.remove(connection as usize);
        }
    }

    /// A connection ended.
    pub fn remove(&mut self, tracked: &Tracked) {
        for (_, _, tuple) in halves(tracked) {
            if let Some(others) = self.others.get_mut(&tuple) {
                others.retain(|(other, _)| other != tracked);
            }
        }
        if let Some(connection) = self.slot(tracked) {
            for (_, _, tuple) in halves(tracked) {
                let connections = &self.connections;
                let equals =
                    |one: &Half| one.connection == connection && one.tuple(connections) == Some(tuple);
                if let Ok(found) = self.by_tuple.find_entry(self.hasher.hash_one(tuple), equals) {
                    found.remove();
                    self.let_go(connection);
                    // Of another zone's, the tuple is all that was hidden.
                    if let Some((next, _)) = self.others.get_mut(&tuple).and_then(Vec::pop) {
                        self.add(next);
                    }
                }
            }
        }
        for (_, _, tuple) in halves(tracked) {
            if self.others.get(&tuple).is_some_and(Vec::is_empty) {
                self.others.remove(&tuple);
            }
        }
    }

    /// The connection a tuple belongs to; where several zones have it, one of them.
    #[must_use]
    pub fn lookup(&self, tuple: &Tuple) -> Option<(Tracked, Way)> {
        let half = self.find(tuple)?;
        Some((self.connections.get(half.connection as usize)?.tracked, half.way))
    }

    /// The connections of other zones that have the tuple as well.
    #[must_use]
    pub fn others(&self, tuple: &Tuple) -> &[(Tracked, Way)] {
        self.others.get(tuple).map_or(&[], Vec::as_slice)
    }

    fn find(&self, tuple: &Tuple) -> Option<Half> {
        let equals = |one: &Half| one.tuple(&self.connections).as_ref() == Some(tuple);
        self.by_tuple.find(self.hasher.hash_one(tuple), equals).copied()
    }

    /// Where a connection is kept. One that lost each of its tuples to others is not.
    fn slot(&self, tracked: &Tracked) -> Option<u32> {
        let is_it =
            |slot: &u32| self.connections.get(*slot as usize).is_some_and(|entry| entry.tracked == *tracked);
        halves(tracked).find_map(|(_, _, tuple)| self.find(&tuple).map(|half| half.connection).filter(is_it))
    }

    /// One tuple less leads to a connection.
    fn let_go(&mut self, connection: u32) {
        let Some(entry) = self.connections.get_mut(connection as usize) else { return };
        entry.tuples = entry.tuples.saturating_sub(1);
        if entry.tuples == 0 {
            self.connections.remove(connection as usize);
        }
    }

    /// Everything that was tracked before that time is known.
    pub fn heard_until(&mut self, heard: u64) {
        self.heard = Some(heard);
    }

    /// Until when everything that was tracked is known, `now` at the latest.
    #[must_use]
    pub fn known_until(&self, now: u64) -> u64 {
        self.heard.map_or(now, |heard| heard.min(now))
    }

    /// Forgets everything, before a new dump.
    pub fn clear(&mut self) {
        self.by_tuple.clear();
        self.others.clear();
        self.connections.clear();
    }

    /// Tuples known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_tuple.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_tuple.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::made_up::tcp;

    fn masquerade() -> Tracked {
        Tracked::new(tcp("172.17.0.2:40000", "198.51.100.7:80"), tcp("198.51.100.1:61000", "198.51.100.7:80"))
    }

    fn published() -> Tracked {
        Tracked::new(
            tcp("198.51.100.7:40000", "198.51.100.1:8080"),
            tcp("198.51.100.7:40000", "172.17.0.2:80"),
        )
    }

    fn hairpin() -> Tracked {
        Tracked::new(tcp("172.17.0.3:40000", "198.51.100.1:8080"), tcp("172.17.0.1:40000", "172.17.0.2:80"))
    }

    #[test]
    fn which_side_is_translated() {
        assert_eq!(masquerade().nat(), Nat::Snat);
        assert_eq!(published().nat(), Nat::Dnat);
        assert_eq!(hairpin().nat(), Nat::Both);
    }

    #[test]
    fn every_half_of_a_connection_leads_to_it() {
        let mut all = Translations::default();
        all.add(hairpin());
        let way = |source, destination| all.lookup(&tcp(source, destination)).map(|(_, way)| way);
        assert_eq!(way("172.17.0.3:40000", "198.51.100.1:8080"), Some(Way::Original));
        assert_eq!(way("172.17.0.3:40000", "172.17.0.2:80"), Some(Way::Original), "bridge, DNAT done");
        assert_eq!(way("172.17.0.1:40000", "172.17.0.2:80"), Some(Way::Original), "SNAT done");
        assert_eq!(way("172.17.0.2:80", "172.17.0.1:40000"), Some(Way::Reply));
        assert_eq!(way("172.17.0.2:80", "172.17.0.3:40000"), Some(Way::Reply));
        assert_eq!(way("198.51.100.1:8080", "172.17.0.3:40000"), Some(Way::Reply));
        assert_eq!(way("172.17.0.9:40000", "172.17.0.2:80"), None, "equal ports are no reason");
    }

    #[test]
    fn a_half_never_hides_a_real_connection() {
        let real =
            Tracked::new(tcp("172.17.0.3:40000", "172.17.0.2:80"), tcp("172.17.0.3:40000", "172.17.0.2:80"));
        let mut all = Translations::default();
        all.add(real);
        all.add(hairpin());
        assert_eq!(all.lookup(&real.original), Some((real, Way::Original)));
    }

    #[test]
    fn what_ended_is_forgotten_and_nothing_else() {
        let mut all = Translations::default();
        all.add(masquerade());
        all.add(published());
        all.remove(&masquerade());
        assert_eq!(all.lookup(&masquerade().original), None);
        assert_eq!(all.lookup(&published().translated.reversed()), Some((published(), Way::Reply)));
        all.remove(&published());
        assert!(all.is_empty());
    }

    #[test]
    fn equal_tuples_of_two_zones_are_both_kept_until_each_ends() {
        let of_zone = |zone, port: u16| Tracked {
            translated: tcp(&format!("198.51.100.1:{port}"), "198.51.100.7:80"),
            zones: [zone, 0],
            ..masquerade()
        };
        let [one, other] = [of_zone(1, 61_000), of_zone(2, 61_001)];
        let mut all = Translations::default();
        for tracked in [one, other, one] {
            all.add(tracked);
        }
        let tuple = one.original;
        assert_eq!(
            (all.lookup(&tuple), all.others(&tuple)),
            (Some((one, Way::Original)), &[(other, Way::Original)][..])
        );
        assert_eq!(all.lookup(&other.translated), Some((other, Way::Original)), "one of a kind");
        all.remove(&one);
        assert_eq!((all.lookup(&tuple), all.others(&tuple).len()), (Some((other, Way::Original)), 0));
        all.remove(&other);
        assert!(all.is_empty() && all.others.is_empty());
    }

    #[test]
    fn a_connection_all_of_whose_tuples_are_another_zones_takes_no_place() {
        let of_zone = |zone| Tracked { zones: [zone; 2], ..masquerade() };
        let mut all = Translations::default();
        all.add(of_zone(0));
        (0..9).for_each(|_| all.add(of_zone(7)));
        assert_eq!((all.connections.len(), all.others.len()), (1, 4));
        all.remove(&of_zone(0));
        assert_eq!((all.connections.len(), all.others.len()), (1, 0));
        all.remove(&of_zone(7));
        assert_eq!((all.connections.len(), all.len()), (0, 0));
    }

    #[test]
    fn what_differs_in_its_zone_alone_ends_alone() {
        let of_zone = |zone| Tracked { zones: [zone; 2], ..masquerade() };
        let mut all = Translations::default();
        all.add(of_zone(0));
        all.add(of_zone(7));
        all.remove(&of_zone(0));
        assert_eq!(all.lookup(&masquerade().translated), Some((of_zone(7), Way::Original)));
    }

    /// The same, tuple by tuple.
    #[derive(Default)]
    struct Plain(HashMap<Tuple, (Tracked, Way)>);

    impl Plain {
        fn add(&mut self, tracked: Tracked) {
            for (stage, way, tuple) in halves(&tracked) {
                if stage < 2 {
                    self.0.insert(tuple, (tracked, way));
                } else {
                    self.0.entry(tuple).or_insert((tracked, way));
                }
            }
        }

        fn remove(&mut self, tracked: &Tracked) {
            self.0.retain(|_, (other, _)| other != tracked);
        }
    }

    /// Connections of few addresses and ports, so that their tuples meet.
    fn any_connection() -> impl Strategy<Value = Tracked> {
        let peer = || (0_u8..2, 1_u16..3).prop_map(|(host, port)| format!("10.0.0.{host}:{port}"));
        let other = || (2_u8..4, 3_u16..5).prop_map(|(host, port)| format!("10.0.0.{host}:{port}"));
        (peer(), other(), peer(), other()).prop_map(|(source, destination, new_source, new_destination)| {
            Tracked::new(tcp(&source, &destination), tcp(&new_source, &new_destination))
        })
    }

    proptest! {
        #[test]
        fn the_index_says_what_a_table_of_every_tuple_says(
            steps in proptest::collection::vec((any::<bool>(), any_connection()), 0..40),
        ) {
            let (mut index, mut plain) = (Translations::default(), Plain::default());
            for (add, one) in steps {
                if add {
                    index.add(one);
                    plain.add(one);
                } else {
                    index.remove(&one);
                    plain.remove(&one);
                }
                prop_assert_eq!(index.len(), plain.0.len());
                for (tuple, found) in &plain.0 {
                    prop_assert_eq!(index.lookup(tuple), Some(*found));
                }
            }
            let kept: std::collections::HashSet<_> = plain.0.values().map(|(one, _)| *one).collect();
            prop_assert_eq!(index.connections.len(), kept.len());
        }
    }
}
