//! The second node, as Calico makes it: no bridge, a route to each pod's veth, and a gateway that is nobody's address.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;

use super::{
    addresses::pod,
    endpoints::{self, Endpoint, Kind},
};
use crate::netns::Stack;

/// The hardware address of every veth on the node's side.
const MAC: &str = "ee:ee:ee:ee:ee:ee";
/// What follows from it, and every pod's gateway.
const GATEWAY_V6: &str = "fe80::ecee:eeff:feee:eeee";
/// Every pod's gateway; the node answers for it.
const GATEWAY: &str = "169.254.1.1";

/// Pods `c` and `d`.
pub(super) fn build(node: &Stack, directory: &Path) -> Result<BTreeMap<&'static str, Endpoint>> {
    let mut all = BTreeMap::new();
    for (name, own) in [("c", pod(2, 2)), ("d", pod(2, 3))] {
        let namespace = endpoints::namespace(name)?;
        node.batch(&format!(
            "link add v{name} mtu 1400 address {MAC} type veth peer name eth0 mtu 1400 netns {}\n",
            namespace.name()
        ))?;
        node.sysctl(&format!("net/ipv4/conf/v{name}/proxy_arp"), "1")?;
        node.sysctl(&format!("net/ipv4/neigh/v{name}/proxy_delay"), "0")?;
        node.sysctl(&format!("net/ipv6/conf/v{name}/proxy_ndp"), "1")?;
        node.batch(&format!("link set v{name} up\n"))?;
        namespace.batch(&format!(
            "addr add {}/32 dev eth0\naddr add {}/128 dev eth0 nodad\nlink set eth0 up\n\
             route add {GATEWAY} dev eth0 scope link\nroute add default via {GATEWAY} dev eth0\n\
             route add default via {GATEWAY_V6} dev eth0\n",
            own.v4, own.v6
        ))?;
        node.batch(&format!(
            "route add {}/32 dev v{name} scope link\nroute add {}/128 dev v{name}\n",
            own.v4, own.v6
        ))?;
        all.insert(name, endpoints::inhabit(namespace, (name, Kind::Pod), own, directory)?);
    }
    Ok(all)
}
