//! Endpoints without a runtime: a namespace behind a veth of the node, bare or as a port of a bridge, with
//! address and default route.

use anyhow::Result;

use crate::netns::{Netns, Stack};

/// A namespace of this name behind a veth: both ends up, no addresses. `host_side` is the interface's name
/// in the node; inside it is `eth0`.
///
/// # Errors
/// When a name is taken.
pub fn behind_veth(node: &Stack, name: &str, host_side: &str) -> Result<Netns> {
    let endpoint = Netns::named(name)?;
    endpoint.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
    endpoint.sysctl("net/ipv6/conf/default/router_solicitations", "0")?;
    node.batch(&format!(
        "link add {host_side} type veth peer name eth0 netns {name}\nlink set {host_side} up\n"
    ))?;
    endpoint.batch("link set eth0 up\n")?;
    Ok(endpoint)
}

/// [`behind_veth`] as a port of `bridge`, with an address such as `198.18.0.2/24` and a default route.
///
/// # Errors
/// When a name or the address is taken.
pub fn on_bridge(
    node: &Stack,
    name: &str,
    host_side: &str,
    bridge: &str,
    address: &str,
    gateway: Option<&str>,
) -> Result<Netns> {
    let endpoint = behind_veth(node, name, host_side)?;
    node.batch(&format!("link set {host_side} master {bridge}\n"))?;
    endpoint.batch(&format!("addr add {address} dev eth0\n"))?;
    if let Some(gateway) = gateway {
        endpoint.batch(&format!("route add default via {gateway}\n"))?;
    }
    Ok(endpoint)
}

/// A bridge with an address, up, spanning tree off.
///
/// # Errors
/// When the name is taken.
pub fn bridge(node: &Stack, name: &str, address: &str) -> Result<()> {
    node.batch(&format!(
        "link add {name} type bridge stp_state 0 mcast_snooping 0\naddr add {address} dev {name}\n\
         link set {name} up\n"
    ))
}
