//! Addresses that guests were seen to send from: where the host never talked to them, nobody else knows. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use netobs_common::{
    counters::FlowCounters, hook::Hook, interface::Role, key::FlowKey, tunnel::Encapsulation, wire::Network,
};

use crate::{
    flow::tuple::Tuple,
    host::facts::{Link, LinkKind},
};

/// Addresses kept of one interface: a guest that is a router sends from everybody's.
const MOST: usize = 16;
/// How long an address that is not sent from is believed, in nanoseconds: a guest that is spoken to answers, and is
/// known again with that.
const KEPT: u64 = 300 * 1_000_000_000;

/// What was seen, by interface index. Moments are those of the kernel's monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Seen {
    taps: BTreeMap<u32, Tap>,
    believed: BTreeMap<u32, BTreeSet<IpAddr>>,
}

#[derive(Debug, Default)]
struct Tap {
    carrier: bool,
    carrier_losses: u32,
    /// What was sent before is the last guest's.
    since: u64,
    /// The bridge it is a port of, 0 without one.
    segment: u32,
    /// When each was last sent from.
    addresses: BTreeMap<IpAddr, u64>,
}

impl Seen {
    /// What is believed, by interface index.
    pub(super) const fn believed(&self) -> &BTreeMap<u32, BTreeSet<IpAddr>> {
        &self.believed
    }

    /// The interface of this index is gone, even if one of that index is seen next time.
    pub(super) fn forget(&mut self, index: u32) {
        self.taps.remove(&index);
    }

    /// Takes in which taps there are. One that lost its carrier has lost its guest, and the next one behind it has
    /// addresses of its own.
    pub(super) fn settle(&mut self, links: &BTreeMap<u32, Link>, now: u64) {
        self.taps.retain(|index, _| links.contains_key(index));
        for link in links.values().filter(|link| link.kind == LinkKind::Tun { tap: true }) {
            let Link { carrier, carrier_losses, .. } = *link;
            let tap = self.taps.entry(link.index).or_insert_with(|| Tap { carrier_losses, ..Tap::default() });
            if !carrier || tap.carrier_losses != carrier_losses {
                tap.addresses.clear();
                tap.since = now;
            }
            (tap.carrier, tap.carrier_losses) = (carrier, carrier_losses);
        }
        self.believed = self.judge();
    }

    /// Takes in a reading; whether anything is new. `tap` gives, for the number of a tap, its index, its bridge and the
    /// networks the host has on that segment: an address of another network may be somebody's behind the guest, unless
    /// the guest itself says by ARP that it is its own.
    pub(super) fn take<'a>(
        &mut self,
        flows: impl Iterator<Item = &'a (FlowKey, FlowCounters)>,
        now: u64,
        tap: impl Fn(u32) -> Option<(u32, u32, BTreeSet<IpNet>)>,
    ) -> bool {
        let mut known: BTreeMap<u32, Option<(u32, u32, BTreeSet<IpNet>)>> = BTreeMap::new();
        // What a guest sends in a tunnel is of another network.
        let is_sent = |key: &FlowKey| key.hook == Hook::INGRESS && key.encapsulation == Encapsulation::NONE;
        for (key, read) in flows.filter(|(key, _)| is_sent(key)) {
            let Some((index, segment, networks)) =
                known.entry(key.interface).or_insert_with(|| tap(key.interface))
            else {
                continue;
            };
            let Some(tap) = self.taps.get_mut(index) else { continue };
            let tuple = Tuple::of(key);
            let address = tuple.source.address;
            let is_its_own =
                tuple.network == Network::ARP || networks.iter().any(|one| one.contains(&address));
            if tap.carrier && read.last_seen >= tap.since && is_its_own && is_host(address) {
                tap.segment = *segment;
                tap.take(address, read.last_seen);
            }
        }
        for tap in self.taps.values_mut() {
            tap.addresses.retain(|_, at| now.saturating_sub(*at) < KEPT);
        }
        let believed = self.judge();
        let news = believed != self.believed;
        self.believed = believed;
        news
    }

    /// Of two on one segment that sent from an address, the one that did so later has it.
    fn judge(&self) -> BTreeMap<u32, BTreeSet<IpAddr>> {
        let mut last: BTreeMap<(u32, IpAddr), (u64, u32)> = BTreeMap::new();
        for (index, tap) in &self.taps {
            for (address, at) in &tap.addresses {
                let holder = last.entry((tap.segment, *address)).or_insert((*at, *index));
                if *at > holder.0 {
                    *holder = (*at, *index);
                }
            }
        }
        let mut believed: BTreeMap<u32, BTreeSet<IpAddr>> = BTreeMap::new();
        for ((_, address), (_, index)) in last {
            believed.entry(index).or_default().insert(address);
        }
        believed
    }
}

