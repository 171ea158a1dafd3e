//! A stack → where the host sees it: interfaces with their addresses, and how each address is known. Pure.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    addresses::is_neighbour,
    below::{self, Below},
    describe, guest_mode,
    pairing::learned_macs,
    stack::{Draft, is_device},
};
use crate::{
    host::facts::{Address, AddressScope, Facts, Link, LinkKind, NeighbourState},
    identity::{
        claim::Provenance,
        endpoint::{Interface, Mode},
        observed::Observed,
        text,
    },
    runtime::{facts::RuntimeNetwork, facts::guest::Card, facts::pod::RuntimePod},
};

/// Most addresses taken from the neighbour table for one interface: behind a guest's bridge there may be
/// a whole network.
const NEIGHBOURS_LIMIT: usize = 64;

/// An interface, the segment it lies in, and for each of its addresses who says so.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) interface: Interface,
    /// Index of the bridge that switches it, 0 for the routed part of the host; `None` where that is not
    /// this host's.
    pub(super) segment: Option<u32>,
    /// `None` for an address that is only remembered.
    pub(super) known_by: Vec<Option<Provenance>>,
    /// Whether the hardware address was learned from a bridge, for want of anything better.
    pub(super) learned_mac: bool,
}

impl Attachment {
    /// Who says where it is.
    pub(super) fn sources(&self) -> impl Iterator<Item = Provenance> {
        self.known_by.iter().flatten().copied().chain(self.learned_mac.then_some(Provenance::Fdb))
    }
}

/// Everything a stack is attached to: its own interfaces, then networks without one.
pub(super) fn of(draft: &Draft<'_>, observed: &Observed<'_>) -> Vec<Attachment> {
    let facts = observed.facts;
    let mut networks: Vec<&RuntimeNetwork> = draft.containers.iter().flat_map(|one| &one.networks).collect();
    networks.retain(|one| one.address.is_some() || one.address6.is_some() || one.mac.is_some());
    let mut found = Vec::new();
    for link in &draft.links {
        let network = take_network(&mut networks, link, draft, facts);
        found.push(own(link, network, draft, observed));
    }
    found.extend(networks.into_iter().map(|network| shared(network, facts)));
    for one in draft.namespace.map(|namespace| below::of(namespace, facts)).unwrap_or_default() {
        merge(&mut found, &one, facts);
    }
    let is_unattached = draft.links.is_empty() && found.iter().all(|one| one.interface.index == 0);
    found.extend(draft.pod.filter(|pod| is_unattached && !pod.addresses.is_empty()).map(unattached));
    if draft.lost.is_some() {
        // Whatever was said of it is of a time when it lived: whoever is given its addresses next has them at once.
        found.iter_mut().for_each(|one| one.known_by.fill(None));
    }
    found
}

/// The network an interface belongs to: switched by the same bridge, and where that leaves several, with
/// the same hardware address.
fn take_network<'a>(
    networks: &mut Vec<&'a RuntimeNetwork>,
    link: &Link,
    draft: &Draft<'_>,
    facts: &Facts,
) -> Option<&'a RuntimeNetwork> {
    let bridge = bridge_name(link, facts);
    let macs: BTreeSet<[u8; 6]> = inner(link, draft)
        .and_then(|one| one.mac)
        .into_iter()
        .chain(learned_macs(facts, link.index))
        .collect();
    let same_bridge = |one: &RuntimeNetwork| bridge.is_some() && one.bridge_interface.as_deref() == bridge;
    let same_mac = |one: &RuntimeNetwork| one.mac.is_some_and(|mac| macs.contains(&mac));
    let at = networks
        .iter()
        .position(|one| same_bridge(one) && same_mac(one))
        .or_else(|| networks.iter().position(|one| same_bridge(one)))
        .or_else(|| networks.iter().position(|one| one.bridge_interface.is_none() && same_mac(one)))?;
    Some(networks.remove(at))
}

fn bridge_name<'a>(link: &Link, facts: &'a Facts) -> Option<&'a str> {
    facts.bridge_of(link.index).and_then(|index| facts.links.get(&index)).map(|one| one.name.as_str())
}

/// The stack's end of a pair, if its links could be read: each end names the other.
fn inner<'a>(link: &Link, draft: &Draft<'a>) -> Option<&'a Link> {
    let mut links = draft.namespace?.links.iter();
    links.find(|one| {
        one.kind == LinkKind::Veth && one.lower == Some(link.index) && link.lower == Some(one.index)
    })
}

