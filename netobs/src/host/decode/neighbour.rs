//! `RTM_NEWNEIGH` and `RTM_DELNEIGH` → a neighbour, or a forwarding entry of a bridge or VXLAN device.

use std::net::IpAddr;

use netlink_packet_core::ParseableParametrized;
use netlink_packet_route::{
    AddressFamily,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourHeader, NeighbourState as State,
    },
};

use super::{
    super::facts::{FdbEntry, Neighbour, NeighbourState},
    Malformed, attributes, mac,
};

/// Size of `struct ndmsg`.
const FIXED: usize = 12;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;

/// What an `ndmsg` describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A neighbour.
    Neighbour(Neighbour),
    /// A forwarding entry.
    Fdb(FdbEntry),
    /// A proxy entry, a card's receive filter, or an entry of a family not looked at.
    Other,
}

/// What a message describes.
///
/// # Errors
/// Too short, or without the address it is about.
pub fn neighbour(payload: &[u8]) -> Result<Entry, Malformed> {
    let header = NeighbourHeader::parse(payload).map_err(|_| Malformed)?;
    let mut found = Attributes::default();
    for attribute in attributes(payload, FIXED) {
        match NeighbourAttribute::parse_with_param(&attribute, header.family) {
            Ok(NeighbourAttribute::Destination(address)) => found.address = ip(&address),
            Ok(NeighbourAttribute::LinkLayerAddress(bytes)) => found.mac = mac(&bytes),
            Ok(NeighbourAttribute::Vlan(vlan)) => found.vlan = Some(vlan),
            Ok(NeighbourAttribute::Controller(index)) => found.bridge = Some(index),
            _ => {}
        }
    }
    match header.family {
        AddressFamily::Bridge => {
            let entry = fdb(&header, &found)?;
            // Without a remote, a device's own table is what it listens to: extra and multicast addresses,
            // of which nothing follows and whose changes the kernel does not announce.
            Ok(if entry.own_table && entry.remote.is_none() { Entry::Other } else { Entry::Fdb(entry) })
        }
        AddressFamily::Inet | AddressFamily::Inet6 if !header.flags.contains(NeighbourFlags::Proxy) => {
            Ok(Entry::Neighbour(Neighbour {
                link: header.ifindex,
                address: found.address.ok_or(Malformed)?,
                mac: found.mac,
                state: state(header.state),
            }))
        }
        _ => Ok(Entry::Other),
    }
}

#[derive(Default)]
struct Attributes {
    address: Option<IpAddr>,
    mac: Option<[u8; 6]>,
    vlan: Option<u16>,
    bridge: Option<u32>,
}

fn fdb(header: &NeighbourHeader, found: &Attributes) -> Result<FdbEntry, Malformed> {
    let state = u16::from(header.state);
    let own_table = header.flags.contains(NeighbourFlags::Own);
    Ok(FdbEntry {
        link: header.ifindex,
        mac: found.mac.ok_or(Malformed)?,
        vlan: found.vlan,
        remote: found.address,
        bridge: found.bridge,
        own_table,
        // A bridge says NUD_PERMANENT for the addresses of its ports and NUD_NOARP for configured ones
        // (br_fdb.c, fdb_to_nud); a device's own table has no such notion.
        is_local: !own_table && state & NUD_PERMANENT != 0,
        permanent: state & (NUD_PERMANENT | NUD_NOARP) != 0,
    })
}

fn ip(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some((*address).into()),
        NeighbourAddress::Inet6(address) => Some((*address).into()),
        // The outer destination of a VXLAN entry: the family says bridge, the length which it is.
        NeighbourAddress::Other(bytes) => {
            let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from)).ok()
        }
        _ => None,
    }
}

