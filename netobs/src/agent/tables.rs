//! What is known of addresses → what the kernel side looks up. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netobs_common::{
    endpoint::Party,
    key::{Address, AddressKey, PrefixKey},
    maps::{ADDRESSES_CAPACITY, PREFIXES_CAPACITY},
    parse::mapped,
};

use crate::{
    host::facts::Facts,
    identity::registry::{AddressOwner, Registry},
};

/// Who is elsewhere leaves room for who is here: the collector knows the rest, and names their flows a moment later.
const ADDRESSES_ELSEWHERE: usize = ADDRESSES_CAPACITY as usize / 2;
const PREFIXES_ELSEWHERE: usize = PREFIXES_CAPACITY as usize / 2;

/// Every address with its holder. `number` gives the interface number of a bridge's index.
pub(super) fn addresses(
    registry: &Registry,
    number: impl Fn(u32) -> Option<u32>,
) -> BTreeMap<AddressKey, Party> {
    let mut elsewhere = 0;
    let mut fits = |owner: &AddressOwner| {
        elsewhere += usize::from(owner.endpoint.is_elsewhere());
        !owner.endpoint.is_elsewhere() || elsewhere <= ADDRESSES_ELSEWHERE
    };
    let entries =
        registry.addresses().filter(|(.., owner)| fits(owner)).filter_map(|(segment, address, owner)| {
            let segment = if segment == 0 { 0 } else { number(segment)? };
            let key = AddressKey { address: stored(address), segment };
            Some((key, Party::new(owner.endpoint, owner.kind, owner.own_interface)))
        });
    entries.collect()
}

/// Networks on this host's own side, where an address that nobody is known to have is not outside, and networks of
/// others.
pub(super) fn prefixes(
    facts: &Facts,
    uplinks: &BTreeSet<u32>,
    registry: &Registry,
) -> BTreeMap<(u8, PrefixKey), Party> {
    let inner = facts.links.keys().filter(|index| !uplinks.contains(index));
    let networks = inner.flat_map(|index| facts.connected_prefixes(*index));
    let others = registry
        .networks_elsewhere()
        .take(PREFIXES_ELSEWHERE)
        .map(|(network, id, kind)| (network, Party::new(id, kind, false)));
    // Of two equal ones, our own comes later and counts.
    let all = others.chain(networks.map(|network| (network, Party::UNKNOWN)));
    let entries = all.map(|(network, party)| {
        let base = if network.addr().is_ipv4() { 96 } else { 0 };
        ((base + network.prefix_len(), PrefixKey { address: stored(network.addr()) }), party)
    });
    entries.collect()
}

fn stored(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => mapped(address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use netobs_common::endpoint::Kind;

    use super::*;
    use crate::identity::{claim::Provenance, elsewhere::Place};

    #[test]
    fn a_large_cluster_leaves_room_for_who_is_here() {
        let mut registry = Registry::default();
        let place = |number: u32| Place {
            id: format!("pod/shop/p{number}").into(),
            kind: Kind::POD,
            name: "p".into(),
            namespace: None,
            workload: None,
            addresses: vec![IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number))],
            networks: vec![ipnet::Ipv4Net::new_assert((0x0b00_0000 + (number << 8)).into(), 24).into()],
            provenance: Provenance::KubernetesApi,
        };
        registry.observe_elsewhere((0..20_000).map(place).collect(), Instant::now());
        assert_eq!(addresses(&registry, |_| None).len(), ADDRESSES_ELSEWHERE);
        let prefixes = prefixes(&Facts::default(), &BTreeSet::new(), &registry);
        assert_eq!(prefixes.len(), PREFIXES_ELSEWHERE);
        let last = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + 19_999));
        assert!(registry.lookup(0, last).is_some(), "the collector knows them all");
    }
}
