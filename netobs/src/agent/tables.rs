//! What is known of addresses → what the kernel side looks up. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use netobs_common::{
    endpoint::Party,
    key::{Address, AddressKey, PrefixKey},
    parse::mapped,
};

use crate::{host::facts::Facts, identity::registry::Registry};

/// Every address with its holder. `number` gives the interface number of a bridge's index.
pub(super) fn addresses(
    registry: &Registry,
    number: impl Fn(u32) -> Option<u32>,
) -> BTreeMap<AddressKey, Party> {
    let entries = registry.addresses().filter_map(|(segment, address, owner)| {
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
    let others =
        registry.networks_elsewhere().map(|(network, id, kind)| (network, Party::new(id, kind, false)));
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
