//! Facts of one moment → endpoints with numbers that last. Pure: time is an argument, nothing is read.
//!
//! One endpoint for each network stack. A stack keeps its number while it lives, whatever better name it
//! gets; a number is never given twice. An interface has an owner from the first moment it is seen: an
//! endpoint of its own until the stack behind it is known, which then takes its number over.

mod addresses;
mod attachments;
mod describe;
mod numbers;
mod pairing;
mod stack;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use netobs_common::endpoint::{EndpointId, Kind};

pub use self::addresses::{AddressOwner, ROUTED};
use self::{
    addresses::Addresses,
    attachments::Attachment,
    numbers::{Numbers, Slot},
    pairing::Pairs,
    stack::{Draft, Generations},
};
use super::{
    claim::{Identity, Provenance},
    endpoint::{Endpoint, Interface, Mode},
    observed::Observed,
    text,
};

/// Everybody on this host.
#[derive(Debug)]
pub struct Registry {
    numbers: Numbers,
    generations: Generations,
    pairs: Pairs,
    owners: HashMap<u32, EndpointId>,
    containers: HashMap<Arc<str>, EndpointId>,
    addresses: Addresses,
    host: Arc<Endpoint>,
    external: Arc<Endpoint>,
    group: Arc<Endpoint>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            numbers: Numbers::default(),
            generations: Generations::default(),
            pairs: Pairs::default(),
            owners: HashMap::new(),
            containers: HashMap::new(),
            addresses: Addresses::default(),
            host: Arc::new(Endpoint::bare(EndpointId::HOST, Kind::HOST, "host")),
            external: Arc::new(Endpoint::bare(EndpointId::EXTERNAL, Kind::EXTERNAL, "external")),
            group: Arc::new(Endpoint::bare(EndpointId::GROUP, Kind::UNKNOWN, "group")),
        }
    }
}

impl Registry {
    /// Judges everything anew. `now` must not go back.
    pub fn observe(&mut self, observed: &Observed<'_>, now: Instant) {
        self.generations.observe(&observed.facts.links);
        let drafts = pairing::draft(observed, &self.generations, &self.pairs);
        let given = self.numbers.assign(&drafts);
        self.host = Arc::new(host(observed));
        self.addresses = Addresses::of_host(observed.facts);
        self.owners.clear();
        self.pairs.clear();
        self.containers.clear();
        let mut names = BTreeSet::from([Arc::clone(&self.host.id)]);
        let mut by_number: Vec<_> = given.iter().map(|(key, number)| (*number, key)).collect();
        by_number.sort_unstable();
        for (number, key) in by_number {
            let Some(draft) = drafts.get(key) else { continue };
            self.publish(number, draft, observed, &mut names);
        }
        self.addresses.route(observed.facts);
        self.numbers.expire(&given.into_values().collect(), now);
    }

    fn publish(
        &mut self,
        number: EndpointId,
        draft: &Draft<'_>,
        observed: &Observed<'_>,
        names: &mut BTreeSet<Arc<str>>,
    ) {
        let mut identity = describe::identity(draft, observed);
        let mut attachments = attachments::of(draft, observed);
        let before = self.numbers.slots.get(&number);
        // While a container is taken down, or its runtime restarts, who it was is not forgotten.
        let kept = before.filter(|slot| identity.is_weaker_than(&slot.identity));
        if let Some(slot) = kept {
            identity = keep(&identity, &slot.identity);
            keep_addresses(&mut attachments, &slot.endpoint);
        }
        let also = attachments.iter().flat_map(Attachment::sources);
        let interfaces = attachments.iter().map(|one| one.interface.clone()).collect();
        let mut endpoint =
            describe::endpoint(number, draft, &identity, observed.own_namespace, interfaces, also);
        if let Some(slot) = kept
            && draft.containers.is_empty()
        {
            endpoint.containers.clone_from(&slot.endpoint.containers);
        }
        if !names.insert(Arc::clone(&endpoint.id)) {
            endpoint.id = format!("{}~{}", endpoint.id, number.0).into();
            names.insert(Arc::clone(&endpoint.id));
        }
        self.index(&endpoint, &attachments, draft);
        let slot = Slot {
            key: draft.key.clone(),
            anchors: draft.anchors.clone(),
            identity,
            endpoint: Arc::new(endpoint),
            gone: None,
        };
        self.numbers.slots.insert(number, slot);
    }

    fn index(&mut self, endpoint: &Endpoint, attachments: &[Attachment], draft: &Draft<'_>) {
        for link in &draft.links {
            self.pairs.insert(link.index, (self.generations.of(link.index), draft.key.clone()));
        }
        for container in &endpoint.containers {
            self.containers.insert(Arc::clone(&container.id), endpoint.number);
        }
        for Attachment { interface, segment, known_by, .. } in attachments {
            if interface.own {
                self.owners.insert(interface.index, endpoint.number);
            }
            let Some(segment) = *segment else { continue };
            for (address, known_by) in interface.addresses.iter().zip(known_by) {
                let owner = AddressOwner {
                    endpoint: endpoint.number,
                    kind: endpoint.kind,
                    own_interface: interface.own,
                    known_by: *known_by,
                };
                self.addresses.add(segment, *address, owner);
            }
        }
    }