impl Tap {
    /// Where there are too many, the one that was not sent from for the longest time makes room.
    fn take(&mut self, address: IpAddr, at: u64) {
        if let Some(before) = self.addresses.get_mut(&address) {
            *before = at.max(*before);
            return;
        }
        if self.addresses.len() >= MOST {
            let oldest =
                self.addresses.iter().min_by_key(|(_, at)| **at).map(|(address, at)| (*address, *at));
            match oldest {
                Some((address, before)) if before < at => self.addresses.remove(&address),
                _ => return,
            };
        }
        self.addresses.insert(address, at);
    }
}

/// Whether an interface of this role leads to a guest.
pub(super) const fn is_tap(role: Role) -> bool {
    role.0 == Role::TAP.0
}

/// Not an address that everybody has, or nobody.
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_unspecified()
                && !address.is_multicast()
                && !address.is_broadcast()
                && !address.is_link_local()
        }
        IpAddr::V6(address) => {
            !address.is_unspecified() && !address.is_multicast() && !address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use netobs_common::parse::mapped;

    use super::*;
    use crate::host::facts::test_links::veth;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1_000 * SECOND;

    fn sent(network: Network, from: [u8; 4], interface: u32, hook: Hook) -> (FlowKey, FlowCounters) {
        let key = FlowKey { source: mapped(from), interface, hook, network, ..FlowKey::default() };
        (key, FlowCounters { last_seen: NOW, ..FlowCounters::default() })
    }

    /// By the tap of this number, at this moment.
    fn arp(from: [u8; 4], interface: u32, at: u64) -> (FlowKey, FlowCounters) {
        let (key, read) = sent(Network::ARP, from, interface, Hook::INGRESS);
        (key, FlowCounters { last_seen: at, ..read })
    }

    /// Numbers 7 and 8 are taps of index 12 and 13 on a segment where the host has 192.0.2.0/24, 9 is one elsewhere.
    fn tap(number: u32) -> Option<(u32, u32, BTreeSet<IpNet>)> {
        let networks = BTreeSet::from(["192.0.2.0/24".parse().unwrap()]);
        (7..10).contains(&number).then(|| (number + 5, if number == 9 { 4 } else { 3 }, networks))
    }

    fn link(index: u32) -> Link {
        Link { kind: LinkKind::Tun { tap: true }, ..veth(index, "tap") }
    }

    fn links() -> BTreeMap<u32, Link> {
        (12..15).map(|index| (index, link(index))).collect()
    }

    fn fresh() -> Seen {
        let mut seen = Seen::default();
        seen.settle(&links(), 0);
        seen
    }

    fn of(seen: &Seen, index: u32) -> Vec<String> {
        seen.believed().get(&index).into_iter().flatten().map(ToString::to_string).collect()
    }

    fn seen(flows: &[(FlowKey, FlowCounters)]) -> Vec<String> {
        let mut seen = fresh();
        seen.take(flows.iter(), NOW, tap);
        of(&seen, 12)
    }

    #[test]
    fn what_a_guest_sends_from_is_its_own_where_the_segment_or_arp_says_so() {
        let flows = [
            sent(Network::IPV4, [192, 0, 2, 7], 7, Hook::INGRESS),
            sent(Network::IPV4, [203, 0, 113, 9], 7, Hook::INGRESS),
            sent(Network::ARP, [198, 51, 100, 7], 7, Hook::INGRESS),
            sent(Network::ARP, [0, 0, 0, 0], 7, Hook::INGRESS),
        ];
        assert_eq!(seen(&flows), ["192.0.2.7", "198.51.100.7"]);
    }

    #[test]
    fn other_interfaces_and_what_is_sent_to_a_guest_say_nothing() {
        let flows = [
            sent(Network::IPV4, [192, 0, 2, 7], 8, Hook::INGRESS),
            sent(Network::IPV4, [192, 0, 2, 7], 99, Hook::INGRESS),
            sent(Network::IPV4, [192, 0, 2, 1], 7, Hook::EGRESS),
        ];
        assert!(seen(&flows).is_empty());
    }

    #[test]
    fn what_a_guest_sends_in_a_tunnel_says_nothing() {
        let (key, read) = arp([192, 0, 2, 7], 7, NOW);
        assert!(seen(&[(FlowKey { encapsulation: Encapsulation::VXLAN, ..key }, read)]).is_empty());
    }

    #[test]
    fn a_guest_that_makes_addresses_up_is_believed_for_a_few() {
        let flows: Vec<_> =
            (1..200).map(|one| sent(Network::ARP, [192, 0, 2, one], 7, Hook::INGRESS)).collect();
        assert_eq!(seen(&flows).len(), MOST);
        let mut all = fresh();
        assert!(all.take(flows.iter(), NOW, tap));
        assert!(!all.take(flows.iter(), NOW, tap), "nothing new");
    }

    #[test]
    fn the_latest_addresses_are_kept() {
        let mut seen = fresh();
        let flows: Vec<_> = (1..40).map(|one| arp([192, 0, 2, one], 7, NOW + u64::from(one))).collect();
        seen.take(flows.iter(), NOW + 40, tap);
        let last: Vec<_> = (24..40).map(|one| format!("192.0.2.{one}")).collect();
        assert_eq!(of(&seen, 12), last);
    }

    #[test]
    fn what_the_last_guest_sent_is_not_the_next_ones_although_the_kernel_still_lists_it() {
        let mut seen = fresh();
        let old = [arp([192, 0, 2, 7], 7, NOW)];
        seen.take(old.iter(), NOW, tap);
        assert_eq!(of(&seen, 12), ["192.0.2.7"]);
        // Its tap loses the carrier and has it again before anybody is told.
        let mut links = links();
        links.get_mut(&12).unwrap().carrier_losses = 1;
        seen.settle(&links, NOW + SECOND);
        assert!(of(&seen, 12).is_empty());
        assert!(!seen.take(old.iter(), NOW + 2 * SECOND, tap));
        let next = [arp([192, 0, 2, 8], 7, NOW + 2 * SECOND)];
        assert!(seen.take(old.iter().chain(&next), NOW + 2 * SECOND, tap));
        assert_eq!(of(&seen, 12), ["192.0.2.8"]);
    }

    #[test]
    fn without_a_carrier_nobody_sends() {
        let mut seen = fresh();
        let mut links = links();
        links.get_mut(&12).unwrap().carrier = false;
        seen.settle(&links, NOW);
        assert!(!seen.take([arp([192, 0, 2, 7], 7, NOW + 1)].iter(), NOW + 1, tap));
    }

    #[test]
    fn an_address_that_moves_is_whose_it_was_seen_to_be_last() {
        let mut seen = fresh();
        let flows = [arp([192, 0, 2, 50], 8, NOW), arp([192, 0, 2, 50], 9, NOW)];
        seen.take(flows.iter(), NOW, tap);
        assert_eq!((of(&seen, 12).len(), of(&seen, 13).len()), (0, 1));
        let moved = [arp([192, 0, 2, 50], 7, NOW + SECOND)];
        assert!(seen.take(flows.iter().chain(&moved), NOW + SECOND, tap));
        assert_eq!((of(&seen, 12).len(), of(&seen, 13).len()), (1, 0));
        assert_eq!(of(&seen, 14), ["192.0.2.50"], "on another bridge it is another address");
    }

    #[test]
    fn an_address_that_is_not_used_any_more_is_forgotten() {
        let mut seen = fresh();
        let flows = [arp([192, 0, 2, 7], 7, NOW)];
        seen.take(flows.iter(), NOW, tap);
        assert!(!seen.take(flows.iter(), NOW + KEPT - 1, tap));
        assert!(seen.take(flows.iter(), NOW + KEPT, tap));
        assert!(of(&seen, 12).is_empty());
    }
}