fn state(state: State) -> NeighbourState {
    match state {
        State::None => NeighbourState::None,
        State::Incomplete => NeighbourState::Incomplete,
        State::Reachable => NeighbourState::Reachable,
        State::Stale => NeighbourState::Stale,
        State::Delay => NeighbourState::Delay,
        State::Probe => NeighbourState::Probe,
        State::Failed => NeighbourState::Failed,
        State::Noarp => NeighbourState::NoArp,
        State::Permanent => NeighbourState::Permanent,
        other => NeighbourState::Other(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::{RouteNetlinkMessage, neighbour::NeighbourMessage};

    use super::super::{Change, tests::decoded};
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn message(family: AddressFamily, state: State, attributes: Vec<NeighbourAttribute>) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = family;
        message.header.ifindex = 4;
        message.header.state = state;
        message.attributes = attributes;
        message
    }

    fn lladdr() -> NeighbourAttribute {
        NeighbourAttribute::LinkLayerAddress(MAC.to_vec())
    }

    #[test]
    fn a_neighbour_has_an_address_and_perhaps_a_hardware_address() {
        let address = NeighbourAddress::Inet("198.51.100.9".parse().unwrap());
        let attributes = vec![NeighbourAttribute::Destination(address)];
        let failed = message(AddressFamily::Inet, State::Failed, attributes);
        assert_eq!(
            decoded(RouteNetlinkMessage::NewNeighbour(failed)),
            Ok(Change::Neighbour(Neighbour {
                link: 4,
                address: "198.51.100.9".parse().unwrap(),
                mac: None,
                state: NeighbourState::Failed
            }))
        );
    }

    #[test]
    fn a_learned_entry_of_a_bridge_is_neither_local_nor_permanent() {
        let entry = message(
            AddressFamily::Bridge,
            State::Reachable,
            vec![lladdr(), NeighbourAttribute::Controller(3), NeighbourAttribute::Vlan(10)],
        );
        let Ok(Change::Fdb(found)) = decoded(RouteNetlinkMessage::NewNeighbour(entry)) else { panic!() };
        assert_eq!((found.link, found.mac, found.bridge, found.vlan), (4, MAC, Some(3), Some(10)));
        assert!(!found.is_local && !found.permanent && !found.own_table);
    }

    #[test]
    fn a_port_s_own_address_is_local() {
        let entry = message(AddressFamily::Bridge, State::Permanent, vec![lladdr()]);
        let Ok(Change::Fdb(found)) = decoded(RouteNetlinkMessage::NewNeighbour(entry)) else { panic!() };
        assert!(found.is_local && found.permanent);
    }

    #[test]
    fn a_vxlan_entry_names_the_other_node() {
        for (bytes, remote) in [
            (vec![198, 51, 100, 2], "198.51.100.2"),
            ("2001:db8::2".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec(), "2001:db8::2"),
        ] {
            let destination = NeighbourAttribute::Destination(NeighbourAddress::Other(bytes));
            let mut entry = message(AddressFamily::Bridge, State::Permanent, vec![lladdr(), destination]);
            entry.header.flags = NeighbourFlags::Own;
            let Ok(Change::Fdb(found)) = decoded(RouteNetlinkMessage::NewNeighbour(entry.clone())) else {
                panic!()
            };
            assert_eq!(found.remote, Some(remote.parse().unwrap()));
            assert!(found.own_table && found.permanent && !found.is_local);
            assert_eq!(decoded(RouteNetlinkMessage::DelNeighbour(entry)), Ok(Change::FdbGone(found.key())));
        }
    }

    #[test]
    fn a_card_s_receive_filter_is_no_forwarding_entry() {
        let mut entry = message(AddressFamily::Bridge, State::Permanent, vec![lladdr()]);
        entry.header.flags = NeighbourFlags::Own;
        assert_eq!(decoded(RouteNetlinkMessage::NewNeighbour(entry)), Ok(Change::Nothing));
    }

    #[test]
    fn an_address_that_needs_no_asking_is_no_neighbour() {
        let address = NeighbourAddress::Inet("198.51.100.255".parse().unwrap());
        let attributes = vec![NeighbourAttribute::Destination(address)];
        let entry = message(AddressFamily::Inet, State::Noarp, attributes);
        let decoded = decoded(RouteNetlinkMessage::NewNeighbour(entry));
        assert!(matches!(decoded, Ok(Change::NeighbourGone(_))), "{decoded:?}");
    }

    #[test]
    fn proxy_entries_are_no_neighbours() {
        let address = NeighbourAddress::Inet("198.51.100.9".parse().unwrap());
        let mut proxy =
            message(AddressFamily::Inet, State::None, vec![NeighbourAttribute::Destination(address)]);
        proxy.header.flags = NeighbourFlags::Proxy;
        assert_eq!(decoded(RouteNetlinkMessage::NewNeighbour(proxy)), Ok(Change::Nothing));
    }

    #[test]
    fn an_entry_without_an_address_is_malformed() {
        let bare = |family| decoded(RouteNetlinkMessage::NewNeighbour(message(family, State::Stale, vec![])));
        assert_eq!(bare(AddressFamily::Inet6), Err(Malformed));
        assert_eq!(bare(AddressFamily::Bridge), Err(Malformed));
    }
}