/// The guest's card that ends in an interface.
fn card<'a>(link: &Link, draft: &Draft<'a>) -> Option<&'a Card> {
    draft.guest?.cards.iter().find(|card| is_device(&card.device, link))
}

fn own(
    link: &Link,
    network: Option<&RuntimeNetwork>,
    draft: &Draft<'_>,
    observed: &Observed<'_>,
) -> Attachment {
    let facts = observed.facts;
    let inner = inner(link, draft);
    let mut addresses = Known::default();
    if let Some(network) = network {
        addresses.extend(network.address.into_iter().chain(network.address6), Provenance::DockerApi);
    }
    let of_it = inner.zip(draft.namespace).map(|(inner, namespace)| {
        let of_it = namespace.addresses.iter().filter(|one| one.link == inner.index && is_reachable(one));
        of_it.map(|one| one.address).collect::<Vec<_>>()
    });
    if let Some(pod) = draft.pod {
        // Its addresses are those of its first interface, unless inside it is seen which has them.
        let is_first = draft.links.first().is_some_and(|first| first.index == link.index);
        let here = |address: &&IpAddr| of_it.as_ref().map_or(is_first, |of_it| of_it.contains(address));
        addresses.extend(pod.addresses.iter().filter(here).copied(), Provenance::Cri);
    }
    addresses.extend(of_it.into_iter().flatten(), Provenance::Netns);
    let card = card(link, draft);
    let mac = network.and_then(|one| one.mac).or_else(|| inner.and_then(|one| one.mac));
    let mut mac = mac.or_else(|| card.and_then(|one| one.mac));
    let learned: BTreeSet<_> = learned_macs(facts, link.index).collect();
    let is_macvtap = link.kind == LinkKind::Macvtap;
    if is_macvtap {
        mac = mac.or(link.mac); // A guest uses the hardware address of its macvtap.
    }
    let learned_mac = mac.is_none() && learned.len() == 1;
    if learned_mac {
        mac = learned.first().copied();
    }
    if let Some(card) = card {
        let bridge = bridge_name(link, facts);
        let leased = card.leased.iter().filter(|one| Some(&*one.bridge) == bridge);
        addresses.extend(leased.map(|one| one.address), Provenance::Libvirt);
    }
    if addresses.list.is_empty() || card.is_some() {
        addresses.extend(neighbours(link, &learned, mac, facts), Provenance::Neighbor);
    }
    // Behind a guest's own bridge there may be others: what is merely seen is the weakest word. A guest that hangs on no
    // bridge would be believed by the whole host.
    let is_switched = facts.bridge_of(link.index).is_some();
    let seen = observed.seen.get(&link.index).into_iter().flatten().copied();
    addresses.remember(seen.filter(|address| is_switched || is_neighbour(facts, link.index, *address)));
    let mode = match network.and_then(describe::network_mode) {
        Some(mode) => Some(mode),
        None if is_macvtap => Some(Mode::Macvtap),
        None => guest_mode::switched(link, observed),
    };
    Attachment {
        interface: Interface {
            name: text::clean(&link.name).into(),
            index: link.index,
            mac,
            addresses: addresses.list,
            mode,
            own: !is_macvtap,
        },
        segment: Some(if is_macvtap {
            parent_segment(link.lower, facts)
        } else {
            segment(link.index, facts)
        }),
        known_by: addresses.by,
        learned_mac,
    }
}

/// A network of the stack that no interface of the host belongs to: macvlan and ipvlan have none, and
/// where namespaces cannot be looked at the others are not found.
fn shared(network: &RuntimeNetwork, facts: &Facts) -> Attachment {
    let seen_at: Option<&Arc<str>> = network.parent.as_ref().or(network.bridge_interface.as_ref());
    let link = seen_at.and_then(|name| facts.link_named(name));
    let mut addresses = Known::default();
    addresses.extend(network.address.into_iter().chain(network.address6), Provenance::DockerApi);
    Attachment {
        interface: Interface {
            name: seen_at.cloned().unwrap_or_default(),
            index: link.map_or(0, |one| one.index),
            mac: network.mac,
            addresses: addresses.list,
            mode: describe::network_mode(network),
            own: false,
        },
        segment: link.map(|one| parent_segment(Some(one.index), facts)),
        known_by: addresses.by,
        learned_mac: false,
    }
}

