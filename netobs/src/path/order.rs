//! Hops in the order of travel, by which interface lies on which and by what the kernel says a packet came in by.

use netobs_common::{hook::Hook, interface::Role};

use crate::{
    flow::{
        conversation::{Conversation, Place, Sighting},
        interfaces::{Interfaces, Observed},
    },
    report::HopDirection,
};

/// The sightings of one direction in the order of travel.
#[must_use]
pub fn hops<'a>(
    conversation: &'a Conversation,
    direction: HopDirection,
    interfaces: &Interfaces,
) -> Vec<&'a Sighting> {
    let mut hops: Vec<_> = conversation.toward(direction).collect();
    let passes = Passes::of(&hops, interfaces);
    hops.sort_by_key(|sighting| {
        let rank =
            interfaces.get(sighting.key.interface).map_or(u16::MAX, |one| rank(one, sighting.key.hook));
        (passes.of_hop(sighting, interfaces), rank, sighting.first_seen)
    });
    hops
}

/// Where a direction was seen first.
#[must_use]
pub fn first(conversation: &Conversation, direction: HopDirection, interfaces: &Interfaces) -> Option<Place> {
    hops(conversation, direction, interfaces).first().map(|sighting| sighting.place())
}

/// How far on its way through the host a packet is at a hook: in by the lowest device and up through those that lie
/// on it, routed, down again and out by the lowest one (measured sequences: docs/paths.md). On `lo` it leaves
/// before it arrives.
fn rank(interface: &Observed, hook: Hook) -> u16 {
    let height = u16::from(interface.height);
    match (interface.role(), hook) {
        // Out of the sender's own stack first, into the receiver's last.
        (role, Hook::EGRESS) if interface.is_inside() && role != Role::LOOPBACK => 0,
        (role, Hook::INGRESS) if interface.is_inside() && role != Role::LOOPBACK => u16::MAX - 1,
        (Role::LOOPBACK, Hook::INGRESS) => 1,
        (Role::LOOPBACK, _) => 0,
        (_, Hook::INGRESS) => 2 + height,
        _ => 2 * u16::from(u8::MAX) - height,
    }
}

fn is_inside(hop: &Sighting, interfaces: &Interfaces) -> bool {
    interfaces.get(hop.key.interface).is_some_and(Observed::is_inside)
}

/// The times a packet passes through this host: more than one where it is sent to an endpoint that routes it, a
/// virtual machine or a container as a router, and comes back. Each begins where `ingress_ifindex` of a hop at
/// egress says that the packet came in; which came first, the clock says.
struct Passes {
    /// Interface index and time of the first packet, in the order of time; none where all is one pass.
    begins: Vec<(u32, u64)>,
}

impl Passes {
    fn of(hops: &[&Sighting], interfaces: &Interfaces) -> Self {
        let ifindex = |one: &Sighting| interfaces.get(one.key.interface).map_or(0, |one| one.ifindex);
        let mut begins: Vec<(u32, u64)> = hops
            .iter()
            .filter(|one| one.key.hook == Hook::INGRESS && !is_inside(one, interfaces))
            .map(|one| (ifindex(one), one.first_seen))
            .filter(|(index, _)| {
                let came_by = |one: &&&Sighting| one.key.hook == Hook::EGRESS && !is_inside(one, interfaces);
                hops.iter().filter(came_by).any(|one| one.latest.ingress_ifindex == *index && *index != 0)
            })
            .collect();
        if begins.len() < 2 {
            begins.clear();
        }
        begins.sort_by_key(|(_, time)| *time);
        Self { begins }
    }

