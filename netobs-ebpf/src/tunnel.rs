//! A packet of a tunnel → the packet inside it, for whose flow it counts from here on. One level: what is inside
//! of that is payload.

use netobs_common::{
    hook::Hook,
    interface::Interface,
    parse::{self, Fragment},
    tunnel::Encapsulation,
};

use crate::{classify, fragment, scratch::Scratch, skb::Skb};

/// Looks into the packet whose headers are in the scratch, if it is one of a tunnel that ends on this host: others'
/// are their own business, and their inner addresses mean nothing here. Then the headers are those of the packet
/// inside, and the flow's key says what it was inside of.
///
/// `known` says whether the headers' ports are, before and after.
#[inline(always)]
pub(crate) fn enter(
    skb: &Skb<'_>,
    interface: &Interface,
    hook: Hook,
    forwarded: bool,
    scratch: &mut Scratch,
    known: bool,
) -> bool {
    scratch.flow_key.network_number = 0;
    scratch.flow_key.encapsulation = Encapsulation::NONE;
    let carried = interface.tunnels.carried(scratch.headers.proto, scratch.headers.ports.destination);
    if carried == Encapsulation::NONE {
        return known;
    }
    let ours = if hook == Hook::EGRESS {
        !forwarded
    } else {
        classify::is_hosts(interface.segment, &scratch.headers, &mut scratch.party_keys)
    };
    if !ours {
        return known;
    }
    scratch.outer.source = scratch.headers.source;
    scratch.outer.destination = scratch.headers.destination;
    scratch.outer.ports = scratch.headers.ports;
    if scratch.headers.fragment == Fragment::LATER {
        return later(scratch, known);
    }
    let Ok(number) = parse::inner(skb, carried, &scratch.headers, &mut scratch.inner) else { return known };
    let inner_known = fragment::ports(
        interface,
        hook,
        &mut scratch.inner,
        &mut scratch.fragment_key,
        &mut scratch.datagram,
    );
    if scratch.headers.fragment == Fragment::FIRST {
        let datagram = &mut scratch.datagram;
        datagram.ports = scratch.outer.ports;
        datagram.source = scratch.inner.source;
        datagram.destination = scratch.inner.destination;
        datagram.inner_ports = scratch.inner.ports;
        datagram.network_number = number;
        datagram.encapsulation = carried;
        datagram.network = scratch.inner.network;
        datagram.proto = scratch.inner.proto;
        datagram.fragment = u8::from(!inner_known);
        fragment::remember(interface, hook, &scratch.headers, &mut scratch.fragment_key, &scratch.datagram);
        scratch.inner.fragment = Fragment::FIRST;
    }
    // The tag is this hook's, whatever tag the inner frame has.
    scratch.inner.vlans = scratch.headers.vlans;
    scratch.headers = scratch.inner;
    scratch.flow_key.network_number = number;
    scratch.flow_key.encapsulation = carried;
    inner_known
}

/// A later fragment belongs to the flow that its datagram's first one carried.
#[inline(always)]
fn later(scratch: &mut Scratch, known: bool) -> bool {
    // The key is this packet's: it was looked up for its ports.
    let Some(datagram) = fragment::recall(&scratch.fragment_key) else { return known };
    if datagram.encapsulation == Encapsulation::NONE {
        return known;
    }
    let headers = &mut scratch.headers;
    headers.source = datagram.source;
    headers.destination = datagram.destination;
    headers.ports = datagram.inner_ports;
    headers.network = datagram.network;
    headers.proto = datagram.proto;
    scratch.flow_key.network_number = datagram.network_number;
    scratch.flow_key.encapsulation = datagram.encapsulation;
    datagram.fragment == 0
}
