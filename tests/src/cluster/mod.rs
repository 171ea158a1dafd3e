//! A cluster of two nodes and its outside world, all of it network namespaces: one node switches its pods (Flannel's
//! shape), the other routes to each (Calico's); VXLAN or plain routes between them, Services by iptables or nft.

pub mod addresses;
mod api;
mod calico;
mod endpoints;
mod flannel;
pub mod judge;
pub mod overlay;
mod rules;
pub mod talk;

pub use endpoints::container_id;

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    agent::Agent,
    api_server::ApiServer,
    dockerd,
    netns::{self, Netns, Stack},
    place::Place,
    site,
};
use addresses::{CLIENT, FAMILIES, Family, NODES, ROUTER};
use endpoints::Endpoint;

/// A node's uplink.
pub const UPLINK: &str = "eth0";

/// How packets get from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Encapsulated.
    Vxlan,
    /// As they are, by routes to the other node.
    Routes,
}

/// What translates addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// `iptables` and `ip6tables`.
    Iptables,
    /// `nft`.
    Nft,
}

/// The cluster. Fields go in this order: endpoints before nodes, nodes before what joins them.
#[derive(Debug)]
pub struct Cluster {
    apis: Vec<ApiServer>,
    endpoints: BTreeMap<&'static str, Endpoint>,
    nodes: [Netns; 2],
    client: Netns,
    underlay: Netns,
    directory: Directory,
}

/// Removed when dropped, with every process that works in it.
#[derive(Debug)]
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        dockerd::clear(&self.0);
    }
}

impl Cluster {
    /// Builds it; about two seconds.
    ///
    /// # Errors
    /// Without privilege, or where the machine routes a prefix that is used here.
    pub fn new(between: Between, rules: Rules) -> Result<Self> {
        site::sweep();
        site::refuse_routed_prefixes(site::PREFIXES)?;
        site::refuse_routed_prefixes(addresses::PREFIXES)?;
        let directory = Directory(PathBuf::from("/var/tmp").join(netns::unique("cluster")));
        fs::create_dir_all(&directory.0)?;
        let namespace = |word: &str| -> Result<Netns> {
            let made = Netns::new(word)?;
            prepare(&made.stack())?;
            Ok(made)
        };
        let mut cluster = Self {
            apis: Vec::new(),
            endpoints: BTreeMap::new(),
            nodes: [namespace("n1")?, namespace("n2")?],
            client: namespace("client")?,
            underlay: namespace("underlay")?,
            directory,
        };
        cluster.join()?;
        for node in 0..2 {
            overlay::lead(&cluster.nodes[node].stack(), node, between)?;
        }
        let [n1, n2] = [cluster.node(1), cluster.node(2)];
        cluster.endpoints = flannel::build(&n1, &cluster.directory.0)?;
        cluster.endpoints.extend(calico::build(&n2, &cluster.directory.0)?);
        for node in [1, 2] {
            rules::set(&cluster.node(node), node, rules)?;
            let api = ApiServer::start(&cluster.node(node), ([127, 0, 0, 1], 6_443).into())?;
            api::fill(&api)?;
            cluster.apis.push(api);
        }
        let nodes = cluster.nodes.iter().map(Netns::stack);
        let others = [cluster.client.stack(), cluster.underlay.stack()];
        let endpoints = cluster.endpoints.values().map(Endpoint::stack);
        nodes.chain(others).chain(endpoints).try_for_each(|stack| calm(&stack))?;
        Ok(cluster)
    }

