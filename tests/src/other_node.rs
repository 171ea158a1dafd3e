//! Another node of the same cluster, behind the outside of a site: a network stack with one pod, and VXLAN between the
//! pods of both nodes with everything told beforehand, as Flannel does it.

use anyhow::Result;

use crate::{
    netns::{Netns, Stack},
    site::{NODE, Site, UPLINK},
};

/// The other node's address.
pub const ADDRESS: &str = "203.0.113.20";
/// The network of its pods.
pub const PODS: &str = "10.89.0.0/24";
/// Its pod.
pub const POD: &str = "10.89.0.2";

/// The router's address towards it.
const ROUTER: &str = "203.0.113.21";
/// The pods of the site's node, of which [`crate::pods`] has the bridge.
const OWN_PODS: &str = "10.88.0.0/24";
/// Both nodes' devices: hardware address, and the first address of their pods' network.
const OWN: (&str, &str) = ("02:88:00:00:00:01", "10.88.0.0");
const OTHER: (&str, &str) = ("02:89:00:00:00:01", "10.89.0.0");

/// The other node; removed when dropped.
#[derive(Debug)]
pub struct OtherNode {
    namespace: Netns,
}

impl OtherNode {
    /// Builds it and leads to it. The pods' network of the site's node must be there.
    ///
    /// # Errors
    /// Without privilege, or when it is there already.
    pub fn new(site: &Site) -> Result<Self> {
        let namespace = Netns::new("n2")?;
        let stack = namespace.stack();
        // Nothing of IPv6 is asked of it, and so it is to be quiet.
        stack.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        site.outside.batch(&format!(
            "link add n2 type veth peer name {UPLINK} netns {}\naddr add {ROUTER}/31 dev n2\nlink set n2 up\n",
            namespace.name()
        ))?;
        stack.batch(&format!(
            "addr add {ADDRESS}/31 dev {UPLINK}\nlink set {UPLINK} up\nroute add default via {ROUTER}\n\
             addr add {POD}/32 dev lo\n"
        ))?;
        lead(&stack, (ADDRESS, OTHER), (NODE, OWN), &format!("{OWN_PODS} src {POD}"))?;
        let node = site.node();
        lead(&node, (NODE, OWN), (ADDRESS, OTHER), PODS)?;
        // Pods see each other as they are, whatever the plug-ins translate for the outside.
        node.run(&format!("iptables -w -t nat -I POSTROUTING -s {OWN_PODS} -d {PODS} -j RETURN"))?;
        Ok(Self { namespace })
    }

    /// Its stack, with the pod's address.
    #[must_use]
    pub fn stack(&self) -> Stack {
        self.namespace.stack()
    }
}

/// A device of a node, and the way through it to the other one's pods; `route` may have more words.
fn lead(
    node: &Stack,
    (local, own): (&str, (&str, &str)),
    (remote, other): (&str, (&str, &str)),
    route: &str,
) -> Result<()> {
    let (pods, more) = route.split_once(' ').unwrap_or((route, ""));
    node.batch(&format!(
        "link add vx100 address {} mtu 1400 type vxlan id 100 dstport 4789 local {local} dev {UPLINK} nolearning\n",
        own.0
    ))?;
    node.sysctl("net/ipv6/conf/vx100/disable_ipv6", "1")?;
    node.batch(&format!(
        "addr add {}/32 dev vx100\nlink set vx100 up\nneigh add {} lladdr {} dev vx100 nud permanent\n\
         route add {pods} via {} dev vx100 onlink {more}\n",
        own.1, other.1, other.0, other.1
    ))?;
    node.run(&format!("bridge fdb append {} dev vx100 dst {remote} self permanent", other.0))?;
    Ok(())
}
