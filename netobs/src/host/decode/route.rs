//! `RTM_NEWROUTE` → the next hops of a route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::{
    AddressFamily,
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType, RouteVia},
};

use super::{
    super::facts::{Route, RouteKind},
    Malformed,
};

/// One route for each next hop; none for a cached clone or a family that is not IP.
///
/// # Errors
/// The message cannot be decoded, or its prefix is longer than the address.
pub fn routes(payload: &[u8]) -> Result<Vec<Route>, Malformed> {
    // Slices inside the crate start after the fixed part.
    if payload.len() < 12 {
        return Err(Malformed);
    }
    let message = RouteMessage::parse(payload).map_err(|_| Malformed)?;
    let header = &message.header;
    let any: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return Ok(Vec::new()),
    };
    if header.flags.contains(RouteFlags::Cloned) {
        return Ok(Vec::new());
    }
    let mut destination = any;
    let mut route = Route {
        table: header.table.into(),
        destination: any.into(),
        metric: 0,
        link: None,
        gateway: None,
        preferred_source: None,
        kind: kind(header.kind),
    };
    let mut hops: &[_] = &[];
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address).unwrap_or(any),
            RouteAttribute::Gateway(address) => route.gateway = ip(address),
            RouteAttribute::Via(address) => route.gateway = via(address),
            RouteAttribute::PrefSource(address) => route.preferred_source = ip(address),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Oif(index) => route.link = Some(*index),
            // The header holds 8 bits of it only.
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::MultiPath(found) => hops = found,
            _ => {}
        }
    }
    route.destination = IpNet::new(destination, header.destination_prefix_length).map_err(|_| Malformed)?;
    if hops.is_empty() {
        return Ok(vec![route]);
    }
    Ok(hops
        .iter()
        .map(|hop| {
            let gateway = hop.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Gateway(address) => ip(address),
                RouteAttribute::Via(address) => via(address),
                _ => None,
            });
            Route { link: Some(hop.interface_index), gateway, ..route.clone() }
        })
        .collect())
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn via(address: &RouteVia) -> Option<IpAddr> {
    match address {
        RouteVia::Inet(address) => Some((*address).into()),
        RouteVia::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn kind(kind: RouteType) -> RouteKind {
    match kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::Broadcast => RouteKind::Broadcast,
        RouteType::Anycast => RouteKind::Anycast,
        RouteType::Multicast => RouteKind::Multicast,
        RouteType::BlackHole => RouteKind::Blackhole,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::Throw => RouteKind::Throw,
        other => RouteKind::Other(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use netlink_packet_route::route::RouteNextHop;

    use super::super::super::facts::table;
    use super::*;

    fn message(family: AddressFamily, prefix: u8, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.destination_prefix_length = prefix;
        message.header.table = 254;
        message.header.kind = RouteType::Unicast;
        message.attributes = attributes;
        message
    }

    fn found(message: &RouteMessage) -> Result<Vec<Route>, Malformed> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        routes(&bytes)
    }

    fn v4(text: &str) -> RouteAddress {
        RouteAddress::Inet(text.parse().unwrap())
    }

    #[test]
    fn a_default_route_has_no_destination_attribute() {
        let attributes = vec![RouteAttribute::Gateway(v4("198.51.100.1")), RouteAttribute::Oif(2)];
        let routes = found(&message(AddressFamily::Inet, 0, attributes)).unwrap();
        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].destination, "0.0.0.0/0".parse().unwrap());
        assert_eq!((routes[0].table, routes[0].link, routes[0].metric), (table::MAIN, Some(2), 0));
        assert_eq!(routes[0].gateway, Some("198.51.100.1".parse().unwrap()));
        assert_eq!(
            found(&message(AddressFamily::Inet6, 0, vec![])).unwrap()[0].destination,
            "::/0".parse().unwrap()
        );
    }

    #[test]
    fn each_next_hop_of_a_multipath_route_is_a_route() {
        let hop = |index, gateway: &str| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = index;
            hop.attributes = vec![RouteAttribute::Gateway(v4(gateway))];
            hop
        };
        let hops = RouteAttribute::MultiPath(vec![hop(2, "198.51.100.1"), hop(3, "203.0.113.1")]);
        let routes =
            found(&message(AddressFamily::Inet, 0, vec![hops, RouteAttribute::Priority(50)])).unwrap();
        let hops: Vec<_> = routes.iter().map(|route| (route.link, route.metric, route.gateway)).collect();
        assert_eq!(
            hops,
            [
                (Some(2), 50, Some("198.51.100.1".parse().unwrap())),
                (Some(3), 50, Some("203.0.113.1".parse().unwrap()))
            ]
        );
    }

    #[test]
    fn a_large_table_number_comes_from_its_attribute() {
        let routes = found(&message(
            AddressFamily::Inet,
            24,
            vec![RouteAttribute::Destination(v4("203.0.113.0")), RouteAttribute::Table(1000)],
        ))
        .unwrap();
        assert_eq!((routes[0].table, routes[0].destination), (1000, "203.0.113.0/24".parse().unwrap()));
    }

    #[test]
    fn a_gateway_of_the_other_family_is_a_gateway() {
        let via = RouteVia::Inet6("fe80::1".parse().unwrap());
        let routes = found(&message(AddressFamily::Inet, 0, vec![RouteAttribute::Via(via)])).unwrap();
        assert_eq!(routes[0].gateway, Some("fe80::1".parse().unwrap()));
    }

    #[test]
    fn cached_clones_are_no_routes() {
        let mut clone = message(AddressFamily::Inet6, 0, vec![]);
        clone.header.flags = RouteFlags::Cloned;
        assert_eq!(found(&clone), Ok(vec![]));
    }

    #[test]
    fn a_prefix_longer_than_the_address_is_malformed() {
        assert_eq!(found(&message(AddressFamily::Inet, 33, vec![])), Err(Malformed));
    }
}
