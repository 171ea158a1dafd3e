//! Endpoints as they are published.

use std::{net::IpAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::KindName;

/// One network stack, one guest, or one host-network container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointRow {
    /// `container/web`, `pod/default/api`, `vm/db`, `host`; unique on the host.
    pub id: Arc<str>,
    /// What it is.
    pub kind: KindName,
    /// Its name, sanitised.
    pub name: Arc<str>,
    /// Namespace (pods).
    pub namespace: Option<Arc<str>>,
    /// Deployment, compose service and their like.
    pub workload: Option<Arc<str>>,
    /// The runtime's or cluster's identifier.
    pub uid: Option<Arc<str>>,
    /// `docker`, `podman`, `containerd`, `qemu` …
    pub runtime: Option<Arc<str>>,
    /// How it is attached: `bridge`, `host`, `none`, `container:NAME`, `macvlan`, `cni`, `nat` …
    pub mode: Option<Arc<str>>,
    /// Inode of its network namespace.
    pub netns: Option<u64>,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceRow>,
    /// Why this is believed, strongest first.
    pub provenance: Vec<Arc<str>>,
    /// The containers that share this stack.
    pub containers: Vec<ContainerRow>,
}

/// Shorter beginnings of an id mean too many.
const UID_PREFIX: usize = 4;

impl EndpointRow {
    /// Whether a selector means it: its id, its name, its kind and the beginning of its uid or of a container's id.
    #[must_use]
    pub fn is(&self, selector: &str) -> bool {
        let by_uid = selector.split_once('/').is_some_and(|(kind, prefix)| {
            kind == self.kind.name() && prefix.len() >= UID_PREFIX && self.is_uid(prefix)
        });
        *self.id == *selector || *self.name == *selector || by_uid
    }

    fn is_uid(&self, prefix: &str) -> bool {
        self.uid.as_deref().is_some_and(|uid| uid.starts_with(prefix))
            || self.containers.iter().any(|container| container.id.starts_with(prefix))
    }

    /// Its addresses, interface by interface.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces.iter().flat_map(|one| one.addresses.iter().copied())
    }
}

/// An interface of an endpoint, by its host-side device where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceRow {
    /// Name on the host.
    pub name: Arc<str>,
    /// Index on the host.
    pub ifindex: u32,
    /// The endpoint's hardware address.
    pub mac: Option<Arc<str>>,
    /// The endpoint's addresses on it.
    pub addresses: Vec<IpAddr>,
    /// How this interface is attached.
    pub mode: Option<Arc<str>>,
}

/// A container of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerRow {
    /// The runtime's identifier.
    pub id: Arc<str>,
    /// Its name, sanitised.
    pub name: Arc<str>,
    /// Its image.
    pub image: Option<Arc<str>>,
}
