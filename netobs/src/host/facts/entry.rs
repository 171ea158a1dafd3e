//! Addresses, routes, neighbours and forwarding entries as the kernel describes them: plain data.

use std::net::IpAddr;

use ipnet::IpNet;

/// Numbers of the routing tables the kernel knows by name.
pub mod table {
    /// Where routes go unless something says otherwise (`RT_TABLE_MAIN`).
    pub const MAIN: u32 = 254;
    /// The host's own addresses (`RT_TABLE_LOCAL`).
    pub const LOCAL: u32 = 255;
}

/// How far an address or a route is valid (`RT_SCOPE_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressScope {
    /// Everywhere.
    Global,
    /// Within a site.
    Site,
    /// On this link only.
    Link,
    /// Within this host only.
    Host,
    /// A number without a name here.
    Other(u8),
}

/// An address of this network stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Interface index.
    pub link: u32,
    /// The address itself.
    pub address: IpAddr,
    /// Prefix length of the network on the link; of the peer where there is one.
    pub prefix: u8,
    /// How far it is valid.
    pub scope: AddressScope,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    /// Broadcast address.
    pub broadcast: Option<IpAddr>,
}

impl Address {
    /// What the kernel takes for one address.
    #[must_use]
    pub const fn key(&self) -> (u32, IpAddr, u8) {
        (self.link, self.address, self.prefix)
    }
}

/// What a route does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// Sends it to a gateway or straight onto a link.
    Unicast,
    /// Delivers it on this host.
    Local,
    /// Delivers it and sends it as a broadcast.
    Broadcast,
    /// Delivers it, any of several hosts may.
    Anycast,
    /// A multicast route.
    Multicast,
    /// Drops it silently.
    Blackhole,
    /// Answers that the destination is unreachable.
    Unreachable,
    /// Answers that it is forbidden.
    Prohibit,
    /// Goes on with the next table.
    Throw,
    /// A number without a name here.
    Other(u8),
}

/// One next hop of a route: a route with several appears once for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Table it is in ([`table`]).
    pub table: u32,
    /// Destination, `0.0.0.0/0` or `::/0` for a default route.
    pub destination: IpNet,
    /// Preference among routes to the same destination, the lowest wins.
    pub metric: u32,
    /// Interface index of the next hop; none for a route that goes nowhere.
    pub link: Option<u32>,
    /// Address of the next hop, none where the destination is on the link. May be of the other family.
    pub gateway: Option<IpAddr>,
    /// Source address the host chooses for its own packets.
    pub preferred_source: Option<IpAddr>,
    /// What it does.
    pub kind: RouteKind,
}

/// What the kernel knows about a neighbour's reachability (`NUD_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeighbourState {
    /// Nothing.
    None,
    /// Asked, no answer yet.
    Incomplete,
    /// Answered lately.
    Reachable,
    /// Answered a while ago.
    Stale,
    /// In use again, about to be asked.
    Delay,
    /// Being asked again.
    Probe,
    /// Did not answer.
    Failed,
    /// Needs no asking.
    NoArp,
    /// Configured.
    Permanent,
    /// A number without a name here.
    Other(u16),
}

/// An address on a link and the hardware address it was resolved to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Interface index.
    pub link: u32,
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its hardware address, once known.
    pub mac: Option<[u8; 6]>,
    /// What is known about its reachability.
    pub state: NeighbourState,
}

impl Neighbour {
    /// What the kernel takes for one neighbour.
    #[must_use]
    pub const fn key(&self) -> (u32, IpAddr) {
        (self.link, self.address)
    }
}

/// What the kernel takes for one forwarding entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FdbKey {
    /// Interface index of the port.
    pub link: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// VLAN identifier on a bridge that filters by VLAN.
    pub vlan: Option<u16>,
    /// Whether the entry is in the device's own table (`NTF_SELF`) and not in its bridge's.
    pub own_table: bool,
    /// Outer destination, for entries of a VXLAN device.
    pub remote: Option<IpAddr>,
}

/// A hardware address and the port behind which it lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FdbEntry {
    /// Interface index of the port, or of the VXLAN device.
    pub link: u32,
    /// Hardware address; all zero is where a VXLAN device sends what it does not know.
    pub mac: [u8; 6],
    /// VLAN identifier on a bridge that filters by VLAN.
    pub vlan: Option<u16>,
    /// Outer destination, for entries of a VXLAN device.
    pub remote: Option<IpAddr>,
    /// Index of the bridge whose table holds it.
    pub bridge: Option<u32>,
    /// Whether the entry is in the device's own table (`NTF_SELF`) and not in its bridge's.
    pub own_table: bool,
    /// The port's own hardware address, not one learned from a frame.
    pub is_local: bool,
    /// Configured, not learned: it does not age.
    pub permanent: bool,
}

impl FdbEntry {
    /// What the kernel takes for one entry.
    #[must_use]
    pub const fn key(&self) -> FdbKey {
        FdbKey {
            link: self.link,
            mac: self.mac,
            vlan: self.vlan,
            own_table: self.own_table,
            remote: self.remote,
        }
    }
}
