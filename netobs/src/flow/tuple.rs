//! Who sends to whom, by address and port: what a flow key says without the place where it was seen.

use std::net::{IpAddr, Ipv6Addr};

use netobs_common::{
    key::{Address, FlowKey},
    wire::{Network, Proto, Protocol},
};

/// An address with a port, or with what stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// IPv4 addresses as such, never mapped.
    pub address: IpAddr,
    /// As in [`FlowKey`].
    pub port: u16,
}

impl Peer {
    /// From the form of the kernel's tables.
    #[must_use]
    pub fn new(address: Address, port: u16) -> Self {
        Self { address: Ipv6Addr::from(address).to_canonical(), port }
    }
}

/// One direction of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// The sender.
    pub source: Peer,
    /// The receiver.
    pub destination: Peer,
    /// ARP, IPv4 or IPv6.
    pub network: Network,
    /// IP protocol number.
    pub proto: Proto,
    /// Later fragments of an unknown datagram: no ports.
    pub fragment: bool,
}

impl Tuple {
    /// The tuple of a sighting.
    #[must_use]
    pub fn of(key: &FlowKey) -> Self {
        Self {
            source: Peer::new(key.source, key.source_port),
            destination: Peer::new(key.destination, key.destination_port),
            network: key.network,
            proto: key.proto,
            fragment: key.fragment != 0,
        }
    }

    /// The other direction.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }

    /// The same for both directions.
    #[must_use]
    pub fn normalized(self) -> Self {
        if self.source <= self.destination { self } else { self.reversed() }
    }

    /// The sender as it is shown.
    #[must_use]
    pub const fn source_shown(&self) -> Peer {
        self.shown(self.source)
    }

    /// The receiver as it is shown.
    #[must_use]
    pub const fn destination_shown(&self) -> Peer {
        self.shown(self.destination)
    }

    /// An echo's identifier stands for a port on both sides; type and code of other messages, which the key
    /// holds in the port's place, are none.
    const fn shown(&self, peer: Peer) -> Peer {
        let control = matches!(self.protocol(), Protocol::ICMP | Protocol::ICMPV6);
        if control && self.source.port != self.destination.port { Peer { port: 0, ..peer } } else { peer }
    }

    /// The protocol by the closed set of the metrics.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        Protocol::of(self.network, self.proto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::made_up::tcp;

    #[test]
    fn both_directions_have_one_normal_form() {
        let there = tcp("10.0.0.2:40000", "10.0.0.3:80");
        assert_ne!(there, there.reversed());
        assert_eq!(there.normalized(), there.reversed().normalized());
        assert_eq!(there.reversed().reversed(), there);
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let key = FlowKey { source: netobs_common::parse::mapped([192, 0, 2, 1]), ..FlowKey::default() };
        assert_eq!(Tuple::of(&key).source.address.to_string(), "192.0.2.1");
    }
}
