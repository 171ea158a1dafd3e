//! Conditions of iptables, as net/netfilter/xt_*.c of Linux 6.18 judge them. Pure.

use std::net::IpAddr;

use super::{
    super::{
        AddressTypes, Addresses, Connection, Device, Hook, Interface, Match, PacketState, Physdev, Port,
        Ports, TcpFlags,
    },
    Look,
};

/// Both hold.
pub(super) fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    both(one.map(|one| !one), other.map(|other| !other)).map(|neither| !neither)
}

fn all(conditions: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    conditions.into_iter().fold(Some(true), both)
}

fn in_ports(ports: Ports, port: Option<u16>) -> Option<bool> {
    if ports.is_any() {
        return Some(true);
    }
    port.map(|port| (ports.first <= port && port <= ports.last) != ports.inverted)
}

impl Look<'_, '_> {
    pub(super) fn incoming(&self) -> Option<&Device> {
        const NONE: &Device = &Device { name: String::new(), index: None };
        if self.at.hook == Hook::Output { Some(NONE) } else { self.now().packet.incoming.as_ref() }
    }

    pub(super) fn outgoing(&self) -> Option<&Device> {
        const NONE: &Device = &Device { name: String::new(), index: None };
        if matches!(self.at.hook, Hook::Prerouting | Hook::Input) {
            Some(NONE)
        } else {
            self.now().packet.outgoing.as_ref()
        }
    }

    fn source_port(&self) -> Option<u16> {
        self.now().packet.source_port
    }

    fn destination_port(&self) -> Option<u16> {
        self.now().destination().and_then(|(_, port)| port)
    }

    pub(super) fn matches(&self, one: &Match) -> Option<bool> {
        let packet = &self.now().packet;
        match one {
            Match::Tcp { source, destination, flags, option } => all([
                in_ports(*source, self.source_port()),
                in_ports(*destination, self.destination_port()),
                flags.map_or(Some(true), |flags| self.flags(flags)),
                if option.is_some() { None } else { Some(true) },
            ]),
            Match::Udp { source, destination } => {
                both(in_ports(*source, self.source_port()), in_ports(*destination, self.destination_port()))
            }
            Match::Icmp { kind, codes, inverted, ipv6 } => {
                let any = !ipv6 && *kind == u8::MAX;
                let found = match packet.icmp {
                    _ if any => Some(true),
                    Some((found, code)) => Some(found == *kind && codes.0 <= code && code <= codes.1),
                    None => None,
                };
                found.map(|found| found != *inverted)
            }
            Match::Multiport { source, destination, ports, inverted } => {
                let among = |port: Option<u16>| {
                    port.map(|port| ports.iter().any(|(first, last)| *first <= port && port <= *last))
                };
                let side = |asked: bool, port| if asked { among(port) } else { Some(false) };
                let found =
                    either(side(*source, self.source_port()), side(*destination, self.destination_port()));
                found.map(|found| found != *inverted)
            }
            Match::Connection(connection) => self.tracked(*connection),
            Match::Comment => Some(true),
            Match::Mark { value, mask, inverted } => {
                self.now().mark.is(*value, *mask).map(|is| is != *inverted)
            }
            Match::ConnectionMark { value, mask, inverted } => {
                self.now().connection_mark.is(*value, *mask).map(|is| is != *inverted)
            }
            Match::AddressTypes(types) => self.address_types(*types),
            Match::Physdev(physdev) => self.physdev(physdev),
            Match::AddressRange { source, destination } => {
                let within = |range: &Option<Addresses>, address: Option<IpAddr>| match range {
                    Some(range) => address
                        .map(|address| (range.first <= address && address <= range.last) != range.inverted),
                    None => Some(true),
                };
                let here = self.now().destination().map(|(address, _)| address);
                both(within(source, Some(packet.source)), within(destination, here))
            }
            Match::Random { of_two_to_31, inverted } => match of_two_to_31 {
                0 => Some(*inverted),
                0x8000_0000.. => Some(!inverted),
                _ => None,
            },
            Match::Set { .. } | Match::Nth { .. } | Match::Limit { .. } | Match::Other { .. } => None,
        }
    }

    fn flags(&self, flags: TcpFlags) -> Option<bool> {
        let is = super::bits::equal(&[self.now().packet.flags().masked(flags.mask, 0)], &[flags.set]);
        is.map(|is| is != flags.inverted)
    }

