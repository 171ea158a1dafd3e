//! Values for tests.

use std::net::{IpAddr, SocketAddr};

use netobs_common::{
    endpoint::{EndpointId, Kind},
    wire::{Network, Proto},
};

use super::{
    table::{Directory, Owner},
    tuple::{Peer, Tuple},
};

/// `ADDRESS:PORT`.
pub(crate) fn peer(text: &str) -> Peer {
    let socket: SocketAddr = text.parse().unwrap();
    Peer { address: socket.ip(), port: socket.port() }
}

/// A tuple of a protocol.
pub(crate) fn tuple(proto: Proto, source: &str, destination: &str) -> Tuple {
    let (source, destination) = (peer(source), peer(destination));
    let network = if source.address.is_ipv4() { Network::IPV4 } else { Network::IPV6 };
    Tuple { source, destination, network, proto, fragment: false }
}

/// A TCP tuple.
pub(crate) fn tcp(source: &str, destination: &str) -> Tuple {
    tuple(Proto::TCP, source, destination)
}

/// Knows nobody but the host.
pub(crate) struct Nobody;

impl Directory for Nobody {
    fn is_on_parent(&self, _: EndpointId, _: Option<IpAddr>) -> bool {
        false
    }
    fn current(&self, endpoint: EndpointId) -> EndpointId {
        endpoint
    }
    fn holder(&self, _segment: u32, _address: IpAddr) -> Option<EndpointId> {
        None
    }
    fn kind(&self, endpoint: EndpointId) -> Kind {
        if endpoint == EndpointId::HOST { Kind::HOST } else { Kind::EXTERNAL }
    }
    fn is_ambiguous(&self, _address: IpAddr) -> bool {
        false
    }
    fn stack(&self, endpoint: EndpointId) -> EndpointId {
        endpoint
    }
    fn socket(&self, _cookie: u64) -> Option<Owner> {
        None
    }
    fn connection(&self, _proto: Proto, _local: Peer, _remote: Peer) -> Owner {
        Owner::Host
    }
}
