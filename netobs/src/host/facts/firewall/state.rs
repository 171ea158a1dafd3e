//! What of a packet changes on its way through the rules: marks, and where it is for. Pure.

use std::{net::IpAddr, rc::Rc};

use super::{
    NatRange, Packet, PacketState,
    bits::{Bits, Word},
    step::payload,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) packet: Rc<Packet>,
    /// Whether the destination of `packet` is the only one possible.
    pub(super) destination_known: bool,
    pub(super) mark: Word,
    pub(super) connection_mark: Word,
    /// Whether its destination has been translated at this hook.
    pub(super) translated: Option<bool>,
    /// Whether conntrack was told to leave it alone.
    pub(super) untracked: Option<bool>,
}

impl State {
    pub(super) fn of(packet: &Packet) -> Self {
        let connection_mark = match (packet.connection_mark, packet.state) {
            (Some(mark), _) => Word::partly(mark.value, mark.known),
            (None, PacketState::New) => Word::of(0),
            (None, _) => Word::UNKNOWN,
        };
        Self {
            packet: Rc::new(packet.clone()),
            destination_known: packet.destination_known,
            mark: Word::partly(packet.mark.value, packet.mark.known),
            connection_mark,
            translated: packet.original_known.then_some(false),
            untracked: Some(packet.state == PacketState::Untracked),
        }
    }

    /// What holds either way.
    pub(super) fn merge(self, other: &Self) -> Self {
        let destination_known =
            self.destination_known && other.destination_known && self.packet == other.packet;
        Self {
            destination_known,
            mark: self.mark.merge(other.mark),
            connection_mark: self.connection_mark.merge(other.connection_mark),
            translated: if self.translated == other.translated { self.translated } else { None },
            untracked: if self.untracked == other.untracked { self.untracked } else { None },
            packet: self.packet,
        }
    }

    /// As the next hook is given it; whether all of it can be said.
    pub(super) fn packet(&self) -> (Packet, bool) {
        let mut packet = (*self.packet).clone();
        packet.mark = self.mark.told();
        packet.connection_mark = Some(self.connection_mark.told());
        packet.destination_known = self.destination_known;
        if self.untracked == Some(true) {
            packet.state = PacketState::Untracked;
        }
        (packet, self.untracked.is_some())
    }

    /// With another destination; where there are several, none of them is known.
    pub(super) fn translated_to(&self, targets: &[NatRange]) -> Self {
        let mut packet = (*self.packet).clone();
        packet.original = packet.original.or(Some((packet.destination, packet.destination_port)));
        let one = match targets {
            [NatRange { addresses: Some(addresses), ports, .. }] if addresses.first == addresses.last => {
                let port = match ports {
                    Some(ports) if ports.first == ports.last => Some(ports.first),
                    Some(_) => None,
                    None => packet.destination_port,
                };
                Some((addresses.first, port))
            }
            _ => None,
        };
        if let Some((address, port)) = one {
            packet.destination = address;
            packet.destination_port = port;
        }
        // What it is to this host is no longer known.
        packet.destination_kind = None;
        Self {
            packet: Rc::new(packet),
            destination_known: self.destination_known && one.is_some(),
            translated: Some(true),
            ..self.clone()
        }
    }

    pub(super) fn destination(&self) -> Option<(IpAddr, Option<u16>)> {
        self.destination_known.then_some((self.packet.destination, self.packet.destination_port))
    }

    /// Bytes of a header, without a destination that is not known.
    pub(super) fn bytes(&self, base: u32, offset: u32, length: u32) -> Vec<Bits> {
        let mut bytes = self.packet.bytes(base, offset, length);
        if !self.destination_known {
            let unknown = match (base, self.packet.is_ipv6()) {
                (payload::NETWORK, false) => 16..20,
                (payload::NETWORK, true) => 24..40,
                (payload::TRANSPORT, _) => 2..4,
                _ => 0..0,
            };
            for (at, bits) in (offset..).zip(&mut bytes) {
                if unknown.contains(&at) {
                    *bits = Bits::UNKNOWN;
                }
            }
        }
        bytes
    }
}
