//! Routing netlink messages → facts. Pure: bytes in, plain values out.
//!
//! Attributes are decoded one by one and only those that are wanted, so that a kernel which says something
//! new in another one does not make an interface invisible.

mod address;
mod link;
mod neighbour;
mod port;
mod route;
mod rule;

use netlink_packet_core::{NlaBuffer, NlasIterator};

use super::{
    facts::{
        Address, FdbEntry, FdbKey, Link, Neighbour, NeighbourState, Route,
        stack::{PortState, RoutingRule},
    },
    netlink::Message,
};

pub use self::{
    address::address,
    link::{link, stats},
    neighbour::neighbour,
    port::port,
    route::routes,
    rule::rule,
};

/// What one message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An interface is there, so.
    Link(Link),
    /// An interface is not there any more.
    LinkGone(u32),
    /// An address is there.
    Address(Address),
    /// An address is not there any more.
    AddressGone(Address),
    /// A neighbour is known, so.
    Neighbour(Neighbour),
    /// A neighbour is not known any more.
    NeighbourGone(Neighbour),
    /// A forwarding entry is there.
    Fdb(FdbEntry),
    /// A forwarding entry is not there any more.
    FdbGone(FdbKey),
    /// A route appeared or went: the tables are to be read again.
    RoutesTouched,
    /// An identifier was given to a namespace or taken from it.
    NamespacesTouched,
    /// Nothing of interest here.
    Nothing,
}

impl Change {
    /// The index of the interface this is about, if it is about one and not about an entry on it.
    #[must_use]
    pub const fn link_index(&self) -> Option<u32> {
        match self {
            Self::Link(link) => Some(link.index),
            Self::LinkGone(index) => Some(*index),
            _ => None,
        }
    }
}

/// The message cannot be read: it is shorter than its fixed part or lacks what every such message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What one notification says.
///
/// # Errors
/// The message cannot be read.
pub fn change(message: Message<'_>) -> Result<Change, Malformed> {
    let payload = message.payload;
    Ok(match message.kind {
        libc::RTM_NEWLINK => link(payload)?.map_or(Change::Nothing, Change::Link),
        libc::RTM_DELLINK => link::gone(payload)?.map_or(Change::Nothing, Change::LinkGone),
        libc::RTM_NEWADDR => Change::Address(address(payload)?),
        libc::RTM_DELADDR => Change::AddressGone(address(payload)?),
        libc::RTM_NEWNEIGH => match neighbour(payload)? {
            // Broadcast, multicast and loopback destinations: nobody to resolve, and the kernel makes such
            // entries without announcing them.
            neighbour::Entry::Neighbour(entry) if entry.state == NeighbourState::NoArp => {
                Change::NeighbourGone(entry)
            }
            neighbour::Entry::Neighbour(entry) => Change::Neighbour(entry),
            neighbour::Entry::Fdb(entry) => Change::Fdb(entry),
            neighbour::Entry::Other => Change::Nothing,
        },
        libc::RTM_DELNEIGH => match neighbour(payload)? {
            neighbour::Entry::Neighbour(entry) => Change::NeighbourGone(entry),
            neighbour::Entry::Fdb(entry) => Change::FdbGone(entry.key()),
            neighbour::Entry::Other => Change::Nothing,
        },
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => Change::RoutesTouched,
        libc::RTM_NEWNSID | libc::RTM_DELNSID => Change::NamespacesTouched,
        _ => Change::Nothing,
    })
}

/// An interface of a link dump.
///
/// # Errors
/// The message cannot be read.
pub fn dumped_link(message: Message<'_>) -> Result<Option<Link>, Malformed> {
    if message.kind == libc::RTM_NEWLINK { link(message.payload) } else { Ok(None) }
}

/// A port of a link dump.
///
/// # Errors
/// The message cannot be read.
pub fn dumped_port(message: Message<'_>) -> Result<Option<(u32, PortState)>, Malformed> {
    if message.kind == libc::RTM_NEWLINK { port(message.payload) } else { Ok(None) }
}

/// A rule of a dump of policy routing.
///
/// # Errors
/// The message cannot be read.
pub fn dumped_rule(message: Message<'_>) -> Result<Option<RoutingRule>, Malformed> {
    if message.kind == libc::RTM_NEWRULE { rule(message.payload) } else { Ok(None) }
}

/// An address of an address dump.
///
/// # Errors
/// The message cannot be read.
pub fn dumped_address(message: Message<'_>) -> Result<Option<Address>, Malformed> {
    if message.kind == libc::RTM_NEWADDR { address(message.payload).map(Some) } else { Ok(None) }
}

/// The next hops of one route of a route dump.
///
/// # Errors
/// The message cannot be read.
pub fn dumped_routes(message: Message<'_>) -> Result<Option<Vec<Route>>, Malformed> {
    if message.kind == libc::RTM_NEWROUTE { routes(message.payload).map(Some) } else { Ok(None) }
}

/// A neighbour or forwarding entry of a neighbour dump.
///
/// # Errors
/// The message cannot be read.
pub fn dumped_neighbour(message: Message<'_>) -> Result<Option<Change>, Malformed> {
    match change(message)? {
        entry @ (Change::Neighbour(_) | Change::Fdb(_)) => Ok(Some(entry)),
        _ => Ok(None),
    }
}

/// The attributes after a fixed part of `skip` bytes, as far as they can be told apart.
fn attributes(payload: &[u8], skip: usize) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(payload.get(skip..).unwrap_or_default()).map_while(Result::ok)
}

/// Six bytes as a hardware address. GRE and IPIP devices have an IP address there instead.
fn mac(bytes: &[u8]) -> Option<[u8; 6]> {
    bytes.try_into().ok()
}

/// The bytes up to the first zero, as text.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::RouteNetlinkMessage;
    use proptest::prelude::*;

    use super::super::netlink::messages;
    use super::*;

    /// The bytes the crate that also encodes would send for a message.
    pub(super) fn encoded(message: RouteNetlinkMessage) -> Vec<u8> {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    pub(super) fn decoded(message: RouteNetlinkMessage) -> Result<Change, Malformed> {
        let bytes = encoded(message);
        change(messages(&bytes).next().unwrap())
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(
            kind in prop_oneof![16u16..20, 20u16..32, 88u16..92, proptest::num::u16::ANY],
            payload in proptest::collection::vec(proptest::num::u8::ANY, 0..512),
        ) {
            let message = Message { kind, flags: 0, sequence: 0, payload: &payload };
            let decoded = change(message);
            prop_assert!(payload.len() >= 8 || !matches!(decoded, Ok(Change::Link(_) | Change::Address(_))));
            prop_assert_eq!(dumped_routes(message).is_err(), kind == libc::RTM_NEWROUTE && routes(&payload).is_err());
        }

        #[test]
        fn a_cut_link_message_never_invents_an_interface(cut in 0usize..200) {
            let bytes = link::tests::sample();
            let payload = bytes.get(16..).unwrap();
            let cut = payload.get(..cut.min(payload.len())).unwrap();
            if let Ok(Some(found)) = link(cut) {
                prop_assert_eq!(found.index, 7);
                prop_assert_eq!(found.name, "vx0");
            }
        }
    }
}
