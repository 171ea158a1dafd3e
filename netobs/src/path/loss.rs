//! Consecutive hops of a conversation → segments that passed the one and not the other, once both are quiet. Pure.
//!
//! Both hooks count every packet, so on one host a difference is a loss: nothing else makes segments vanish between
//! them. What is compared has to be comparable, and where it is not, nothing is said.

use netobs_common::{endpoint::EndpointId, hook::Hook};

use super::order;
use crate::{
    flow::{
        conversation::{Conversation, Sighting},
        interfaces::Interfaces,
        table::Directory,
    },
    report::HopDirection,
};

/// How long both hops must have been quiet: two ticks. A packet that is later than that waits in a queue of the
/// host's own for longer than any queue of the host holds one.
pub const QUIET: u64 = 2_000_000_000;

/// What can be said of two consecutive hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Packets may be on their way.
    Unsettled,
    /// The numbers do not mean the same: fragments are made or put together in between, or one of the hops was
    /// observed later than the other or lacked room for an entry.
    NotComparable,
    /// So many segments passed the first and not the second.
    Segments(u64),
}

/// Two consecutive hops.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Where packets were seen before …
    pub from: &'a Sighting,
    /// … they were seen here.
    pub to: &'a Sighting,
    /// What was lost in between.
    pub lost: Lost,
}

/// Every two consecutive hops of a direction.
#[must_use]
pub fn steps<'a>(
    conversation: &'a Conversation,
    direction: HopDirection,
    interfaces: &Interfaces,
    directory: &impl Directory,
    now: u64,
) -> Vec<Step<'a>> {
    // What is sent to a group is multiplied on its way.
    if conversation.is_group() {
        return Vec::new();
    }
    let mut hops = order::hops(conversation, direction, interfaces);
    hops.retain(|hop| !is_flooded(hop, interfaces, directory));
    hops.windows(2)
        .filter_map(|pair| {
            let [from, to] = pair else { return None };
            Some(Step { from, to, lost: lost(from, to, interfaces, now) })
        })
        .collect()
}

fn lost(from: &Sighting, to: &Sighting, interfaces: &Interfaces, now: u64) -> Lost {
    let since = |one: &Sighting| interfaces.get(one.key.interface).map_or(u64::MAX, |one| one.since);
    let cut = |one: &Sighting| one.latest.fragmented != 0 || one.key.fragment != 0;
    // A hook that came later than the first packet elsewhere has missed some; which, nobody knows.
    let late = since(to) > from.first_seen || from.first_seen > to.first_seen;
    if cut(from) || cut(to) || late || from.amid_overflow || to.amid_overflow {
        return Lost::NotComparable;
    }
    if now.saturating_sub(from.last_seen().max(to.last_seen())) < QUIET {
        return Lost::Unsettled;
    }
    // More behind than before: sent by a third party with the same tuple, or seen twice. No loss in any case.
    Lost::Segments(from.seen.segments.saturating_sub(to.seen.segments))
}

/// A copy that a bridge sent out by a port of somebody else, because it did not know the right one yet.
fn is_flooded(hop: &Sighting, interfaces: &Interfaces, directory: &impl Directory) -> bool {
    let Some(interface) = interfaces.get(hop.key.interface) else { return false };
    let to = directory.current(hop.destination().id);
    hop.key.hook == Hook::EGRESS
        && interface.kernel.port != 0
        && interface.owner().is_some_and(|owner| directory.current(owner) != to)
        && !matches!(to, EndpointId::UNKNOWN | EndpointId::EXTERNAL)
}

#[cfg(test)]
mod tests {
    use netobs_common::{
        counters::{Counters, FlowCounters},
        endpoint::{Kind, Party},
        interface::{Interface, Role},
        key::FlowKey,
    };

    use super::*;
    use crate::{
        flow::{
            conversation::Conversation,
            made_up::{Nobody, tcp},
        },
        report::HopDirection,
    };

