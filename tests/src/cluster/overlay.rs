//! The way from one node to the pods of the other: a VXLAN device for each family with everything it needs to know
//! told beforehand, as Flannel and Calico do, or plain routes.

use anyhow::Result;

use super::{
    Between, UPLINK,
    addresses::{NODES, tunnel},
};
use crate::netns::Stack;

/// The port of Flannel's packets between nodes, and of the kernel's own devices unless told otherwise.
pub const PORT: u16 = 8_472;

/// The hardware address of a node's device.
fn mac(node: usize, device: &str) -> String {
    format!("02:71:00:00:0{node}:0{}", device.len())
}

/// Leads from a node, counted from 0, to the other's pods.
pub(super) fn lead(node: &Stack, own: usize, between: Between) -> Result<()> {
    let other = 1 - own;
    let (here, there) = (NODES[own], NODES[other]);
    let (tunnel, far) = (tunnel(own + 1), tunnel(other + 1));
    if between == Between::Routes {
        return node.batch(&format!(
            "route add {}/24 via {}\nroute add {}/64 via {}\n",
            far.v4, there.v4, far.v6, there.v6
        ));
    }
    for (device, local) in [("vx100", here.v4.to_string()), ("vx6", here.v6.to_string())] {
        node.batch(&format!(
            "link add {device} address {} type vxlan id 100 dstport {PORT} local {local} dev {UPLINK} nolearning\n\
             link set {device} up\n",
            mac(own, device)
        ))?;
    }
    node.batch(&format!(
        "addr add {}/32 dev vx100\naddr add {}/128 dev vx6 nodad\n\
         neigh add {} lladdr {m4} dev vx100 nud permanent\nneigh add {} lladdr {m6} dev vx6 nud permanent\n\
         route add {}/24 via {} dev vx100 onlink\nroute add {}/64 via {} dev vx6 onlink\n",
        tunnel.v4,
        tunnel.v6,
        far.v4,
        far.v6,
        far.v4,
        far.v4,
        far.v6,
        far.v6,
        m4 = mac(other, "vx100"),
        m6 = mac(other, "vx6"),
    ))?;
    for (device, remote) in [("vx100", there.v4.to_string()), ("vx6", there.v6.to_string())] {
        node.run(&format!(
            "bridge fdb append {} dev {device} dst {remote} self permanent",
            mac(other, device)
        ))?;
    }
    Ok(())
}
