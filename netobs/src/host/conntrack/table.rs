//! Conntrack events → the connections alive, by what identifies them. Pure; owned by the consumer.

use std::collections::HashMap;

use super::{
    connection::{Connection, ConnectionKey},
    decode::Decoded,
};

/// What happened to the tracked connections, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConntrackEvent {
    /// A dump begins: what it does not mention by its end is gone.
    DumpBegins,
    /// Connections found by the dump.
    Dumped(Vec<Connection>),
    /// The dump is complete.
    DumpEnds,
    /// A dump was broken off: what it did not mention is as it was.
    DumpAborted,
    /// What one notification said.
    Live(Decoded),
}

/// The connections alive.
#[derive(Clone, Debug, Default)]
pub struct Table {
    // Boxed: a node may track a quarter of a million, and a table that is half empty holds pointers.
    connections: HashMap<ConnectionKey, Box<Entry>>,
    dump: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    connection: Connection,
    /// The dump or the time between two dumps it was last mentioned in.
    mentioned: u32,
}

impl Table {
    /// Brings the table to what an event says.
    pub fn apply(&mut self, event: &ConntrackEvent) {
        match event {
            ConntrackEvent::DumpBegins => self.dump = self.dump.wrapping_add(1),
            ConntrackEvent::Dumped(found) => found.iter().for_each(|connection| self.put(*connection)),
            ConntrackEvent::DumpEnds => {
                let dump = self.dump;
                self.connections.retain(|_, entry| entry.mentioned == dump);
            }
            ConntrackEvent::DumpAborted => {
                let dump = self.dump;
                self.connections.values_mut().for_each(|entry| entry.mentioned = dump);
            }
            ConntrackEvent::Live(Decoded::New(connection) | Decoded::Update(connection)) => {
                self.put(*connection)
            }
            ConntrackEvent::Live(Decoded::Destroy(connection)) => {
                // The end of an earlier connection with the same tuple must not end this one.
                if self.get(&connection.key()).is_some_and(|known| known.id == connection.id) {
                    self.connections.remove(&connection.key());
                }
            }
        }
    }

    /// The connection of that original direction.
    #[must_use]
    pub fn get(&self, key: &ConnectionKey) -> Option<&Connection> {
        self.connections.get(key).map(|entry| &entry.connection)
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values().map(|entry| &entry.connection)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    fn put(&mut self, mut connection: Connection) {
        let mentioned = self.dump;
        if let Some(known) = self.get(&connection.key()).filter(|known| known.id == connection.id) {
            // Only dumps and the end say the counts.
            connection.original_count = connection.original_count.or(known.original_count);
            connection.reply_count = connection.reply_count.or(known.reply_count);
        }
        self.connections.insert(connection.key(), Box::new(Entry { connection, mentioned }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::{Count, Status, Tuple};
    use super::*;

    fn connection(port: u16, id: u32) -> Connection {
        let tuple = Tuple {
            source: "10.0.0.2".parse().unwrap(),
            source_port: port,
            destination: "10.0.0.3".parse().unwrap(),
            destination_port: 80,
            icmp: None,
        };
        Connection {
            id,
            zone: 0,
            reply_zone: 0,
            protocol: 6,
            original: tuple,
            reply: tuple,
            status: Status::CONFIRMED,
            mark: 0,
            original_count: None,
            reply_count: None,
        }
    }

    fn table(events: &[ConntrackEvent]) -> Table {
        let mut table = Table::default();
        events.iter().for_each(|event| table.apply(event));
        table
    }

    fn ports(table: &Table) -> Vec<u16> {
        let mut ports: Vec<_> = table.iter().map(|connection| connection.original.source_port).collect();
        ports.sort_unstable();
        ports
    }

    use ConntrackEvent::{DumpAborted, DumpBegins, DumpEnds, Dumped, Live};
    use Decoded::{Destroy, New, Update};

    #[test]
    fn connections_come_change_and_end() {
        let mut table = table(&[Live(New(connection(1, 1)))]);
        table.apply(&Live(Update(Connection { status: Status(0xe), ..connection(1, 1) })));
        assert_eq!(table.get(&connection(1, 1).key()).map(|found| found.status), Some(Status(0xe)));
        table.apply(&Live(Destroy(connection(1, 1))));
        assert!(table.is_empty());
    }

    #[test]
    fn an_update_of_an_unknown_connection_makes_it_known() {
        assert_eq!(table(&[Live(Update(connection(1, 1)))]).len(), 1);
    }

    #[test]
    fn the_end_of_an_earlier_one_does_not_end_its_successor() {
        let table = table(&[Live(New(connection(1, 2))), Live(Destroy(connection(1, 1)))]);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_dump_removes_what_it_does_not_mention() {
        let table = table(&[
            Live(New(connection(1, 1))),
            Live(New(connection(2, 2))),
            DumpBegins,
            Dumped(vec![connection(2, 2), connection(3, 3)]),
            DumpEnds,
        ]);
        assert_eq!(ports(&table), [2, 3]);
    }

    #[test]
    fn what_a_notification_mentions_during_a_dump_stays() {
        let table =
            table(&[DumpBegins, Live(New(connection(4, 4))), Dumped(vec![connection(5, 5)]), DumpEnds]);
        assert_eq!(ports(&table), [4, 5]);
    }

    #[test]
    fn a_dump_broken_off_removes_nothing_then_or_later() {
        let mut table =
            table(&[Live(New(connection(1, 1))), DumpBegins, Dumped(vec![connection(2, 2)]), DumpAborted]);
        assert_eq!(ports(&table), [1, 2]);
        for event in [DumpBegins, Dumped(vec![connection(2, 2)]), DumpEnds] {
            table.apply(&event);
        }
        assert_eq!(ports(&table), [2]);
    }

    #[test]
    fn counts_survive_an_update_without_them() {
        let counted =
            Connection { original_count: Some(Count { packets: 3, bytes: 99 }), ..connection(1, 1) };
        let table = table(&[DumpBegins, Dumped(vec![counted]), DumpEnds, Live(Update(connection(1, 1)))]);
        assert_eq!(table.iter().next().unwrap().original_count, Some(Count { packets: 3, bytes: 99 }));
    }
}
