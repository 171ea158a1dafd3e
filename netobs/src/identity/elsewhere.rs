//! Whoever is known and is not on this host: other nodes of the cluster, what runs on them, networks that were given
//! a name. They are sides of flows and never endpoints of this host. Pure.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use netobs_common::endpoint::{EndpointId, Kind};

use super::{claim::Provenance, endpoint::Endpoint, registry::AddressOwner};

/// How long somebody who is no longer known keeps the number: for closing flows.
const KEPT: Duration = Duration::from_secs(60);
/// Addresses kept; of a larger cluster the rest stays what its networks say.
const MOST: usize = 32_768;

/// Somebody elsewhere. Text has passed [`super::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `node/NAME`, `pod/NAMESPACE/NAME`, `external/NAME`.
    pub id: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Option<Arc<str>>,
    /// What it is an instance of.
    pub workload: Option<Arc<str>>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Networks in which whoever is not known otherwise is its own.
    pub networks: Vec<IpNet>,
    /// Who says so.
    pub provenance: Provenance,
}

/// Everybody elsewhere, with numbers of their own.
#[derive(Debug)]
pub struct Elsewhere {
    numbers: HashMap<Arc<str>, EndpointId>,
    endpoints: HashMap<EndpointId, Known>,
    by_address: BTreeMap<IpAddr, AddressOwner>,
    /// By length, longest first: a cluster has thousands of networks and a handful of lengths.
    networks: BTreeMap<Reverse<u8>, HashMap<IpNet, (EndpointId, Kind)>>,
    next: u32,
}

#[derive(Debug)]
struct Known {
    endpoint: Arc<Endpoint>,
    gone: Option<Instant>,
}

impl Default for Elsewhere {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            endpoints: HashMap::new(),
            by_address: BTreeMap::new(),
            networks: BTreeMap::new(),
            next: EndpointId::FIRST_ELSEWHERE,
        }
    }
}

impl Elsewhere {
    /// Takes everybody in anew. Of two who claim an address, the one of the stronger source has it, then the first.
    pub fn observe(&mut self, mut places: Vec<Place>, now: Instant) {
        places.sort_by_key(|place| place.provenance);
        self.by_address.clear();
        self.networks.clear();
        for known in self.endpoints.values_mut() {
            known.gone = known.gone.or(Some(now));
        }
        for place in places {
            let Some(number) = self.number(&place.id) else { continue };
            for address in &place.addresses {
                if self.by_address.len() < MOST {
                    let owner = AddressOwner {
                        endpoint: number,
                        kind: place.kind,
                        own_interface: false,
                        known_by: Some(place.provenance),
                    };
                    self.by_address.entry(address.to_canonical()).or_insert(owner);
                }
            }
            for network in &place.networks {
                let of_length = self.networks.entry(Reverse(network.prefix_len())).or_default();
                of_length.entry(network.trunc()).or_insert((number, place.kind));
            }
            let endpoint = Arc::new(endpoint(number, place));
            self.endpoints.insert(number, Known { endpoint, gone: None });
        }
        self.endpoints.retain(|_, one| one.gone.is_none_or(|at| now.saturating_duration_since(at) < KEPT));
        let endpoints = &self.endpoints;
        self.numbers.retain(|_, number| endpoints.contains_key(number));
    }

    /// `None` after two thousand million of them: then new ones stay outside without a name.
    fn number(&mut self, id: &Arc<str>) -> Option<EndpointId> {
        if let Some(number) = self.numbers.get(id) {
            return Some(*number);
        }
        let number = EndpointId(self.next);
        self.next = self.next.checked_add(1)?;
        self.numbers.insert(Arc::clone(id), number);
        Some(number)
    }

    /// Who has the address, or the smallest network around it that is smaller than `inner`, the network of this
    /// host's own that holds it.
    #[must_use]
    pub fn lookup(&self, address: IpAddr, inner: Option<u8>) -> Option<EndpointId> {
        let address = address.to_canonical();
        if let Some(owner) = self.by_address.get(&address) {
            return Some(owner.endpoint);
        }
        self.networks
            .iter()
            .take_while(|(length, _)| inner.is_none_or(|inner| length.0 > inner))
            .find_map(|(length, of_length)| of_length.get(&IpNet::new(address, length.0).ok()?.trunc()))
            .map(|(number, _)| *number)
    }

