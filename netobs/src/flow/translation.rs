//! What conntrack says → which conversation a tuple belongs to, whatever NAT made of it. Never by equal ports.

use std::collections::HashMap;

use netobs_common::wire::{Network, Proto, icmp};

use super::tuple::{Peer, Tuple};
use crate::{host::conntrack::Connection, report::Nat};

/// A tracked connection as it matters here: what was sent, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tracked {
    /// As the initiator sent it.
    pub original: Tuple,
    /// As it is after translation: the reply direction turned around.
    pub translated: Tuple,
}

impl Tracked {
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
        Some(Self { original: tuple(&connection.original), translated: tuple(&connection.reply).reversed() })
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
#[derive(Clone, Debug, Default)]
pub struct Translations {
    by_tuple: HashMap<Tuple, (Tracked, Way)>,
}

impl Translations {
    /// A connection began, or was in a dump.
    pub fn add(&mut self, tracked: Tracked) {
        // Halves last: where one equals another connection's real tuple, the real one stays.
        for (rank, tuple) in tracked.forward().into_iter().enumerate() {
            if rank < 2 {
                self.by_tuple.insert(tuple, (tracked, Way::Original));
                self.by_tuple.insert(tuple.reversed(), (tracked, Way::Reply));
            } else {
                self.by_tuple.entry(tuple).or_insert((tracked, Way::Original));
                self.by_tuple.entry(tuple.reversed()).or_insert((tracked, Way::Reply));
            }
        }
    }

    /// A connection ended.
    pub fn remove(&mut self, tracked: &Tracked) {
        for tuple in tracked.forward() {
            for tuple in [tuple, tuple.reversed()] {
                if self.by_tuple.get(&tuple).is_some_and(|(other, _)| other == tracked) {
                    self.by_tuple.remove(&tuple);
                }
            }
        }
    }

    /// The connection a tuple belongs to.
    #[must_use]
    pub fn lookup(&self, tuple: &Tuple) -> Option<(Tracked, Way)> {
        self.by_tuple.get(tuple).copied()
    }

    /// Forgets everything, before a new dump.
    pub fn clear(&mut self) {
        self.by_tuple.clear();
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
    use super::*;
    use crate::flow::made_up::tcp;

    fn masquerade() -> Tracked {
        Tracked {
            original: tcp("172.17.0.2:40000", "198.51.100.7:80"),
            translated: tcp("198.51.100.1:61000", "198.51.100.7:80"),
        }
    }

    fn published() -> Tracked {
        Tracked {
            original: tcp("198.51.100.7:40000", "198.51.100.1:8080"),
            translated: tcp("198.51.100.7:40000", "172.17.0.2:80"),
        }
    }

    fn hairpin() -> Tracked {
        Tracked {
            original: tcp("172.17.0.3:40000", "198.51.100.1:8080"),
            translated: tcp("172.17.0.1:40000", "172.17.0.2:80"),
        }
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
        let real = Tracked {
            original: tcp("172.17.0.3:40000", "172.17.0.2:80"),
            translated: tcp("172.17.0.3:40000", "172.17.0.2:80"),
        };
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
}