    fn tracked(&self, looked_at: Connection) -> Option<bool> {
        const SOURCE_TRANSLATED: u16 = 1 << 6;
        const TRANSLATED: u16 = 1 << 7;
        let packet = &self.now().packet;
        let state = self.at.state(self.now())?;
        let bit: u16 = match state {
            PacketState::Invalid => 1,
            PacketState::Established => 2,
            PacketState::Related => 4,
            PacketState::New => 8,
            PacketState::Untracked => 1 << 8,
        };
        let has_connection = !matches!(state, PacketState::Invalid | PacketState::Untracked);
        let translated = match (self.now().translated, packet.original.is_some()) {
            (None, _) => None,
            (_, true) => Some(true),
            // An answer does not say where it was first sent to.
            (_, false) => (!packet.reply).then_some(false),
        };
        let states = match looked_at.states {
            Some((mask, inverted)) => {
                let by_destination = if mask & TRANSLATED != 0 { translated } else { Some(false) };
                // Another source is given last of all, and nothing here tells of it.
                let by_source = if mask & SOURCE_TRANSLATED != 0 { None } else { Some(false) };
                let virtually = if has_connection { either(by_destination, by_source) } else { Some(false) };
                either(Some(mask & bit != 0), virtually).map(|is| is != inverted)
            }
            None => Some(true),
        };
        if !has_connection {
            return both(states, Some(looked_at.states.is_some()));
        }
        let status = looked_at.status.map_or(Some(true), |(mask, inverted)| {
            // Of the connection's status only what a translation leaves is told.
            const DNAT: u16 = 1 << 5;
            let is = if mask == DNAT { translated } else { translated.filter(|is| mask & DNAT != 0 && *is) };
            is.map(|is| is != inverted)
        });
        let direction = looked_at.original.map_or(Some(true), |original| Some(packet.reply != original));
        all([states, status, direction, if looked_at.more { None } else { Some(true) }])
    }

    fn address_types(&self, types: AddressTypes) -> Option<bool> {
        let packet = &self.now().packet;
        let here = self.now().destination().and_then(|_| packet.kind_of(true));
        let is = |(mask, inverted): (u16, bool), kind: Option<super::super::AddressKind>| {
            if mask == 0 {
                return Some(true);
            }
            if types.of_interface.is_some() {
                return None;
            }
            kind.map(|kind| (u32::from(mask) & 1 << kind.number() != 0) != inverted)
        };
        both(is(types.source, packet.kind_of(false)), is(types.destination, here))
    }

    /// xt_physdev.c: a packet that is not bridged matches nothing but the absence of what is asked.
    fn physdev(&self, physdev: &Physdev) -> Option<bool> {
        let packet = &self.now().packet;
        // Where it leaves by is not known to the kernel before it is routed, nor where it came in by if it is made here.
        let incoming = if self.at.hook == Hook::Output { &Port::None } else { &packet.incoming_port };
        let before = matches!(self.at.hook, Hook::Prerouting | Hook::Input);
        let outgoing = if before { &Port::None } else { &packet.outgoing_port };
        let is_there = |port: &Port| match port {
            Port::Unknown => None,
            Port::None => Some(false),
            Port::Named(_) => Some(true),
        };
        let named = |wanted: &Option<Interface>, port: &Port| {
            let Some(wanted) = wanted else { return Some(true) };
            let is = match port {
                Port::Unknown => return None,
                Port::None => false,
                Port::Named(name) if wanted.prefix => name.starts_with(&wanted.name),
                Port::Named(name) => *name == wanted.name,
            };
            Some(is != wanted.inverted)
        };
        let is = |wanted: Option<bool>, found: Option<bool>| match wanted {
            Some(wanted) => found.map(|found| found == wanted),
            None => Some(true),
        };
        // Of a packet that came in by a port, and leaves by none, no port it leaves by can be looked at.
        if physdev.outgoing.is_some() && *outgoing == Port::None && is_there(incoming) == Some(true) {
            return Some(false);
        }
        all([
            named(&physdev.incoming, incoming),
            named(&physdev.outgoing, outgoing),
            is(physdev.bridged, both(is_there(incoming), is_there(outgoing))),
            is(physdev.is_in, is_there(incoming)),
            is(physdev.is_out, is_there(outgoing)),
        ])
    }
}