    /// Who goes by the number.
    #[must_use]
    pub fn endpoint(&self, number: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&number).map(|one| &one.endpoint)
    }

    /// All addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, AddressOwner)> {
        self.by_address.iter().map(|(address, owner)| (*address, *owner))
    }

    /// All networks, those of the kernel's longest match first.
    pub fn networks(&self) -> impl Iterator<Item = (IpNet, EndpointId, Kind)> {
        let all = self.networks.values().flatten();
        all.map(|(network, (number, kind))| (*network, *number, *kind))
    }
}

fn endpoint(number: EndpointId, place: Place) -> Endpoint {
    Endpoint {
        name: place.name,
        namespace: place.namespace,
        workload: place.workload,
        provenance: vec![place.provenance],
        ..Endpoint::bare(number, place.kind, &place.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: &str, kind: Kind, addresses: &[&str], networks: &[&str]) -> Place {
        Place {
            id: id.into(),
            kind,
            name: id.rsplit('/').next().unwrap_or(id).into(),
            namespace: None,
            workload: None,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
            provenance: Provenance::Cidr,
        }
    }

    fn who(all: &Elsewhere, address: &str) -> Option<String> {
        let number = all.lookup(address.parse().unwrap(), None)?;
        assert!(number.is_elsewhere());
        all.endpoint(number).map(|one| one.id.to_string())
    }

    #[test]
    fn an_address_is_found_before_the_smallest_network_around_it() {
        let mut all = Elsewhere::default();
        let places = vec![
            place("external/world", Kind::EXTERNAL, &[], &["203.0.0.0/8"]),
            place("external/office", Kind::EXTERNAL, &[], &["203.0.113.0/24", "2001:db8:7::/48"]),
            place("node/two", Kind::HOST, &["203.0.113.2"], &[]),
        ];
        all.observe(places, Instant::now());
        assert_eq!(who(&all, "203.0.113.2").as_deref(), Some("node/two"));
        assert_eq!(who(&all, "203.0.113.3").as_deref(), Some("external/office"));
        assert_eq!(who(&all, "2001:db8:7::1").as_deref(), Some("external/office"));
        assert_eq!(who(&all, "203.1.1.1").as_deref(), Some("external/world"));
        assert_eq!(who(&all, "198.51.100.1"), None);
    }

    #[test]
    fn a_network_of_this_hosts_own_is_not_elsewhere() {
        let mut all = Elsewhere::default();
        all.observe(vec![place("external/ten", Kind::EXTERNAL, &[], &["10.0.0.0/8"])], Instant::now());
        let address = "10.77.0.9".parse().unwrap();
        assert!(all.lookup(address, None).is_some());
        assert!(all.lookup(address, Some(24)).is_none());
    }

    #[test]
    fn numbers_stay_and_are_never_anothers() {
        let mut all = Elsewhere::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let two = || place("node/two", Kind::HOST, &["203.0.113.2"], &[]);
        all.observe(vec![two()], start);
        let first = all.lookup("203.0.113.2".parse().unwrap(), None).unwrap();
        all.observe(vec![], at(10));
        assert_eq!(who(&all, "203.0.113.2"), None);
        assert!(all.endpoint(first).is_some(), "closing flows still have a name");
        all.observe(vec![two()], at(20));
        assert_eq!(all.lookup("203.0.113.2".parse().unwrap(), None), Some(first));
        all.observe(vec![], at(30));
        all.observe(vec![place("node/three", Kind::HOST, &["203.0.113.2"], &[])], at(100));
        assert!(all.endpoint(first).is_none());
        assert_ne!(all.lookup("203.0.113.2".parse().unwrap(), None), Some(first));
    }

    #[test]
    fn the_stronger_source_has_an_address_two_claim() {
        let mut all = Elsewhere::default();
        let mut api = place("pod/shop/web", Kind::POD, &["10.244.1.7"], &[]);
        api.provenance = Provenance::KubernetesApi;
        all.observe(vec![place("node/two", Kind::HOST, &["10.244.1.7"], &[]), api], Instant::now());
        assert_eq!(who(&all, "10.244.1.7").as_deref(), Some("pod/shop/web"));
    }
}
