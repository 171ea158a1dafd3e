//! Who has which address in the cluster.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Private prefixes used inside the nodes.
pub const PREFIXES: &[&str] = &["10.71.0.0/16", "10.72.0.0/16", "10.96.0.0/16", "fd00:71::/32"];

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Both families.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl fmt::Display for Family {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(if *self == Self::V4 { "IPv4" } else { "IPv6" })
    }
}

/// An address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Both {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
}

impl Both {
    const fn new(v4: [u8; 4], v6: [u16; 8]) -> Self {
        let [a, b, c, d] = v4;
        let [e, f, g, h, i, j, k, l] = v6;
        Self { v4: Ipv4Addr::new(a, b, c, d), v6: Ipv6Addr::new(e, f, g, h, i, j, k, l) }
    }

    /// The one of a family.
    #[must_use]
    pub fn of(self, family: Family) -> IpAddr {
        if family == Family::V4 { self.v4.into() } else { self.v6.into() }
    }
}

const fn lan(host: u8) -> Both {
    Both::new([198, 51, 100, host], [0x2001, 0xdb8, 1, 0, 0, 0, 0, host as u16])
}

const fn outside(host: u8) -> Both {
    Both::new([203, 0, 113, host], [0x2001, 0xdb8, 2, 0, 0, 0, 0, host as u16])
}

/// The router of the nodes' network.
pub const ROUTER: Both = lan(1);
/// The nodes on their uplinks.
pub const NODES: [Both; 2] = [lan(2), lan(3)];
/// Containers on the first node's uplink by macvlan.
pub const MACVLANS: [Both; 2] = [lan(11), lan(12)];
/// The router towards the outside.
pub const OUT: Both = outside(1);
/// Somebody outside.
pub const CLIENT: Both = outside(10);

/// A pod of a node.
#[must_use]
pub const fn pod(node: usize, host: u8) -> Both {
    let node = node as u8;
    Both::new([10, 71, node, host], [0xfd00, 0x71, node as u16, 0, 0, 0, 0, host as u16])
}

/// A node's own address on the devices that encapsulate: the first of its pods' network.
#[must_use]
pub const fn tunnel(node: usize) -> Both {
    pod(node, 0)
}

/// A container of the first node's bridge of its own.
#[must_use]
pub const fn container(host: u8) -> Both {
    Both::new([10, 72, 1, host], [0xfd00, 0x72, 1, 0, 0, 0, 0, host as u16])
}

/// The address of a Service: 10 is in front of pod `c`, 20 of pod `a`.
#[must_use]
pub const fn service(number: u8) -> Both {
    Both::new([10, 96, 0, number], [0xfd00, 0x71, 0x96, 0, 0, 0, 0, number as u16])
}

/// A Service: name, address, port of the nodes, pod behind it.
pub type Service = (&'static str, Both, u16, Both);

/// The Services. Each has port 80, and its pod 8080.
pub const SERVICES: [Service; 2] =
    [("front", service(10), 30_080, pod(2, 2)), ("back", service(20), 30_081, pod(1, 2))];

/// The port under which the first node publishes port 8080 of container `w`.
pub const PUBLISHED: u16 = 8_088;
/// Where every server of the cluster listens.
pub const PORT: u16 = 8_080;