    /// The network between the nodes and the outside.
    fn join(&self) -> Result<()> {
        let underlay = self.underlay.stack();
        // What passes here is nobody's to translate.
        underlay.sysctl("net/bridge/bridge-nf-call-iptables", "0").ok();
        underlay.sysctl("net/bridge/bridge-nf-call-ip6tables", "0").ok();
        underlay.batch(&format!(
            "link add lan0 type bridge stp_state 0 mcast_snooping 0\naddr add {}/24 dev lan0\n\
             addr add {}/64 dev lan0 nodad\nlink set lan0 up\n",
            ROUTER.v4, ROUTER.v6
        ))?;
        for (port, node) in ["p1", "p2"].into_iter().zip(&self.nodes) {
            underlay.batch(&format!(
                "link add {port} type veth peer name {UPLINK} netns {}\nlink set {port} master lan0\n\
                 link set {port} up\n",
                node.name()
            ))?;
        }
        underlay.batch(&format!(
            "link add out0 type veth peer name {UPLINK} netns {}\naddr add {}/24 dev out0\n\
             addr add {}/64 dev out0 nodad\nlink set out0 up\n",
            self.client.name(),
            addresses::OUT.v4,
            addresses::OUT.v6
        ))?;
        for (stack, own, gateway) in [
            (self.node(1), NODES[0], ROUTER),
            (self.node(2), NODES[1], ROUTER),
            (self.client.stack(), CLIENT, addresses::OUT),
        ] {
            stack.batch(&format!(
                "addr add {}/24 dev {UPLINK}\naddr add {}/64 dev {UPLINK} nodad\nlink set {UPLINK} up\n\
                 route add default via {}\nroute add default via {}\n",
                own.v4, own.v6, gateway.v4, gateway.v6
            ))?;
        }
        Ok(())
    }

    /// A node's stack, by its number: 1 or 2.
    #[must_use]
    pub fn node(&self, number: usize) -> Stack {
        self.nodes[number - 1].stack()
    }

    /// Where this one runs programs: `n1`, `n2`, `client`, or an endpoint by its name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn place(&self, name: &str) -> Result<Place<'static>> {
        Ok(Place::Stack(match name {
            "n1" => self.node(1),
            "n2" => self.node(2),
            "client" => self.client.stack(),
            _ => self.endpoints.get(name).with_context(|| format!("no {name}"))?.stack(),
        }))
    }

    /// An address of a node, of the outside, or of an endpoint.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn address(&self, name: &str, family: Family) -> Result<std::net::IpAddr> {
        let both = match name {
            "n1" => NODES[0],
            "n2" => NODES[1],
            "br0" => addresses::pod(1, 1),
            "client" => CLIENT,
            _ => self.endpoints.get(name).with_context(|| format!("no {name}"))?.addresses,
        };
        Ok(both.of(family))
    }

    /// Where files of the cluster are.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        &self.directory.0
    }

    /// An agent on a node, told of the other by the Kubernetes API, and by a flag of the address under which the other
    /// encapsulates what it sends itself.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn agent(&self, number: usize) -> Result<Agent> {
        let directory = self.directory.0.join(format!("agent{number}"));
        fs::create_dir_all(&directory)?;
        let other = 3 - number;
        let own = addresses::tunnel(other);
        let mut options = vec![
            format!("--kubeconfig={}", self.apis[number - 1].kubeconfig(&directory)?.display()),
            format!("--node-name=n{number}"),
        ];
        options.extend(FAMILIES.map(|family| format!("--node=n{other}={}", own.of(family))));
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        Agent::start(&self.node(number), &directory, &directory.join("no-docker.sock"), &options)
    }
}

/// Forwards, and neither waits for duplicates of addresses nor drops what comes by another way than it would go.
fn prepare(stack: &Stack) -> Result<()> {
    for (name, value) in [
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/router_solicitations", "0"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/default/send_redirects", "0"),
        ("net/netfilter/nf_conntrack_acct", "1"),
    ] {
        stack.sysctl(name, value)?;
    }
    Ok(())
}

/// Whoever was found once is not asked for again after half a minute: there are to be quiet moments. Each interface has
/// a setting of its own for it, and of those to come there is none here.
fn calm(stack: &Stack) -> Result<()> {
    stack.within(|| {
        for family in ["ipv4", "ipv6"] {
            let interfaces = fs::read_dir(format!("/proc/sys/net/{family}/neigh"))?;
            for interface in interfaces.flatten() {
                let setting = interface.path().join("base_reachable_time_ms");
                if setting.exists() {
                    fs::write(setting, "3600000")?;
                }
            }
        }
        Ok(())
    })?
}
