//! The registry as flows and metrics ask it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use netobs_common::endpoint::{EndpointId, Kind};

use crate::{
    flow::table::Directory,
    identity::{endpoint::Endpoint, registry::Registry},
    path::ledger::{WorkloadName, Workloads},
    report::KindName,
};

/// One moment's names.
pub struct Names<'a> {
    registry: &'a Registry,
    ambiguous: HashSet<IpAddr>,
}

impl<'a> Names<'a> {
    /// The names of a registry as it is.
    #[must_use]
    pub fn of(registry: &'a Registry) -> Self {
        let mut holders: HashMap<IpAddr, EndpointId> = HashMap::new();
        let mut ambiguous = HashSet::new();
        for (_, address, owner) in registry.addresses() {
            if *holders.entry(address).or_insert(owner.endpoint) != owner.endpoint {
                ambiguous.insert(address);
            }
        }
        Self { registry, ambiguous }
    }

    /// The endpoint of a number.
    #[must_use]
    pub fn endpoint(&self, number: EndpointId) -> Option<&Arc<Endpoint>> {
        self.registry.by_number(number)
    }

    /// The id an endpoint goes by in documents.
    #[must_use]
    pub fn id(&self, number: EndpointId) -> Arc<str> {
        self.endpoint(number).map_or_else(|| "unknown".into(), |endpoint| Arc::clone(&endpoint.id))
    }

    /// Whether the address is this host's own.
    #[must_use]
    pub fn is_host(&self, address: IpAddr) -> bool {
        self.registry.lookup(0, address) == Some(EndpointId::HOST)
    }

    /// Endpoints now, by kind, mode (the bare word) and runtime.
    #[must_use]
    pub fn endpoints_by_kind(&self) -> BTreeMap<(KindName, Arc<str>, Arc<str>), u64> {
        let mut counts = BTreeMap::new();
        for endpoint in self.registry.endpoints() {
            let mode = endpoint.mode.as_ref().map_or("", |mode| mode.name()).into();
            let runtime = endpoint.runtime.clone().unwrap_or_else(|| "".into());
            *counts.entry((endpoint.kind.into(), mode, runtime)).or_default() += 1;
        }
        counts
    }
}

impl Directory for Names<'_> {
    fn current(&self, endpoint: EndpointId) -> EndpointId {
        self.registry.resolve(endpoint)
    }

    fn holder(&self, segment: u32, address: IpAddr) -> Option<EndpointId> {
        self.registry.lookup(segment, address)
    }

    fn kind(&self, endpoint: EndpointId) -> Kind {
        self.endpoint(endpoint).map_or(Kind::UNKNOWN, |one| one.kind)
    }

    fn is_ambiguous(&self, address: IpAddr) -> bool {
        self.ambiguous.contains(&address)
    }
}

impl Workloads for Names<'_> {
    fn workload(&self, endpoint: EndpointId) -> WorkloadName {
        let Some(endpoint) = self.endpoint(endpoint) else {
            return WorkloadName { namespace: "".into(), workload: "unknown".into() };
        };
        let name = match endpoint.kind {
            Kind::HOST => "host".into(),
            Kind::UNKNOWN => Arc::clone(&endpoint.id),
            _ => Arc::clone(&endpoint.name),
        };
        WorkloadName {
            namespace: endpoint.namespace.clone().unwrap_or_else(|| "".into()),
            workload: endpoint.workload.clone().unwrap_or(name),
        }
    }
}
