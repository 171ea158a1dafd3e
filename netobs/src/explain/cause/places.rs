//! A dropped packet → where it was asked about, in the kernel's order, and what it was like there: on this host, or in an
//! endpoint's own stack. Pure.
//!
//! A rule of a hook before the translation sees other addresses than the kernel tells of a packet that was dropped
//! behind it; those are asked with what the conversation was opened to, and with an unknown destination where that is
//! not known.

use std::net::IpAddr;

use netobs_common::wire::Proto;

use super::Case;
use crate::{
    host::facts::{
        Link, LinkKind,
        firewall::{AddressKind, Device, Hook, Layer, Packet, PacketState, Port},
        stack::Way,
    },
    report::{DropRow, EvidenceKind, HookName, HopDirection, Nat, ProtocolName, RoleName},
};

/// Where a packet that was dropped was asked about.
pub(super) struct Seen {
    /// In order, with the packet as it was there.
    pub(super) places: Vec<(Layer, Hook, Packet)>,
    /// Whether it is switched within one bridge.
    pub(super) bridged: bool,
}

impl Seen {
    fn of(packet: &Packet, hooks: &[Hook]) -> Self {
        let place = |hook: &Hook| (Layer::Network, *hook, packet.clone());
        Self { places: hooks.iter().map(place).collect(), bridged: false }
    }
}

/// The packet where an endpoint's own stack dropped it.
pub(super) fn within(case: &Case<'_>, drop: &DropRow) -> Seen {
    let side = if case.is_of_answer(drop) { &case.asked.destination } else { &case.asked.source };
    let of_sender = side.endpoint(&case.report.endpoints).map(|one| &one.id) == drop.inside.as_ref();
    let mut packet = packet(case, drop);
    if of_sender {
        packet.source_kind = Some(AddressKind::Local);
        return Seen::of(&packet, &[Hook::Output, Hook::Postrouting]);
    }
    packet.destination_kind = Some(AddressKind::Local);
    // What the host translated is no translation in there.
    (packet.original, packet.original_known) = (None, true);
    with_devices(Seen::of(&packet, &[Hook::Prerouting, Hook::Input]), &packet, &packet, (true, false))
}

/// The packet where the host dropped it; `of_underlay` where it carries others to another node.
pub(super) fn on_host(case: &Case<'_>, drop: &DropRow, of_underlay: bool) -> Seen {
    let host = case.stacks.host;
    let mut packet = if of_underlay { carrier(drop) } else { packet(case, drop) };
    let (source, destination) = (drop.source.address, drop.destination.address);
    let [own_source, own_destination] = [source, destination].map(|address| host.facts.is_local(address));
    let kind = |address: IpAddr, own: bool| match own {
        true => Some(AddressKind::Local),
        false if is_group(address) => None,
        false => Some(AddressKind::Unicast),
    };
    (packet.source_kind, packet.destination_kind) =
        (kind(source, own_source), kind(destination, own_destination));
    let leaves_by = |iif: Option<&str>| {
        let way = Way { source: Some(source), destination, iif };
        host.route(way).and_then(|route| host.facts.links.get(&route.link?))
    };
    let came_in = drop.last_hop.as_ref().is_some_and(|hop| hop.hook == HookName::Ingress);
    if own_source && (of_underlay || !came_in) {
        let link = leaves_by(None);
        packet.outgoing = link.map(device);
        let seen = Seen::of(&packet, &[Hook::Output, Hook::Postrouting]);
        let mut seen = with_bridges(seen, &packet, (None, link));
        if own_destination {
            packet.incoming = Some(Device::named("lo"));
            let inward = Seen::of(&packet, &[Hook::Prerouting, Hook::Input]);
            seen.places.extend(inward.places);
        }
        return with_devices(seen, &packet, &packet, (false, true));
    }
    let (from, to) = match case.is_of_answer(drop) && !of_underlay {
        true => (case.exit(), case.entry()),
        false => (case.entry(), case.exit()),
    };
    let from = from.filter(|_| !of_underlay);
    let seen = drop.last_hop.as_ref().and_then(|hop| host.facts.link_named(&hop.interface));
    let came = from.map(|(own, bridge)| bridge.unwrap_or(own)).or(seen);
    packet.incoming = came.map(device);
    packet.incoming_port = port(from);
    let before = before_translation(case, drop, &packet);
    if own_destination || is_group(destination) {
        let mut seen = Seen::of(&packet, &[Hook::Prerouting, Hook::Input]);
        before_is(&mut seen, &before);
        let seen = with_bridges(seen, &before, (came, None));
        return with_devices(seen, &before, &packet, (true, false));
    }
    let hooks = [Hook::Prerouting, Hook::Forward, Hook::Postrouting];
    // What the host routes back to the bridge it came by was seen at the bridge itself.
    let is_routed = drop.last_hop.as_ref().is_some_and(|hop| hop.role == RoleName::Bridge)
        || case.flow.is_some_and(|flow| flow.nat != Nat::None);
    if let (Some((_, Some(one))), Some((_, Some(other)))) = (from, to)
        && one.index == other.index
        && !is_routed
    {
        packet.outgoing = Some(device(one));
        packet.outgoing_port = port(to);
        return with_devices(bridged(case, &packet), &packet, &packet, (true, true));
    }
    let leaves = leaves_by(came.map(|link| link.name.as_str()));
    packet.outgoing = leaves.map(device);
    let mut seen = Seen::of(&packet, &hooks);
    before_is(&mut seen, &before);
    let seen = with_bridges(seen, &before, (came, leaves));
    with_devices(seen, &before, &packet, (true, true))
}

