//! Encapsulations that are looked into, and where: what the collector tells the kernel side of an interface, and
//! what the kernel side tells back of a packet.

use crate::{
    key::{Address, Ports},
    wire::Proto,
};

/// How a packet is carried inside another one. Any byte is valid; unknown ones mean [`Encapsulation::NONE`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Encapsulation(pub u8);

impl Encapsulation {
    /// Not at all.
    pub const NONE: Self = Self(0);
    /// VXLAN (RFC 7348).
    pub const VXLAN: Self = Self(1);
    /// Geneve (RFC 8926).
    pub const GENEVE: Self = Self(2);
    /// GRE (RFC 2784, RFC 2890), with an Ethernet frame or an IP packet inside.
    pub const GRE: Self = Self(3);
    /// IP in IP, any of IPv4 and IPv6 in any of them (RFC 2003, RFC 4213, RFC 2473).
    pub const IPIP: Self = Self(4);
    /// WireGuard: encrypted, so nobody looks into it here.
    pub const WIREGUARD: Self = Self(5);

    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VXLAN => "vxlan",
            Self::GENEVE => "geneve",
            Self::GRE => "gre",
            Self::IPIP => "ipip",
            Self::WIREGUARD => "wireguard",
            _ => "none",
        }
    }
}

/// Ports of VXLAN that one interface can look into.
pub const VXLAN_PORTS: usize = 4;

/// What is looked into at an interface. 0 is no port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnels {
    /// UDP ports of VXLAN.
    pub vxlan: [u16; VXLAN_PORTS],
    /// UDP port of Geneve.
    pub geneve: u16,
    /// 1 if packets are looked into here at all.
    pub enabled: u8,
    /// 1 at a device that encapsulates, if what comes out of it was looked into where it came in.
    pub repeats: u8,
}

const _: () = assert!(size_of::<Tunnels>() == 2 * VXLAN_PORTS + 2 + 1 + 1);

impl Tunnels {
    /// What a packet carries, by its protocol and destination port.
    #[must_use]
    #[inline(always)]
    pub const fn carried(&self, proto: Proto, port: u16) -> Encapsulation {
        if self.enabled == 0 {
            return Encapsulation::NONE;
        }
        match proto {
            Proto::UDP if port == 0 => Encapsulation::NONE,
            Proto::UDP if port == self.vxlan[0] || port == self.vxlan[1] => Encapsulation::VXLAN,
            Proto::UDP if port == self.vxlan[2] || port == self.vxlan[3] => Encapsulation::VXLAN,
            Proto::UDP if port == self.geneve => Encapsulation::GENEVE,
            Proto::GRE => Encapsulation::GRE,
            Proto::IPIP | Proto::IPV6 => Encapsulation::IPIP,
            _ => Encapsulation::NONE,
        }
    }
}

/// The packet around the one whose addresses are in the flow's key; all zero where there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outer {
    /// Its sender.
    pub source: Address,
    /// Its receiver.
    pub destination: Address,
    /// Its ports, zero where it has none.
    pub ports: Ports,
}

const _: () = assert!(size_of::<Outer>() == 16 + 16 + 4);

#[cfg(test)]
mod tests {
    use super::*;

    const UPLINK: Tunnels = Tunnels { vxlan: [4789, 8472, 0, 0], geneve: 6081, enabled: 1, repeats: 0 };

    #[test]
    fn ports_and_protocols_tell_what_is_carried() {
        let carried = |proto, port| UPLINK.carried(proto, port);
        assert_eq!(carried(Proto::UDP, 8472), Encapsulation::VXLAN);
        assert_eq!(carried(Proto::UDP, 6081), Encapsulation::GENEVE);
        assert_eq!(carried(Proto::GRE, 0), Encapsulation::GRE);
        assert_eq!(carried(Proto::IPV6, 0), Encapsulation::IPIP);
        assert_eq!(carried(Proto::UDP, 53), Encapsulation::NONE);
        assert_eq!(carried(Proto::TCP, 4789), Encapsulation::NONE);
    }

    #[test]
    fn an_unused_place_is_no_port_and_other_interfaces_look_into_nothing() {
        assert_eq!(UPLINK.carried(Proto::UDP, 0), Encapsulation::NONE);
        assert_eq!(Tunnels::default().carried(Proto::IPIP, 0), Encapsulation::NONE);
    }
}
