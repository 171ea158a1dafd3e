//! Facts of one moment → endpoints with numbers that last. Pure: time is an argument, nothing is read.
//!
//! One endpoint for each network stack. A stack keeps its number while it lives, whatever better name it
//! gets; a number is never given twice. An interface has an owner from the first moment it is seen: an
//! endpoint of its own until the stack behind it is known, which then takes its number over.

mod addresses;
mod attachments;
mod before;
mod below;
mod connected;
mod describe;
mod found;
mod guest_mode;
mod numbers;
mod pairing;
mod stack;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use ipnet::IpNet;
use netobs_common::endpoint::{EndpointId, Kind};

pub use self::addresses::{AddressOwner, ROUTED};
use self::{
    addresses::Addresses, attachments::Attachment, before::Before, connected::Connected, found::Found,
    numbers::Numbers, stack::Generations,
};
use super::{
    claim::Provenance,
    elsewhere::{Elsewhere, Place},
    endpoint::{Endpoint, Interface, Mode},
    observed::Observed,
    text,
};
use crate::host::facts::LinkKind;

/// Everybody on this host.
#[derive(Debug)]
pub struct Registry {
    numbers: Numbers,
    generations: Generations,
    before: Before,
    owners: HashMap<u32, EndpointId>,
    containers: HashMap<Arc<str>, EndpointId>,
    addresses: Addresses,
    elsewhere: Elsewhere,
    connected: Connected,
    host: Arc<Endpoint>,
    external: Arc<Endpoint>,
    group: Arc<Endpoint>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            numbers: Numbers::default(),
            generations: Generations::default(),
            before: Before::default(),
            owners: HashMap::new(),
            containers: HashMap::new(),
            addresses: Addresses::default(),
            elsewhere: Elsewhere::default(),
            connected: Connected::default(),
            host: Arc::new(Endpoint::bare(EndpointId::HOST, Kind::HOST, "host")),
            external: Arc::new(Endpoint::bare(EndpointId::EXTERNAL, Kind::EXTERNAL, "external")),
            group: Arc::new(Endpoint::bare(EndpointId::GROUP, Kind::UNKNOWN, "group")),
        }
    }
}

impl Registry {
    /// Judges everything anew. `now` must not go back.
    pub fn observe(&mut self, observed: &Observed<'_>, now: Instant) {
        self.generations.observe(&observed.facts.links, now);
        let drafts = pairing::draft(observed, &self.generations, &self.before, now);
        let given = self.numbers.assign(&drafts);
        let mut found: Vec<Found<'_, '_>> = given
            .iter()
            .filter_map(|(key, number)| {
                let before = self.numbers.slots.get(number);
                Some(Found::describe(*number, drafts.get(key)?, observed, before))
            })
            .collect();
        self.host = Arc::new(host(observed));
        found::name_uniquely(&mut found, &self.host.id);
        self.addresses = Addresses::of_host(observed.facts);
        self.owners.clear();
        self.containers.clear();
        self.before.begin(observed);
        for one in &found {
            self.index(one);
        }
        self.before.end(observed);
        self.addresses.route(observed.facts);
        self.connected = Connected::of(observed);
        self.numbers.slots.extend(found.into_iter().map(|one| (one.endpoint.number, one.into_slot())));
        self.numbers.expire(&given.into_values().collect(), now);
    }

    fn index(&mut self, found: &Found<'_, '_>) {
        let Found { draft, endpoint, attachments, .. } = found;
        self.before.remember(draft, &self.generations);
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

    /// Everybody known who is not on this host, anew. `now` must not go back.
    pub fn observe_elsewhere(&mut self, places: Vec<Place>, now: Instant) {
        self.elsewhere.observe(places, now);
    }

    /// Networks of others with their owners: what is unknown there is theirs.
    pub fn networks_elsewhere(&self) -> impl Iterator<Item = (IpNet, EndpointId, Kind)> {
        self.elsewhere.networks()
    }

    /// An interface went away: its index may be another's by the next [`Registry::observe`].
    pub fn forget_interface(&mut self, index: u32) {
        self.generations.forget(index);
        self.before.forget_link(index);
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
            _ if number.is_elsewhere() => self.elsewhere.endpoint(number),
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
        let here = self.claim(segment, address).or_else(|| self.claim(ROUTED, address));
        let inner = || self.connected.inner(address);
        here.map(|owner| owner.endpoint).or_else(|| self.elsewhere.lookup(address, inner()))
    }

    /// Whether an address lies in a network that the host is connected to, and not by its uplink.
    #[must_use]
    pub fn is_inner(&self, address: IpAddr) -> bool {
        self.connected.inner(address.to_canonical()).is_some()
    }

    /// Whether an address lies in a network that the host is on with an interface of this index.
    #[must_use]
    pub fn is_on(&self, segment: u32, address: IpAddr) -> bool {
        self.connected.around(segment, address.to_canonical()).is_some()
    }

    /// Who is believed to have an address, by what is said in one segment.
    fn claim(&self, segment: u32, address: IpAddr) -> Option<&AddressOwner> {
        let owner = self.addresses.by_segment.get(&(segment, address))?;
        self.is_believed(segment, address, owner).then_some(owner)
    }

    /// What is nobody's word counts only where nobody else claims the address: neither somebody elsewhere, nor, where
    /// the host routes from a segment that the address does not belong to, somebody in the routed part.
    fn is_believed(&self, segment: u32, address: IpAddr, owner: &AddressOwner) -> bool {
        if owner.known_by.is_some() {
            return true;
        }
        let around = self.connected.around(segment, address);
        let routed = self.addresses.by_segment.get(&(ROUTED, address));
        let is_anothers =
            routed.is_some_and(|other| other.known_by.is_some() && other.endpoint != owner.endpoint);
        let is_routed_to = around.is_none() && self.connected.is_on(segment);
        !(is_routed_to && is_anothers) && self.elsewhere.lookup(address, around).is_none()
    }

    /// Every address known: segment, address, and who has it, the host's own and others' included. An address that
    /// somebody on this host has is nobody's elsewhere, whatever is said: what is seen here is the later news. But what
    /// was only seen, or is remembered, is not said by anybody.
    pub fn addresses(&self) -> impl Iterator<Item = (u32, IpAddr, AddressOwner)> {
        let here = self.addresses.by_segment.iter();
        let here = here.filter(|((segment, address), owner)| self.is_believed(*segment, *address, owner));
        let local = here.map(|((segment, address), owner)| (*segment, *address, *owner));
        let away = self.elsewhere.addresses().filter(|(address, _)| self.claim(ROUTED, *address).is_none());
        local.chain(away.map(|(address, owner)| (ROUTED, address, owner)))
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

/// The agent's own stack, with every interface that has an address. An end of somebody else's pair, or a guest's
/// card, is none of its own for the link-local address that the kernel gives to each.
fn host(observed: &Observed<'_>) -> Endpoint {
    let facts = observed.facts;
    let mut by_link: BTreeMap<u32, Vec<IpAddr>> = BTreeMap::new();
    for entry in facts.addresses.values() {
        by_link.entry(entry.link).or_default().push(entry.address);
    }
    let interface = |(index, addresses): (u32, Vec<IpAddr>)| {
        let link = facts.links.get(&index)?;
        let leads_to_others = matches!(link.kind, LinkKind::Veth | LinkKind::Tun { tap: true });
        if leads_to_others && !observed.uplinks.contains(&index) && addresses.iter().all(is_link_local) {
            return None;
        }
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

const fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests;