/// Within one bridge: its own rules, and those for routed packets where the kernel was told to ask them
/// (Documentation/networking/ip-sysctl.rst, bridge-nf-call-iptables).
fn bridged(case: &Case<'_>, packet: &Packet) -> Seen {
    let setting = match packet.destination.is_ipv6() {
        true => "net.bridge.bridge-nf-call-ip6tables",
        false => "net.bridge.bridge-nf-call-iptables",
    };
    let as_routed = case.stacks.host.sysctl(setting) == Some(1);
    let mut places = Vec::new();
    for hook in [Hook::Prerouting, Hook::Forward, Hook::Postrouting] {
        places.push((Layer::Bridge, hook, packet.clone()));
        if as_routed {
            places.push((Layer::Network, hook, packet.clone()));
        }
    }
    Seen { places, bridged: true }
}

/// Puts the packet in the place of the one at hooks before the translation.
fn before_is(seen: &mut Seen, before: &Packet) {
    for (_, hook, packet) in &mut seen.places {
        if *hook == Hook::Prerouting {
            packet.clone_from(before);
        }
    }
}

/// A packet that is routed passes rules of the bridges it comes in and leaves by as well.
fn with_bridges(seen: Seen, before: &Packet, (came, leaves): (Option<&Link>, Option<&Link>)) -> Seen {
    let is_bridge = |link: Option<&Link>| link.is_some_and(|link| link.kind == LinkKind::Bridge);
    let mut places = Vec::new();
    if is_bridge(came) {
        let none = Packet { outgoing_port: Port::None, ..before.clone() };
        places.push((Layer::Bridge, Hook::Prerouting, none.clone()));
        places.push((Layer::Bridge, Hook::Input, none));
    }
    let last = seen.places.last().map(|(.., packet)| packet.clone());
    places.extend(seen.places);
    if let Some(packet) = last.filter(|_| is_bridge(leaves)) {
        let out = Packet { incoming_port: Port::None, outgoing_port: Port::Unknown, ..packet };
        places.push((Layer::Bridge, Hook::Output, out.clone()));
        places.push((Layer::Bridge, Hook::Postrouting, out));
    }
    Seen { places, ..seen }
}