    const SECOND: u64 = 1_000_000_000;
    const WEB: EndpointId = EndpointId(20);
    const DB: EndpointId = EndpointId(21);

    fn interfaces() -> Interfaces {
        let mut all = Interfaces::default();
        for (index, name, owner) in [(10, "va", WEB), (11, "vb", DB), (12, "vc", EndpointId(22))] {
            let number = all.begin(index, name);
            all.get_mut(number).unwrap().kernel =
                Interface { id: number, owner, role: Role::VETH, port: 1, ..Interface::default() };
        }
        all
    }

    fn seen(interface: u32, hook: Hook, first_seen: u64, segments: u64) -> Sighting {
        let key = FlowKey { interface, hook, ..FlowKey::default() };
        let read = FlowCounters {
            counters: Counters { packets: segments, segments, bytes: segments * 100 },
            first_seen,
            last_seen: 5 * SECOND,
            destination: Party::new(DB, Kind::CONTAINER, true),
            ..FlowCounters::default()
        };
        Sighting::new(key, true, read)
    }

    fn judged(sightings: Vec<Sighting>, now: u64) -> Vec<Lost> {
        let mut one = Conversation::new("f1".into(), tcp("172.17.0.2:40000", "172.17.0.3:80"), None);
        one.sightings = sightings;
        let all = interfaces();
        steps(&one, HopDirection::Forward, &all, &Nobody, now).iter().map(|step| step.lost).collect()
    }

    #[test]
    fn a_difference_is_a_loss_once_both_are_quiet() {
        let hops = || vec![seen(1, Hook::INGRESS, SECOND, 100), seen(2, Hook::EGRESS, SECOND + 1, 93)];
        assert_eq!(judged(hops(), 6 * SECOND), [Lost::Unsettled]);
        assert_eq!(judged(hops(), 7 * SECOND), [Lost::Segments(7)]);
    }

    #[test]
    fn more_behind_than_before_is_no_loss() {
        let hops = vec![seen(1, Hook::INGRESS, SECOND, 93), seen(2, Hook::EGRESS, SECOND + 1, 100)];
        assert_eq!(judged(hops, 7 * SECOND), [Lost::Segments(0)]);
    }

    #[test]
    fn fragments_late_hooks_and_missing_entries_are_not_compared() {
        let hops = |change: fn(&mut Sighting)| {
            let mut to = seen(2, Hook::EGRESS, SECOND + 1, 93);
            change(&mut to);
            judged(vec![seen(1, Hook::INGRESS, SECOND, 100), to], 7 * SECOND)
        };
        assert_eq!(hops(|to| to.latest.fragmented = 1), [Lost::NotComparable]);
        assert_eq!(hops(|to| to.amid_overflow = true), [Lost::NotComparable]);
        assert_eq!(hops(|to| to.first_seen = SECOND - 1), [Lost::NotComparable], "the first one came later");
    }

    #[test]
    fn a_hook_that_came_in_the_middle_has_missed_some() {
        let mut one = Conversation::new("f1".into(), tcp("172.17.0.2:40000", "172.17.0.3:80"), None);
        one.sightings = vec![seen(1, Hook::INGRESS, SECOND, 100), seen(2, Hook::EGRESS, 3 * SECOND, 50)];
        let mut all = interfaces();
        all.get_mut(2).unwrap().since = 2 * SECOND;
        let found = steps(&one, HopDirection::Forward, &all, &Nobody, 9 * SECOND);
        assert_eq!(found[0].lost, Lost::NotComparable);
    }

    #[test]
    fn a_copy_flooded_to_somebody_else_is_no_hop_to_lose_at() {
        let hops = vec![
            seen(1, Hook::INGRESS, SECOND, 100),
            seen(2, Hook::EGRESS, SECOND + 2, 100),
            seen(3, Hook::EGRESS, SECOND + 1, 1),
        ];
        assert_eq!(judged(hops, 7 * SECOND), [Lost::Segments(0)]);
    }
}