/// What is seen inside of an interface on a parent: more of a network that the runtime spoke of, else one of its own.
fn merge(found: &mut Vec<Attachment>, below: &Below<'_>, facts: &Facts) {
    let same = |one: &&mut Attachment| {
        let addresses = &one.interface.addresses;
        !one.interface.own
            && (below.mac.is_some() && one.interface.mac == below.mac
                || below.addresses.iter().any(|address| addresses.contains(address)))
    };
    let mut addresses = Known::default();
    addresses.extend(below.addresses.iter().copied(), Provenance::Netns);
    match found.iter_mut().find(same) {
        Some(known) => {
            for (address, by) in addresses.list.into_iter().zip(addresses.by) {
                if !known.interface.addresses.contains(&address) {
                    known.interface.addresses.push(address);
                    known.known_by.push(by);
                }
            }
        }
        None => found.push(Attachment {
            interface: Interface {
                name: text::clean(&below.parent.name).into(),
                index: below.parent.index,
                mac: below.mac,
                addresses: addresses.list,
                mode: Some(below.mode.clone()),
                own: false,
            },
            segment: Some(parent_segment(Some(below.parent.index), facts)),
            known_by: addresses.by,
            learned_mac: false,
        }),
    }
}

/// A pod of which no interface is to be seen: its network plug-in hung it below a device of the host (macvlan, ipvlan,
/// a card of its own). Its addresses are the routed network's.
fn unattached(pod: &RuntimePod) -> Attachment {
    let mut addresses = Known::default();
    addresses.extend(pod.addresses.iter().copied(), Provenance::Cri);
    Attachment {
        interface: Interface {
            name: "".into(),
            index: 0,
            mac: None,
            addresses: addresses.list,
            mode: Some(Mode::Cni),
            own: false,
        },
        segment: Some(0),
        known_by: addresses.by,
        learned_mac: false,
    }
}

/// Addresses, each once, with the first source that named it.
#[derive(Default)]
struct Known {
    list: Vec<IpAddr>,
    by: Vec<Option<Provenance>>,
}

impl Known {
    fn extend(&mut self, addresses: impl IntoIterator<Item = IpAddr>, by: Provenance) {
        for address in addresses {
            if !self.list.contains(&address) {
                self.list.push(address);
                self.by.push(Some(by));
            }
        }
    }
}

impl Known {
    /// Without anybody's word.
    fn remember(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            if !self.list.contains(&address) {
                self.list.push(address);
                self.by.push(None);
            }
        }
    }
}

fn is_reachable(address: &Address) -> bool {
    address.scope != AddressScope::Host && !address.address.is_loopback()
}

/// What the host resolved to the hardware addresses behind an interface. On an interface of its own
/// (a routed veth) every neighbour is behind it.
fn neighbours(link: &Link, learned: &BTreeSet<[u8; 6]>, mac: Option<[u8; 6]>, facts: &Facts) -> Vec<IpAddr> {
    let bridge = facts.bridge_of(link.index);
    let on = bridge.unwrap_or(link.index);
    let lowest = (on, IpAddr::from([0; 4]));
    let entries = facts.neighbours.range(lowest..).take_while(|((index, _), _)| *index == on);
    let of_it = entries.map(|(_, entry)| entry).filter(|entry| {
        let answered = !matches!(
            entry.state,
            NeighbourState::None
                | NeighbourState::Incomplete
                | NeighbourState::Failed
                | NeighbourState::NoArp
        );
        answered
            && entry
                .mac
                .is_some_and(|found| bridge.is_none() || learned.contains(&found) || mac == Some(found))
    });
    of_it.map(|entry| entry.address).take(NEIGHBOURS_LIMIT).collect()
}

/// The segment of an interface: its bridge, or the routed part.
pub(super) fn segment(index: u32, facts: &Facts) -> u32 {
    facts.bridge_of(index).unwrap_or(0)
}

/// The segment of what hangs below a parent: the bridge it is or is a port of, or the routed part.
fn parent_segment(parent: Option<u32>, facts: &Facts) -> u32 {
    let Some(parent) = parent.and_then(|index| facts.links.get(&index)) else { return 0 };
    if parent.kind == LinkKind::Bridge { parent.index } else { segment(parent.index, facts) }
}
