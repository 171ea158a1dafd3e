//! Two snapshots of flows, skipped packets and interface counters → what does not add up. Pure.

use std::collections::BTreeMap;

use crate::{
    counters::{Count, Snapshot, as_the_device_counts},
    flows::{Carried, Flow},
};

/// Everything read at one quiet moment.
#[derive(Clone, Debug)]
pub struct Books {
    /// The interfaces' own counters.
    pub interfaces: Snapshot,
    /// The agent's flows.
    pub flows: Vec<Flow>,
    /// Packets without a flow, by interface index and whether at ingress.
    pub skipped: BTreeMap<(u32, bool), Count>,
}

/// One direction of one interface that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The interface's name.
    pub interface: String,
    /// `ingress` or `egress`.
    pub hook: &'static str,
    /// What the interface counted.
    pub counted: Count,
    /// What the flows' hops and the skipped packets say, in the device's way of counting.
    pub listed: Count,
}

/// What one hook saw: socket buffers and bytes, and the packets they are on a cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: Count,
    segments: i128,
}

type Seen = BTreeMap<(u32, bool), Sum>;

/// What every hook saw, summed over flows.
fn seen(flows: &[Flow], mut keep: impl FnMut(&Flow) -> bool) -> Seen {
    let mut seen = Seen::new();
    for flow in flows.iter().filter(|flow| keep(flow)) {
        // Indexes inside an endpoint are other interfaces' outside.
        for hop in flow.hops.iter().filter(|hop| hop.inside.is_none()) {
            let sum = seen.entry((hop.ifindex, hop.hook == "ingress")).or_default();
            sum.count += count(hop.carried);
            sum.segments += i128::from(hop.carried.segments);
        }
    }
    seen
}

fn count(carried: Carried) -> Count {
    Count { packets: carried.packets.into(), bytes: carried.bytes.into() }
}

/// Differences between the interfaces' deltas and those of the flows with the skipped packets, for every interface
/// listed in both snapshots. Flows that were listed before and are not any more would hide
/// packets of the interval, so their earlier counts are not subtracted: a flow that carried anything in
/// between must still be listed.
#[must_use]
pub fn differences(before: &Books, after: &Books) -> Vec<Difference> {
    let ids: Vec<_> = after.flows.iter().map(|flow| flow.id.clone()).collect();
    let earlier = seen(&before.flows, |flow| ids.contains(&flow.id));
    let later = seen(&after.flows, |_| true);
    let mut differences = Vec::new();
    for (index, interface) in &after.interfaces {
        let Some(start) = before.interfaces.get(index) else { continue };
        let grown = |ingress| {
            let at = |seen: &Seen| seen.get(&(*index, ingress)).copied().unwrap_or_default();
            let (end, start) = (at(&later), at(&earlier));
            Sum { count: end.count - start.count, segments: end.segments - start.segments }
        };
        for ingress in [true, false] {
            let mut sum = grown(ingress).count;
            if interface.kind == "loopback" && !ingress && split_on_the_way(grown(false), grown(true)) {
                sum = grown(true).count;
            }
            sum += skipped(after, *index, ingress) - skipped(before, *index, ingress);
            let listed = as_the_device_counts(&interface.kind, ingress, sum);
            let counted =
                if ingress { interface.received - start.received } else { interface.sent - start.sent };
            if listed != counted {
                let hook = if ingress { "ingress" } else { "egress" };
                differences.push(Difference { interface: interface.name.clone(), hook, counted, listed });
            }
        }
    }
    differences
}

fn skipped(books: &Books, index: u32, ingress: bool) -> Count {
    books.skipped.get(&(index, ingress)).copied().unwrap_or_default()
}

/// `lo` takes TCP buffers of two segments that are longer than its limit for one (64 KiB, and one segment is
/// almost that), and cuts them after its egress hook and before it counts. What egress saw and what ingress
/// saw is then the same number of segments, and for each cut the bytes of one more header: Ethernet, IP and
/// TCP with or without options.
fn split_on_the_way(egress: Sum, ingress: Sum) -> bool {
    let cuts = ingress.count.packets - egress.count.packets;
    let headers = ingress.count.bytes - egress.count.bytes;
    egress.segments == ingress.segments && (54 * cuts..=114 * cuts).contains(&headers)
}

