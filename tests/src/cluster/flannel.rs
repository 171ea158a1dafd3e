//! The first node, as Flannel makes it: pods on a bridge. Beside them a bridge of containers behind the node's address,
//! and containers on the uplink by macvlan.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;

use super::{
    UPLINK,
    addresses::{Both, MACVLANS, ROUTER, container, pod},
    endpoints::{self, Endpoint, Kind},
};
use crate::netns::Stack;

/// The bridge of the pods.
pub(super) const BRIDGE: &str = "br0";
/// The bridge of the containers.
pub(super) const CONTAINERS: &str = "ctr0";

/// Pods `a` and `b`, containers `w` and `x`, macvlans `m` and `o`.
pub(super) fn build(node: &Stack, directory: &Path) -> Result<BTreeMap<&'static str, Endpoint>> {
    bridge(node, BRIDGE, pod(1, 1))?;
    bridge(node, CONTAINERS, container(1))?;
    let mut all = BTreeMap::new();
    for (name, kind, bridge, own, gateway) in [
        ("a", Kind::Pod, BRIDGE, pod(1, 2), pod(1, 1)),
        ("b", Kind::Pod, BRIDGE, pod(1, 3), pod(1, 1)),
        ("w", Kind::Container, CONTAINERS, container(2), container(1)),
        ("x", Kind::Container, CONTAINERS, container(3), container(1)),
    ] {
        let namespace = endpoints::namespace(name)?;
        node.batch(&format!(
            "link add v{name} mtu 1400 type veth peer name eth0 mtu 1400 netns {}\n\
             link set v{name} master {bridge}\nlink set v{name} up\n",
            namespace.name()
        ))?;
        inside(&namespace.stack(), own, gateway)?;
        all.insert(name, endpoints::inhabit(namespace, (name, kind), own, directory)?);
    }
    for (name, own) in ["m", "o"].into_iter().zip(MACVLANS) {
        let namespace = endpoints::namespace(name)?;
        node.batch(&format!(
            "link add link {UPLINK} name mac-{name} type macvlan mode bridge\n\
             link set mac-{name} netns {} name eth0\n",
            namespace.name()
        ))?;
        inside(&namespace.stack(), own, ROUTER)?;
        all.insert(name, endpoints::inhabit(namespace, (name, Kind::Container), own, directory)?);
    }
    Ok(all)
}

fn bridge(node: &Stack, name: &str, own: Both) -> Result<()> {
    node.batch(&format!(
        "link add {name} mtu 1400 type bridge stp_state 0 mcast_snooping 0\naddr add {}/24 dev {name}\n\
         addr add {}/64 dev {name} nodad\nlink set {name} up\n",
        own.v4, own.v6
    ))
}

fn inside(stack: &Stack, own: Both, gateway: Both) -> Result<()> {
    stack.batch(&format!(
        "addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\n\
         route add default via {}\nroute add default via {}\n",
        own.v4, own.v6, gateway.v4, gateway.v6
    ))
}
