//! `RTM_NEWADDR` and `RTM_DELADDR` → an address.

use std::net::IpAddr;

use netlink_packet_core::Parseable;
use netlink_packet_route::address::{AddressAttribute, AddressHeader, AddressScope as Scope};

use super::{
    super::facts::{Address, AddressScope},
    Malformed, attributes,
};

/// Size of `struct ifaddrmsg`.
const FIXED: usize = 8;

/// The address a message is about.
///
/// # Errors
/// Too short, or without an address.
pub fn address(payload: &[u8]) -> Result<Address, Malformed> {
    let header = AddressHeader::parse(payload).map_err(|_| Malformed)?;
    let (mut local, mut other, mut broadcast) = (None, None, None);
    for attribute in attributes(payload, FIXED) {
        match AddressAttribute::parse(&attribute) {
            Ok(AddressAttribute::Local(found)) => local = Some(found),
            Ok(AddressAttribute::Address(found)) => other = Some(found),
            Ok(AddressAttribute::Broadcast(found)) => broadcast = Some(IpAddr::from(found)),
            _ => {}
        }
    }
    // IFA_LOCAL is the own address and IFA_ADDRESS the peer's, the same one without a peer; IPv6 without a
    // peer has IFA_ADDRESS only (if_addr.h).
    let address = local.or(other).ok_or(Malformed)?;
    Ok(Address {
        link: header.index,
        address,
        prefix: header.prefix_len,
        scope: scope(header.scope),
        peer: other.filter(|other| *other != address),
        broadcast,
    })
}

fn scope(scope: Scope) -> AddressScope {
    match scope {
        Scope::Universe => AddressScope::Global,
        Scope::Site => AddressScope::Site,
        Scope::Link => AddressScope::Link,
        Scope::Host => AddressScope::Host,
        other => AddressScope::Other(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::{RouteNetlinkMessage, address::AddressMessage};

    use super::super::{Change, tests::decoded};
    use super::*;

    fn found(attributes: Vec<AddressAttribute>) -> Result<Change, Malformed> {
        let mut message = AddressMessage::default();
        message.header.index = 3;
        message.header.prefix_len = 24;
        message.attributes = attributes;
        decoded(RouteNetlinkMessage::NewAddress(message))
    }

    #[test]
    fn the_local_address_is_the_own_one_and_the_other_the_peer() {
        let own: IpAddr = "198.51.100.1".parse().unwrap();
        let peer: IpAddr = "198.51.100.2".parse().unwrap();
        let Ok(Change::Address(found)) =
            found(vec![AddressAttribute::Address(peer), AddressAttribute::Local(own)])
        else {
            panic!()
        };
        assert_eq!((found.link, found.address, found.peer, found.prefix), (3, own, Some(peer), 24));
    }

    #[test]
    fn an_address_of_its_own_has_no_peer() {
        let own: IpAddr = "198.51.100.1".parse().unwrap();
        let Ok(Change::Address(found)) = found(vec![
            AddressAttribute::Address(own),
            AddressAttribute::Local(own),
            AddressAttribute::Broadcast("198.51.100.255".parse().unwrap()),
        ]) else {
            panic!()
        };
        assert_eq!((found.peer, found.broadcast), (None, Some("198.51.100.255".parse().unwrap())));
    }

    #[test]
    fn ipv6_without_a_peer_has_one_attribute() {
        let own: IpAddr = "2001:db8::1".parse().unwrap();
        let Ok(Change::Address(found)) = found(vec![AddressAttribute::Address(own)]) else { panic!() };
        assert_eq!((found.address, found.peer), (own, None));
    }

    #[test]
    fn an_address_message_without_an_address_is_malformed() {
        assert_eq!(found(vec![]), Err(Malformed));
    }
}
