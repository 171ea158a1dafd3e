//! Values for tests.

use std::net::SocketAddr;

use netobs_common::wire::{Network, Proto};

use super::tuple::{Peer, Tuple};

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
