//! Whoever can open or accept a connection on this host, as netobs publishes it. Plain data.

use std::{fmt, net::IpAddr, sync::Arc};

use netobs_common::endpoint::{EndpointId, Kind};

use super::claim::Provenance;

/// One network stack, one guest behind a tap, or one host-network container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its number in the kernel's tables, never reused while the agent runs.
    pub number: EndpointId,
    /// `host`, `container/NAME`, `pod/NAMESPACE/NAME`, `vm/NAME`; `netns/INODE` for a stack nobody named,
    /// `interface/NAME` for one known only by the host's end of it. Unique among the living.
    pub id: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// The pod's namespace, the compose project.
    pub namespace: Option<Arc<str>>,
    /// What it is an instance of: the compose service, the deployment.
    pub workload: Option<Arc<str>>,
    /// The runtime's or cluster's identifier.
    pub uid: Option<Arc<str>>,
    /// `docker`, `podman`, `containerd` …
    pub runtime: Option<Arc<str>>,
    /// How it is attached; `None` where nothing says it.
    pub mode: Option<Mode>,
    /// Inode of its network namespace.
    pub netns: Option<u64>,
    /// Where the host sees it.
    pub interfaces: Vec<Interface>,
    /// Why all this is believed, strongest first.
    pub provenance: Vec<Provenance>,
    /// The containers that share the stack, the one it was made for first.
    pub containers: Vec<Container>,
}

/// Where the host sees an endpoint: its own interface, or the one it shares with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name of the host's interface: the veth or tap, the parent of a macvlan; empty if it is not known.
    pub name: Arc<str>,
    /// Index of the host's interface, 0 if it is not known.
    pub index: u32,
    /// The endpoint's own hardware address.
    pub mac: Option<[u8; 6]>,
    /// The endpoint's own addresses.
    pub addresses: Vec<IpAddr>,
    /// How this interface is attached.
    pub mode: Option<Mode>,
    /// Whether all packets of this interface are the endpoint's (veth, tap), and not shared (a parent).
    pub own: bool,
}

/// A container that uses the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The runtime's identifier.
    pub id: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its image.
    pub image: Option<Arc<str>>,
}

/// How an endpoint or one of its interfaces is attached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Switched by a bridge.
    Bridge,
    /// The host's own stack.
    Host,
    /// Nothing but loopback.
    None,
    /// Another container's stack, by that container's name (its short id if it is not known).
    Container(Arc<str>),
    /// Own hardware address on the parent's network.
    Macvlan,
    /// Own address, the parent's hardware address.
    Ipvlan,
    /// As the cluster's network plug-in made it.
    Cni,
    /// Behind the host's address.
    Nat,
    /// Never beyond the host.
    HostOnly,
    /// A guest with its own hardware address on the parent's network.
    Macvtap,
}

impl Mode {
    /// The bare word, as in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "none",
            Self::Container(_) => "container",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Cni => "cni",
            Self::Nat => "nat",
            Self::HostOnly => "host-only",
            Self::Macvtap => "macvtap",
        }
    }
}

impl fmt::Display for Mode {
    /// The word with what belongs to it: `container:web`.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(other) => to.pad(&format!("container:{other}")),
            _ => to.pad(self.name()),
        }
    }
}

impl Endpoint {
    /// An endpoint of which only the name and the kind are known.
    #[must_use]
    pub fn bare(number: EndpointId, kind: Kind, name: &str) -> Self {
        Self {
            number,
            id: name.into(),
            kind,
            name: name.into(),
            namespace: None,
            workload: None,
            uid: None,
            runtime: None,
            mode: None,
            netns: None,
            interfaces: Vec::new(),
            provenance: Vec::new(),
            containers: Vec::new(),
        }
    }

    /// All its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces.iter().flat_map(|one| one.addresses.iter().copied())
    }
}
