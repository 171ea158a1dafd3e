//! Rows of drops, tick by tick → when many began to be dropped on one way, and when it was over. Pure: time is an
//! argument.

use std::collections::HashMap;

use super::Change;
use crate::report::{DropRow, EventKind};

/// So many packets within [`WINDOW`] are a burst.
const MANY: u64 = 10;
/// Nanoseconds.
const WINDOW: u64 = 10_000_000_000;

/// Who, to whom, why: what a burst is told by.
type Way = String;

#[derive(Debug, Default)]
struct Count {
    packets: u64,
    /// When the window began, and how many there were then.
    window: (u64, u64),
    /// How many there were when the burst began.
    burst: Option<u64>,
    grew: u64,
}

/// What is being dropped.
#[derive(Debug, Default)]
pub struct Bursts(HashMap<Way, Count>);

impl Bursts {
    /// Takes in the rows of a tick.
    pub fn read(&mut self, rows: &[DropRow], now: u64) -> Vec<Change> {
        let mut sums: HashMap<Way, u64> = HashMap::new();
        for row in rows {
            *sums.entry(way(row)).or_default() += row.packets;
        }
        // What is listed no more is over, and forgotten.
        let mut changes = Vec::new();
        self.0.retain(|way, count| {
            let stays = sums.contains_key(way);
            if !stays && let Some(begun) = count.burst {
                changes.push(over(way, count.packets - begun));
            }
            stays
        });
        for (way, packets) in sums {
            let is_new = !self.0.contains_key(&way);
            let count = self.0.entry(way.clone()).or_default();
            if is_new {
                count.window = (now, 0);
            }
            if packets > count.packets {
                count.grew = now;
            }
            // A row that is listed no more takes its packets along.
            let gone = count.packets.saturating_sub(packets);
            count.window.1 = count.window.1.saturating_sub(gone);
            count.burst = count.burst.map(|begun| begun.saturating_sub(gone));
            count.packets = packets;
            if now.saturating_sub(count.window.0) > WINDOW {
                count.window = (now, count.packets);
            }
            let lately = count.packets - count.window.1;
            match count.burst {
                None if lately >= MANY => {
                    count.burst = Some(count.window.1);
                    changes.push(change(&way, None, Some(format!("{lately} packets within ten seconds"))));
                }
                Some(begun) if now.saturating_sub(count.grew) >= WINDOW => {
                    changes.push(over(&way, count.packets - begun));
                    (count.burst, count.window) = (None, (now, count.packets));
                }
                _ => {}
            }
        }
        changes.sort_by(|one, other| one.subject.cmp(&other.subject));
        changes
    }
}

fn way(row: &DropRow) -> Way {
    format!("{} → {}, {}", row.source.endpoint, row.destination.endpoint, row.reason)
}

fn over(way: &str, packets: u64) -> Change {
    change(way, Some(format!("{packets} packets")), None)
}

fn change(way: &str, before: Option<String>, after: Option<String>) -> Change {
    Change { kind: EventKind::Drops, subject: way.to_owned(), before, after, detail: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{DropClass, KindName, Party, ProtocolName};

    const SECOND: u64 = 1_000_000_000;

    fn row(packets: u64) -> DropRow {
        let party = |id: &str| Party {
            endpoint: id.into(),
            kind: KindName::Container,
            address: "10.0.0.2".parse().unwrap(),
            port: 0,
            process: None,
        };
        DropRow {
            source: party("container/web"),
            destination: party("container/db"),
            protocol: ProtocolName::Udp,
            reason: "netfilter_drop".into(),
            class: DropClass::Dropped,
            location: None,
            inside: None,
            last_hop: None,
            expected_next_hop: None,
            attempted: None,
            packets,
            bytes: packets * 100,
            first_seen: jiff::Timestamp::UNIX_EPOCH,
            last_seen: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_burst_has_a_beginning_and_an_end() {
        let mut bursts = Bursts::default();
        assert!(bursts.read(&[row(3)], SECOND).is_empty(), "a few are none");
        let begun = bursts.read(&[row(15)], 2 * SECOND);
        assert_eq!(begun[0].subject, "container/web → container/db, netfilter_drop");
        assert_eq!(begun[0].after.as_deref(), Some("15 packets within ten seconds"));
        assert!(bursts.read(&[row(90)], 3 * SECOND).is_empty(), "it goes on");
        assert!(bursts.read(&[row(90)], 12 * SECOND).is_empty());
        let over = bursts.read(&[row(90)], 13 * SECOND);
        assert_eq!((over[0].before.as_deref(), over[0].after.as_deref()), (Some("90 packets"), None));
        assert!(bursts.read(&[row(90)], 14 * SECOND).is_empty());
        assert_eq!(bursts.read(&[row(120)], 15 * SECOND).len(), 1, "another one");
    }

    #[test]
    fn a_trickle_is_no_burst() {
        let mut bursts = Bursts::default();
        for tick in 1..100 {
            assert!(bursts.read(&[row(tick / 2)], tick * SECOND).is_empty(), "{tick}");
        }
    }

    #[test]
    fn what_is_listed_no_more_is_over() {
        let mut bursts = Bursts::default();
        bursts.read(&[row(50)], SECOND);
        assert_eq!(bursts.read(&[], 2 * SECOND).len(), 1);
        assert!(bursts.0.is_empty());
    }
}