    /// An interface went away: its index may be another's by the next [`Registry::observe`].
    pub fn forget_interface(&mut self, index: u32) {
        self.generations.forget(index);
        self.pairs.remove(&index);
        self.owners.remove(&index);
    }

    /// The endpoint all of whose packets pass the interface (a veth, a tap).
    #[must_use]
    pub fn owner_of(&self, interface: u32) -> Option<EndpointId> {
        self.owners.get(&interface).copied()
    }

    /// The number an endpoint goes by now; what is not known stays as it is.
    #[must_use]
    pub fn resolve(&self, number: EndpointId) -> EndpointId {
        self.numbers.resolve(number)
    }

    /// An endpoint by number, also for 60 s after it is gone, and by a number it had before. The fixed
    /// numbers (host, external, group) are endpoints too; [`EndpointId::UNKNOWN`] is none.
    #[must_use]
    pub fn by_number(&self, number: EndpointId) -> Option<&Arc<Endpoint>> {
        match number {
            EndpointId::HOST => Some(&self.host),
            EndpointId::EXTERNAL => Some(&self.external),
            EndpointId::GROUP => Some(&self.group),
            _ => self.numbers.slots.get(&self.resolve(number)).map(|slot| &slot.endpoint),
        }
    }

    /// Whether the endpoint of this number was there at the last look.
    #[must_use]
    pub fn is_alive(&self, number: EndpointId) -> bool {
        number == EndpointId::HOST
            || self.numbers.slots.get(&self.resolve(number)).is_some_and(|slot| slot.gone.is_none())
    }

    /// The endpoint of a container, by its full id (from a cgroup): also of one that uses the host's stack.
    #[must_use]
    pub fn of_container(&self, id: &str) -> Option<EndpointId> {
        self.containers.get(id).copied()
    }

    /// Who has an address in a segment (index of a bridge, or [`ROUTED`]): on a bridge, what is not on it
    /// is looked for in the routed part.
    #[must_use]
    pub fn lookup(&self, segment: u32, address: IpAddr) -> Option<EndpointId> {
        let address = address.to_canonical();
        let here = self.addresses.by_segment.get(&(segment, address));
        here.or_else(|| self.addresses.by_segment.get(&(ROUTED, address))).map(|owner| owner.endpoint)
    }

    /// Every address known: segment, address, and who has it, the host's own included.
    pub fn addresses(&self) -> impl Iterator<Item = (u32, IpAddr, AddressOwner)> {
        self.addresses.by_segment.iter().map(|((segment, address), owner)| (*segment, *address, *owner))
    }

    /// How many addresses two endpoints of one segment had a claim on at the last look.
    #[must_use]
    pub fn address_conflicts(&self) -> u64 {
        self.addresses.conflicts
    }

    /// Everybody who is there, the host first, then by id.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let living = self.numbers.slots.values().filter(|slot| slot.gone.is_none());
        let by_id: BTreeMap<_, _> = living.map(|slot| (&slot.endpoint.id, &slot.endpoint)).collect();
        std::iter::once(&self.host).chain(by_id.into_values()).cloned().collect()
    }
}

/// What was believed, with the sources of this moment beside it.
fn keep(now: &Identity, before: &Identity) -> Identity {
    let mut kept = before.clone();
    kept.provenance.extend(&now.provenance);
    kept.provenance.sort_unstable();
    kept.provenance.dedup();
    kept
}

/// Addresses of before, for interfaces that have none now; remembered is the weakest claim, so that whoever
/// is given the address next has it at once.
fn keep_addresses(attachments: &mut [Attachment], before: &Endpoint) {
    for one in attachments {
        let old = before.interfaces.iter().find(|old| old.own && old.index == one.interface.index);
        if let Some(old) = old.filter(|_| one.interface.own && one.interface.addresses.is_empty()) {
            one.interface.addresses.clone_from(&old.addresses);
            one.interface.mac = one.interface.mac.or(old.mac);
            one.known_by = vec![None; old.addresses.len()];
        }
    }
}

/// The agent's own stack, with every interface that has an address.
fn host(observed: &Observed<'_>) -> Endpoint {
    let facts = observed.facts;
    let mut by_link: BTreeMap<u32, Vec<IpAddr>> = BTreeMap::new();
    for entry in facts.addresses.values() {
        by_link.entry(entry.link).or_default().push(entry.address);
    }
    let interface = |(index, addresses): (u32, Vec<IpAddr>)| {
        let link = facts.links.get(&index)?;
        let (name, mac) = (text::clean(&link.name).into(), link.mac);
        Some(Interface { name, index, mac, addresses, mode: Some(Mode::Host), own: false })
    };
    Endpoint {
        name: text::clean(observed.node).into(),
        mode: Some(Mode::Host),
        netns: Some(observed.own_namespace),
        interfaces: by_link.into_iter().filter_map(interface).collect(),
        provenance: vec![Provenance::Netns],
        ..Endpoint::bare(EndpointId::HOST, Kind::HOST, "host")
    }
}

#[cfg(test)]
mod tests;