    fn of_hop(&self, hop: &Sighting, interfaces: &Interfaces) -> usize {
        let last = self.begins.len().saturating_sub(1);
        if is_inside(hop, interfaces) {
            return if hop.key.hook == Hook::EGRESS { 0 } else { last };
        }
        if hop.key.hook == Hook::INGRESS {
            let index = interfaces.get(hop.key.interface).map_or(0, |one| one.ifindex);
            let own = self.begins.iter().position(|(begin, _)| *begin == index);
            // What lies below the interface a pass begins at was passed just before.
            return own.unwrap_or_else(|| {
                self.begins.iter().position(|(_, time)| *time >= hop.first_seen).unwrap_or(last)
            });
        }
        let from = hop.latest.ingress_ifindex;
        self.begins.iter().position(|(begin, _)| *begin == from).unwrap_or_else(|| {
            // Put into a tunnel on the way, so nobody remembers by what it came in.
            self.begins.iter().rposition(|(_, time)| *time <= hop.first_seen).unwrap_or(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use netobs_common::{
        counters::FlowCounters,
        interface::{Interface, Role},
        key::FlowKey,
    };

    use super::*;
    use crate::flow::made_up::tcp;

    const IN: Hook = Hook::INGRESS;
    const OUT: Hook = Hook::EGRESS;

    /// Interfaces by index, name, role and height; sightings by index, hook, `ingress_ifindex` and time.
    fn order(interfaces: &[(u32, &str, Role, u8)], seen: &[(u32, Hook, u32, u64)]) -> Vec<String> {
        let mut all = Interfaces::default();
        let mut numbers = std::collections::HashMap::new();
        for (index, name, role, height) in interfaces {
            let number = all.begin(*index, name);
            let one = all.get_mut(number).unwrap();
            (one.height, one.kernel) =
                (*height, Interface { id: number, role: *role, ..Interface::default() });
            numbers.insert(*index, number);
        }
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        for (index, hook, ingress_ifindex, first_seen) in seen {
            let key = FlowKey { interface: numbers[index], hook: *hook, ..FlowKey::default() };
            let read = FlowCounters {
                first_seen: *first_seen,
                ingress_ifindex: *ingress_ifindex,
                ..FlowCounters::default()
            };
            one.sightings.push(Sighting::new(key, true, read));
        }
        let written = |hop: &&Sighting| {
            let name = &all.get(hop.key.interface).unwrap().name;
            format!("{name} {}", if hop.key.hook == IN { "I" } else { "E" })
        };
        hops(&one, HopDirection::Forward, &all).iter().map(written).collect()
    }

    #[test]
    fn out_of_the_senders_stack_first_and_into_the_receivers_last() {
        let mut all = Interfaces::default();
        let mut one = Conversation::new("f1".into(), tcp("10.0.0.2:40000", "10.0.0.3:80"), None);
        // Indexes inside are the host's too, and mean other interfaces there.
        for (index, name, inside, hook, time) in
            [(2, "eth0", 1, IN, 1), (5, "vb", 0, OUT, 2), (4, "va", 0, IN, 3), (2, "eth0", 1, OUT, 4)]
        {
            let number = all.begin(index, name);
            let kernel = Interface { id: number, role: Role::VETH, inside, ..Interface::default() };
            all.get_mut(number).unwrap().kernel = kernel;
            let key = FlowKey { interface: number, hook, ..FlowKey::default() };
            let read = FlowCounters { first_seen: time, ..FlowCounters::default() };
            one.sightings.push(Sighting::new(key, true, read));
        }
        let names: Vec<_> =
            hops(&one, HopDirection::Forward, &all).iter().map(|hop| hop.key.interface).collect();
        assert_eq!(names, [4, 3, 2, 1]);
    }

    const CARD: (u32, &str, Role, u8) = (2, "eth0", Role::UPLINK, 0);
    const BRIDGE: (u32, &str, Role, u8) = (3, "br0", Role::BRIDGE, 1);
    const VA: (u32, &str, Role, u8) = (4, "va", Role::VETH, 0);
    const TUNNEL: (u32, &str, Role, u8) = (5, "vx100", Role::OVERLAY, 1);
    const ROUTER: (u32, &str, Role, u8) = (6, "tap0", Role::TAP, 0);

    #[test]
    fn up_through_what_lies_on_it_and_down_again_whatever_the_clock_says() {
        let seen = [(2, OUT, 0, 1), (5, OUT, 3, 2), (3, IN, 4, 3), (4, IN, 4, 4)];
        assert_eq!(order(&[CARD, BRIDGE, VA, TUNNEL], &seen), ["va I", "br0 I", "vx100 E", "eth0 E"]);
        let back = [(4, OUT, 5, 1), (3, OUT, 5, 2), (5, IN, 5, 3), (2, IN, 2, 4)];
        assert_eq!(order(&[CARD, BRIDGE, VA, TUNNEL], &back), ["eth0 I", "vx100 I", "br0 E", "va E"]);
    }

    #[test]
    fn a_tagged_frame_passes_the_trunk_before_the_vlan_and_the_bridge_on_it() {
        let vlan = (7, "eth0.7", Role::OTHER, 1);
        let bridge = (3, "br0", Role::BRIDGE, 2);
        let seen = [(4, OUT, 7, 9), (3, IN, 2, 9), (7, IN, 2, 9), (2, IN, 2, 9)];
        assert_eq!(order(&[CARD, vlan, bridge, VA], &seen), ["eth0 I", "eth0.7 I", "br0 I", "va E"]);
    }

    #[test]
    fn through_a_router_that_is_a_guest_it_passes_twice() {
        // In by a pod's interface, to the guest, back from it, out by the card.
        let seen = [(2, OUT, 6, 40), (6, IN, 6, 30), (6, OUT, 3, 20), (3, IN, 4, 11), (4, IN, 4, 10)];
        assert_eq!(
            order(&[CARD, BRIDGE, VA, ROUTER], &seen),
            ["va I", "br0 I", "tap0 E", "tap0 I", "eth0 E"]
        );
    }

    #[test]
    fn on_loopback_it_leaves_before_it_arrives() {
        let lo = (1, "lo", Role::LOOPBACK, 0);
        assert_eq!(order(&[lo], &[(1, IN, 1, 1), (1, OUT, 0, 2)]), ["lo E", "lo I"]);
    }
}
