//! An interface as the kernel describes it: plain data.

use std::net::IpAddr;

/// What kind of device an interface is (`IFLA_INFO_KIND`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// `lo`.
    Loopback,
    /// A device without a kind of its own: a network card.
    Physical,
    /// One end of a pair.
    Veth,
    /// A bridge.
    Bridge,
    /// A tunnel into a user process: `tap` with an Ethernet header, without one otherwise.
    Tun {
        /// Whether frames carry an Ethernet header.
        tap: bool,
    },
    /// A VXLAN device.
    Vxlan(Vxlan),
    /// A macvlan device.
    Macvlan,
    /// A macvtap device.
    Macvtap,
    /// An ipvlan or ipvtap device.
    Ipvlan,
    /// A VLAN device.
    Vlan {
        /// VLAN identifier.
        id: u16,
        /// Index of the device that carries the tagged frames, if the kernel says it.
        lower: Option<u32>,
    },
    /// A Geneve device.
    Geneve {
        /// UDP port it listens on; 0 where the kernel does not say it.
        port: u16,
    },
    /// GRE, GRETAP and ERSPAN, over IPv4 or IPv6.
    Gre,
    /// IPIP, SIT and IPv6 tunnels.
    Ipip,
    /// A WireGuard device.
    Wireguard,
    /// A dummy device.
    Dummy,
    /// An intermediate functional block.
    Ifb,
    /// A bond or a team.
    Bond,
    /// Any other kind, by the kernel's word for it.
    Other(String),
}

/// What a VXLAN device is configured with. `None` where the kernel was told nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vxlan {
    /// Network identifier; 0 for a device in metadata mode.
    pub vni: u32,
    /// UDP port it listens on and sends to.
    pub port: u16,
    /// Index of the device below.
    pub lower: Option<u32>,
    /// Source address of the outer packets.
    pub local: Option<IpAddr>,
    /// Destination of unknown and broadcast frames: a multicast group or the only peer.
    pub group: Option<IpAddr>,
    /// Whether routers may cut outer packets in pieces.
    pub outer_df: OuterDf,
}

/// What outer packets say of being cut in pieces (`IFLA_VXLAN_DF`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OuterDf {
    /// They may be.
    #[default]
    Unset,
    /// They may not.
    Set,
    /// As the packet inside says.
    Inherit,
}

/// An interface's own counters (`IFLA_STATS64`). `ground-truth` in the documentation says how they relate
/// to what a tc program sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Received packets dropped.
    pub rx_dropped: u64,
    /// Packets dropped instead of being sent.
    pub tx_dropped: u64,
}

/// One interface of the network stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Interface index. The kernel reuses it.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Kind of device.
    pub kind: LinkKind,
    /// Hardware address, where it has six bytes.
    pub mac: Option<[u8; 6]>,
    /// Index of the bridge, bond or VRF this is a port of (`IFLA_MASTER`).
    pub master: Option<u32>,
    /// Index of the other end or of the device below (`IFLA_LINK`), meant in [`Self::peer_namespace`] if that
    /// is given. A veth whose other end is being moved shows an index of this namespace for a moment.
    pub lower: Option<u32>,
    /// Identifier of the namespace `lower` is in, if it is another one (`IFLA_LINK_NETNSID`). Such
    /// identifiers are reused as soon as they are free: resolve them to an inode, do not keep them.
    pub peer_namespace: Option<i32>,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Has carrier.
    pub carrier: bool,
    /// How often it lost its carrier (`IFLA_CARRIER_DOWN_COUNT`): a loss that was made good before anybody was told
    /// shows here alone.
    pub carrier_losses: u32,
    /// Hardware type (`ARPHRD_…`).
    pub arphrd: u16,
    /// Maximum transmission unit in bytes.
    pub mtu: u32,
    /// Counters at the time of the last message about this interface; read fresh ones with
    /// [`crate::host::counters::link_counters`].
    pub counters: LinkCounters,
}

impl Link {
    /// Whether anything but the counters differs.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        let Self {
            index,
            name,
            kind,
            mac,
            master,
            lower,
            peer_namespace,
            up,
            carrier,
            carrier_losses,
            arphrd,
            mtu,
            counters: _,
        } = self;
        (index, name, kind, mac) != (&other.index, &other.name, &other.kind, &other.mac)
            || (master, lower, peer_namespace) != (&other.master, &other.lower, &other.peer_namespace)
            || (up, arphrd, mtu) != (&other.up, &other.arphrd, &other.mtu)
            || (carrier, carrier_losses) != (&other.carrier, &other.carrier_losses)
    }

    /// Whether a device of the same index, described by `now`, is another device, although no message said
    /// that this one went away. A device never changes its kind; after messages were lost (`after_loss`) a
    /// new name, a new hardware address or counters that fell are taken for a new device too: attaching
    /// again where it was not needed is harmless, not attaching is blindness.
    #[must_use]
    pub fn is_replaced_by(&self, now: &Self, after_loss: bool) -> bool {
        let same_kind = std::mem::discriminant(&self.kind) == std::mem::discriminant(&now.kind);
        let fell = now.counters.rx_packets < self.counters.rx_packets
            || now.counters.tx_packets < self.counters.tx_packets;
        !same_kind || (after_loss && (self.name != now.name || self.mac != now.mac || fell))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn veth(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.into(),
            kind: LinkKind::Veth,
            mac: Some([2, 0, 0, 0, 0, index as u8]),
            master: None,
            lower: None,
            peer_namespace: None,
            up: true,
            carrier: true,
            carrier_losses: 0,
            arphrd: 1,
            mtu: 1500,
            counters: LinkCounters::default(),
        }
    }

    pub(crate) fn bridge(index: u32, name: &str) -> Link {
        Link { kind: LinkKind::Bridge, ..veth(index, name) }
    }

    #[test]
    fn counters_alone_are_no_difference() {
        let before = veth(2, "v");
        let after = Link { counters: LinkCounters { rx_packets: 9, ..Default::default() }, ..before.clone() };
        assert!(!before.differs(&after));
        assert!(before.differs(&Link { mtu: 9000, ..before.clone() }));
        assert!(before.differs(&Link { name: "w".into(), ..before.clone() }));
        assert!(before.differs(&Link { carrier_losses: 1, ..before.clone() }));
    }

    #[test]
    fn another_kind_is_another_device_even_without_a_goodbye() {
        assert!(veth(2, "v").is_replaced_by(&bridge(2, "v"), false));
        assert!(!veth(2, "v").is_replaced_by(&veth(2, "renamed"), false), "a rename keeps the device");
    }

    #[test]
    fn a_vxlan_device_may_change_its_parameters() {
        let vxlan =
            |vni| Link { kind: LinkKind::Vxlan(Vxlan { vni, ..Default::default() }), ..veth(2, "vx") };
        assert!(!vxlan(1).is_replaced_by(&vxlan(2), false));
    }

    #[test]
    fn after_a_loss_a_doubtful_device_is_taken_for_a_new_one() {
        let before = Link { counters: LinkCounters { rx_packets: 9, ..Default::default() }, ..veth(2, "v") };
        assert!(!before.is_replaced_by(&before, true));
        assert!(before.is_replaced_by(&Link { name: "w".into(), ..before.clone() }, true));
        assert!(before.is_replaced_by(&Link { mac: None, ..before.clone() }, true));
        assert!(before.is_replaced_by(&veth(2, "v"), true), "its counters fell");
    }
}