/// Chains of single interfaces come first of all, and last.
fn with_devices(mut seen: Seen, before: &Packet, after: &Packet, (comes, leaves): (bool, bool)) -> Seen {
    if comes {
        seen.places.insert(0, (Layer::Device, Hook::Prerouting, before.clone()));
    }
    if leaves {
        seen.places.push((Layer::Device, Hook::Postrouting, after.clone()));
    }
    seen
}

fn device(link: &Link) -> Device {
    Device { name: link.name.clone(), index: Some(link.index) }
}

fn port(side: Option<(&Link, Option<&Link>)>) -> Port {
    match side {
        Some((own, Some(_))) => Port::Named(own.name.clone()),
        Some((_, None)) => Port::None,
        None => Port::Unknown,
    }
}

const fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// The packet as the kernel tells of it, with where its conversation was opened to.
fn packet(case: &Case<'_>, drop: &DropRow) -> Packet {
    let protocol = match drop.protocol {
        ProtocolName::Tcp => Some(Proto::TCP.0),
        ProtocolName::Udp => Some(Proto::UDP.0),
        ProtocolName::Sctp => Some(Proto::SCTP.0),
        ProtocolName::Icmp => Some(Proto::ICMP.0),
        ProtocolName::Icmpv6 => Some(Proto::ICMPV6.0),
        _ => None,
    };
    let known = |port: u16| (port != 0).then_some(port);
    let reply = case.is_of_answer(drop);
    let both = [EvidenceKind::Handshake, EvidenceKind::SynAck, EvidenceKind::ReplyPacket];
    let answered = reply || both.iter().any(|kind| case.evidence(*kind).is_some());
    let opened_to = opened_to(case, drop);
    let here = (drop.destination.address, known(drop.destination.port));
    Packet {
        reply,
        protocol,
        state: if answered { PacketState::Established } else { PacketState::New },
        source_port: known(drop.source.port),
        destination_port: known(drop.destination.port),
        original: opened_to.filter(|opened| *opened != here),
        original_known: opened_to.is_some(),
        ..Packet::new(drop.source.address, drop.destination.address, 0)
    }
}

/// What carries others goes to one port from many, in each direction: conntrack sees no answer to it.
fn carrier(drop: &DropRow) -> Packet {
    Packet {
        state: PacketState::New,
        destination_port: Some(drop.destination.port),
        ..Packet::new(drop.source.address, drop.destination.address, Proto::UDP.0)
    }
}

/// Where the conversation was opened to, if that is known: by its translation, or as it came in.
fn opened_to(case: &Case<'_>, drop: &DropRow) -> Option<(IpAddr, Option<u16>)> {
    if case.is_of_answer(drop) {
        return None;
    }
    let flow = case.flow?;
    if let Some(original) = &flow.original_destination {
        return Some((original.address, (original.port != 0).then_some(original.port)));
    }
    let first = flow.hops.iter().find(|hop| hop.direction == HopDirection::Forward)?;
    let port = (drop.destination.port != 0).then_some(drop.destination.port);
    let is_it = address_of(&first.destination)? == drop.destination.address;
    is_it.then_some((drop.destination.address, port))
}

/// Of `10.0.0.2:80`, `[fd00::2]:80`, or the address alone.
fn address_of(text: &str) -> Option<IpAddr> {
    text.parse::<std::net::SocketAddr>().map(|one| one.ip()).ok().or_else(|| text.parse().ok())
}

/// The packet before its destination was translated; of an answer, before its connection's translation was undone.
fn before_translation(case: &Case<'_>, drop: &DropRow, packet: &Packet) -> Packet {
    let mut before = Packet { original: None, ..packet.clone() };
    let translated = case.flow.is_none_or(|flow| flow.nat != Nat::None);
    match (packet.original, case.is_of_answer(drop)) {
        (Some((address, port)), _) => {
            (before.destination, before.destination_port) = (address, port);
            before.destination_kind = None;
        }
        (None, true) => before.destination_known = !translated,
        (None, false) => before.destination_known = packet.original_known,
    }
    before
}
