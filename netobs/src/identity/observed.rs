//! What the registry judges: the host's facts, the namespaces on it, what runtimes say. Plain data.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use super::claim::Statement;
use crate::{
    host::facts::{Address, Facts, Link, firewall::Ruleset},
    runtime::{facts::RuntimeContainer, facts::guest::Guest, facts::pod::RuntimePod},
};

/// Everything known at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The host's name.
    pub node: &'a str,
    /// Inode of the agent's own network namespace: that stack is the host.
    pub own_namespace: u64,
    /// The agent's own `/proc/self/cgroup`. Where the host itself runs in a container (a kind node, a build
    /// machine), every process on it is in that container's cgroup, which therefore names none of them.
    pub own_cgroup: &'a str,
    /// The host's links, addresses, routes, neighbours and forwarding entries.
    pub facts: &'a Facts,
    /// Indexes of the interfaces that lead outside: what is behind them is nobody's own.
    pub uplinks: &'a BTreeSet<u32>,
    /// Other network namespaces.
    pub namespaces: &'a [Namespace],
    /// Running containers, of all runtimes.
    pub containers: &'a [Arc<RuntimeContainer>],
    /// Running pods, as the pod runtime has them.
    pub pods: &'a [Arc<RuntimePod>],
    /// Virtual machines that hold taps of this host.
    pub guests: &'a [Arc<Guest>],
    /// When the look that found them began: a tap that appeared, or lost its carrier, later is not theirs by it.
    pub guests_looked_at: Option<Instant>,
    /// Addresses that guests were seen to send from, by the index of their tap.
    pub seen: &'a BTreeMap<u32, BTreeSet<IpAddr>>,
    /// The host's translations of sources, where they could be read.
    pub nat_rules: Option<&'a Ruleset>,
    /// What other sources say.
    pub statements: &'a [Statement],
}

/// A network namespace other than the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its inode on nsfs. The kernel reuses it.
    pub inode: u64,
    /// The number by which the host's links refer to it (`IFLA_LINK_NETNSID`), if it has one.
    pub nsid: Option<i32>,
    /// The number by which its own links refer to the host's namespace, if they could be read and it has one.
    pub host: Option<i32>,
    /// Where it is mounted, if it is: `/run/netns/NAME`, `/run/docker/netns/…`.
    pub path: Option<Arc<str>>,
    /// Processes in it: one at least where there is any, and the first process of each container.
    pub processes: Vec<Process>,
    /// Its own links, if they could be read (that needs `CAP_SYS_ADMIN`).
    pub links: Vec<Link>,
    /// Its own addresses, likewise.
    pub addresses: Vec<Address>,
}

/// A process in a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot: with the number, its identity.
    pub start_time: u64,
    /// Its `/proc/PID/cgroup`; empty if it could not be read.
    pub cgroup: Arc<str>,
}
