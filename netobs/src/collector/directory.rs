//! The registry as flows and metrics ask it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use netobs_common::{
    endpoint::{EndpointId, Kind},
    wire::Proto,
};

use crate::{
    flow::{
        table::{Directory, Owner},
        tuple::Peer,
    },
    identity::{
        endpoint::{Endpoint, Interface, Mode},
        registry::Registry,
        services::Services,
        sockets::{Connection, SocketHolder, SocketOwners},
    },
    path::ledger::{WorkloadName, Workloads},
    report::{KindName, Via},
};

/// One moment's names.
pub struct Names<'a> {
    registry: &'a Registry,
    ambiguous: HashSet<IpAddr>,
    sockets: Option<(&'a SocketOwners, Duration)>,
    services: Option<&'a Services>,
    hidden: Option<&'a HashSet<EndpointId>>,
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
        Self { registry, ambiguous, sockets: None, services: None, hidden: None }
    }

    /// With what is known of the host's sockets at a moment of the monotonic clock.
    #[must_use]
    pub fn with_sockets(self, owners: &'a SocketOwners, now: Duration) -> Self {
        Self { sockets: Some((owners, now)), ..self }
    }

    /// With the cluster's Services.
    #[must_use]
    pub fn with_services(self, services: &'a Services) -> Self {
        Self { services: Some(services), ..self }
    }

    /// Without some endpoints: their flows are not listed, and their workload is `other`. They are counted all the
    /// same.
    #[must_use]
    pub fn without(self, hidden: &'a HashSet<EndpointId>) -> Self {
        Self { hidden: Some(hidden), ..self }
    }

    /// Whether an endpoint is not to be shown.
    #[must_use]
    pub fn is_hidden(&self, endpoint: EndpointId) -> bool {
        self.hidden.is_some_and(|hidden| hidden.contains(&self.registry.resolve(endpoint)))
    }

    /// The Service at an address and port, as `NAMESPACE/NAME`, and how it is addressed there.
    #[must_use]
    pub fn service(&self, peer: Peer, protocol: Proto) -> Option<(Arc<str>, Via)> {
        let node =
            self.registry.lookup(0, peer.address).is_some_and(|number| self.kind(number) == Kind::HOST);
        let (id, via) = self.services?.at(peer.address, protocol.0, peer.port, node)?;
        Some((Arc::clone(id), via))
    }

    fn owner(&self, holder: SocketHolder) -> Owner {
        match holder {
            SocketHolder::Host => Owner::Host,
            SocketHolder::Unsettled => Owner::Unsettled,
            SocketHolder::Container(id) => {
                self.registry.of_container(&id).map_or(Owner::Unsettled, Owner::Endpoint)
            }
        }
    }

    /// The endpoint of a number.
    #[must_use]
    pub fn endpoint(&self, number: EndpointId) -> Option<&Arc<Endpoint>> {
        self.registry.by_number(number)
    }

    /// Whether a number that was given to an endpoint means nobody any more.
    #[must_use]
    pub fn is_forgotten(&self, number: EndpointId) -> bool {
        number.0 >= EndpointId::FIRST_FREE && self.registry.by_number(number).is_none()
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

    /// Whether an address lies in no network on this host's own side.
    #[must_use]
    pub fn is_outside(&self, address: IpAddr) -> bool {
        !self.registry.is_inner(address)
    }

    /// Whether an address lies in a network of a bridge, by interface index.
    #[must_use]
    pub fn is_on(&self, bridge: u32, address: IpAddr) -> bool {
        bridge != 0 && self.registry.is_on(bridge, address)
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

impl Names<'_> {
    /// The workloads that have an endpoint now.
    #[must_use]
    pub fn workloads(&self) -> HashSet<WorkloadName> {
        self.registry.endpoints().iter().map(|endpoint| self.workload(endpoint.number)).collect()
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

    fn stack(&self, endpoint: EndpointId) -> EndpointId {
        let on_hosts = |one: &Arc<Endpoint>| one.mode == Some(Mode::Host);
        if self.endpoint(endpoint).is_some_and(on_hosts) { EndpointId::HOST } else { endpoint }
    }

    fn is_on_parent(&self, endpoint: EndpointId, address: Option<IpAddr>) -> bool {
        let shares = |one: &Interface| {
            matches!(one.mode, Some(Mode::Macvlan | Mode::Ipvlan | Mode::Macvtap))
                && address.is_none_or(|address| one.addresses.contains(&address))
        };
        let interfaces = self.endpoint(endpoint).map(|one| &one.interfaces[..]).unwrap_or_default();
        if address.is_none() {
            !interfaces.is_empty() && interfaces.iter().all(shares)
        } else {
            interfaces.iter().any(shares)
        }
    }

    fn socket(&self, cookie: u64) -> Option<Owner> {
        let (owners, now) = self.sockets?;
        owners.of_socket(cookie, now).map(|holder| self.owner(holder))
    }

    fn connection(&self, proto: Proto, local: Peer, remote: Peer) -> Owner {
        let Some((owners, now)) = self.sockets else { return Owner::Host };
        let end = |peer: Peer| SocketAddr::new(peer.address, peer.port);
        let connection = Connection { proto, local: end(local), remote: end(remote) };
        self.owner(owners.of_connection(connection, now))
    }
}

impl Workloads for Names<'_> {
    fn workload(&self, endpoint: EndpointId) -> WorkloadName {
        let Some(endpoint) = self.endpoint(endpoint) else {
            return WorkloadName { namespace: "".into(), workload: "unknown".into() };
        };
        if self.is_hidden(endpoint.number) {
            return WorkloadName { namespace: "".into(), workload: "other".into() };
        }
        let name = match endpoint.kind {
            Kind::HOST if !endpoint.number.is_elsewhere() => "host".into(),
            Kind::UNKNOWN => Arc::clone(&endpoint.id),
            _ => Arc::clone(&endpoint.name),
        };
        WorkloadName {
            namespace: endpoint.namespace.clone().unwrap_or_else(|| "".into()),
            workload: endpoint.workload.clone().unwrap_or(name),
        }
    }
}
