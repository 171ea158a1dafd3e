//! Addresses that guests were seen to send from: where the host never talked to them, nobody else knows. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use netobs_common::{counters::FlowCounters, hook::Hook, interface::Role, key::FlowKey, wire::Network};

use crate::flow::tuple::Tuple;

/// Addresses kept of one interface: a guest that is a router sends from everybody's.
const MOST: usize = 16;

/// What was seen, by interface index.
pub(super) type Seen = BTreeMap<u32, BTreeSet<IpAddr>>;

/// Takes in a reading; whether anything is new. `tap` gives, for the number of a tap, its index and the networks the
/// host has on that segment: an address of another network may be somebody's behind the guest, unless the guest
/// itself says by ARP that it is its own.
pub(super) fn take<'a>(
    seen: &mut Seen,
    flows: impl Iterator<Item = &'a (FlowKey, FlowCounters)>,
    tap: impl Fn(u32) -> Option<(u32, BTreeSet<IpNet>)>,
) -> bool {
    let mut taps: BTreeMap<u32, Option<(u32, BTreeSet<IpNet>)>> = BTreeMap::new();
    let mut news = false;
    for (key, _) in flows.filter(|(key, _)| key.hook == Hook::INGRESS) {
        let Some((index, networks)) = taps.entry(key.interface).or_insert_with(|| tap(key.interface)) else {
            continue;
        };
        let tuple = Tuple::of(key);
        let address = tuple.source.address;
        let is_its_own = tuple.network == Network::ARP || networks.iter().any(|one| one.contains(&address));
        if !is_its_own || !is_host(address) {
            continue;
        }
        let of_it = seen.entry(*index).or_default();
        news |= of_it.len() < MOST && of_it.insert(address);
    }
    news
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

    fn sent(network: Network, from: [u8; 4], interface: u32, hook: Hook) -> (FlowKey, FlowCounters) {
        let key = FlowKey { source: mapped(from), interface, hook, network, ..FlowKey::default() };
        (key, FlowCounters::default())
    }

    /// Number 7 is a tap of index 12 on a segment where the host has 192.0.2.0/24.
    fn tap(number: u32) -> Option<(u32, BTreeSet<IpNet>)> {
        (number == 7).then(|| (12, BTreeSet::from(["192.0.2.0/24".parse().unwrap()])))
    }

    fn seen(flows: &[(FlowKey, FlowCounters)]) -> Vec<String> {
        let mut seen = Seen::new();
        take(&mut seen, flows.iter(), tap);
        seen.get(&12).into_iter().flatten().map(ToString::to_string).collect()
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
            sent(Network::IPV4, [192, 0, 2, 1], 7, Hook::EGRESS),
        ];
        assert!(seen(&flows).is_empty());
    }

    #[test]
    fn a_guest_that_makes_addresses_up_is_believed_for_a_few() {
        let flows: Vec<_> =
            (1..200).map(|one| sent(Network::ARP, [192, 0, 2, one], 7, Hook::INGRESS)).collect();
        assert_eq!(seen(&flows).len(), MOST);
        let mut all = Seen::new();
        assert!(take(&mut all, flows.iter(), tap));
        assert!(!take(&mut all, flows.iter(), tap), "nothing new");
    }
}
