//! What a Kubernetes API says of a cluster, as far as it is kept: plain data, text harmless. No I/O.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::RuntimeState;

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPod {
    /// Its UID; of a static pod also the one the kubelet runs it by.
    pub uids: Vec<Arc<str>>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it is an instance of.
    pub workload: Option<Arc<str>>,
    /// Whether it uses the node's network stack.
    pub host_network: bool,
    /// Whether somebody asked netobs not to show it.
    pub ignored: bool,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its name.
    pub name: Arc<str>,
    /// Its addresses, inside and outside.
    pub addresses: Vec<IpAddr>,
    /// The networks of its pods, where the cluster gives them out.
    pub pod_networks: Vec<IpNet>,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterService {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Addresses inside the cluster.
    pub cluster_addresses: Vec<IpAddr>,
    /// Addresses of load balancers, and others it was given.
    pub outer_addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// IP protocol number.
    pub protocol: u8,
    /// At its own addresses.
    pub port: u16,
    /// At every node's; 0 for none.
    pub node_port: u16,
}

/// A pod, of any node, that a Service leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its node.
    pub node: Option<Arc<str>>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// The cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Pods of this node.
    pub pods: Vec<Arc<ClusterPod>>,
    /// All nodes.
    pub nodes: Vec<Arc<ClusterNode>>,
    /// All Services.
    pub services: Vec<Arc<ClusterService>>,
    /// Whom they lead to, a slice at a time.
    pub backends: Vec<Arc<Vec<Backend>>>,
}

/// What changed.
#[derive(Clone, Debug)]
pub enum ClusterUpdate {
    /// The API answers, or no longer does.
    State(RuntimeState),
    /// Everything as it is known now.
    Cluster(Arc<Cluster>),
}