/// What the flows carried in between, both directions: the number the path counters must have grown by.
#[must_use]
pub fn carried(before: &[Flow], after: &[Flow]) -> Count {
    let total = |flows: &[Flow], keep: &dyn Fn(&Flow) -> bool| {
        flows.iter().filter(|flow| keep(flow)).fold(Count::default(), |mut sum, flow| {
            sum += count(flow.forward);
            sum += count(flow.reply);
            sum
        })
    };
    let ids: Vec<_> = after.iter().map(|flow| flow.id.clone()).collect();
    total(after, &|_| true) - total(before, &|flow| ids.contains(&flow.id))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::counters::Interface;

    fn flow(id: &str, packets: u64, bytes: u64) -> Flow {
        let side = json!({"endpoint": "host", "kind": "host", "address": "198.51.100.2", "port": 1});
        serde_json::from_value(json!({
            "id": id, "source": side, "destination": side, "initiator_by": "syn", "original_destination": null,
            "protocol": "tcp", "path": "bridge", "nat": "none", "via": "direct", "reporter": "source",
            "proxied_by": null, "verdict": "reachable",
            "forward": {"packets": packets, "segments": packets, "bytes": bytes},
            "reply": {"packets": 0, "segments": 0, "bytes": 0},
            "hops": [{"direction": "forward", "interface": "br0", "ifindex": 7, "hook": "ingress",
                      "role": "bridge", "source": "a", "destination": "b",
                      "packets": packets, "segments": packets, "bytes": bytes}],
        }))
        .unwrap()
    }

    fn books(flows: Vec<Flow>, packets: i128, bytes: i128) -> Books {
        let interface = Interface {
            name: "br0".into(),
            kind: "bridge".into(),
            received: Count { packets, bytes },
            sent: Count::default(),
            dropped: 0,
        };
        Books { interfaces: [(7, interface)].into(), flows, skipped: BTreeMap::new() }
    }

    #[test]
    fn equal_deltas_in_the_devices_way_of_counting_leave_no_difference() {
        let before = books(vec![flow("a", 10, 1000)], 10, 860);
        let after = books(vec![flow("a", 12, 1200), flow("b", 1, 100)], 13, 860 + 200 - 28 + 86);
        assert_eq!(differences(&before, &after), []);
        assert_eq!(carried(&before.flows, &after.flows), Count { packets: 3, bytes: 300 });
    }

    #[test]
    fn one_missing_packet_is_a_difference_unless_it_was_skipped_at_that_very_hook() {
        let before = books(vec![], 0, 0);
        let skipped_at = |index, ingress, bytes| {
            let mut after = books(vec![flow("a", 1, 100)], 2, 172);
            after.skipped = [((index, ingress), Count { packets: 1, bytes })].into();
            differences(&before, &after).len()
        };
        assert_eq!(differences(&before, &books(vec![flow("a", 1, 100)], 2, 172)).len(), 1);
        assert_eq!(skipped_at(7, true, 100), 0);
        assert_eq!(skipped_at(7, true, 60), 1, "its bytes are part of it");
        assert_eq!(skipped_at(7, false, 100), 2, "at the other hook it is one too many");
        assert_eq!(skipped_at(8, true, 100), 1, "of another interface it explains nothing");
    }

    #[test]
    fn wrong_bytes_of_the_right_number_of_packets_are_a_difference() {
        let before = books(vec![], 0, 0);
        assert_eq!(differences(&before, &books(vec![flow("a", 1, 114)], 1, 86)).len(), 1);
    }

    #[test]
    fn on_lo_buffers_cut_between_the_hooks_are_no_difference_but_lost_ones_are() {
        let sum = |packets, bytes, segments| Sum { count: Count { packets, bytes }, segments };
        assert!(split_on_the_way(sum(10, 1_000_000, 15), sum(15, 1_000_000 + 5 * 66, 15)));
        assert!(split_on_the_way(sum(10, 1000, 10), sum(10, 1000, 10)));
        assert!(!split_on_the_way(sum(10, 1_000_000, 14), sum(15, 1_000_000 + 5 * 66, 15)));
        assert!(!split_on_the_way(sum(10, 1_000_000, 15), sum(15, 1_000_000, 15)));
    }

    #[test]
    fn a_flow_that_vanished_without_traffic_is_not_missed() {
        let before = books(vec![flow("old", 5, 500)], 5, 430);
        let after = books(vec![], 5, 430);
        assert_eq!(differences(&before, &after), []);
    }

    #[test]
    fn a_packet_counted_twice_is_a_difference() {
        let before = books(vec![], 0, 0);
        assert_eq!(differences(&before, &books(vec![flow("a", 2, 200)], 1, 86)).len(), 1);
    }
}
