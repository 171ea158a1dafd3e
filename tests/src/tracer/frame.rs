//! Bytes of a frame → who sends to whom, outside and inside an encapsulation, and how the payload begins. Pure; the
//! tracer's own, so that it errs otherwise than what it judges, if it errs.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The port of VXLAN (RFC 7348), and the one that Linux and Flannel use.
const VXLAN: [u16; 2] = [4_789, 8_472];

/// Sender, receiver and protocol of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// IP's number of the protocol.
    pub protocol: u8,
    /// The sender; an echo's identifier stands for the port.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
}

impl fmt::Display for Tuple {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} → {}", self.source, self.destination)
    }
}

/// A frame as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Of the encapsulation, and its network's number.
    pub outer: Option<(Tuple, u32)>,
    /// Of the packet itself.
    pub tuple: Tuple,
    /// What follows its last header.
    pub payload: Vec<u8>,
    /// Whether it is an echo request.
    pub is_echo_request: bool,
}

/// Reads a frame; `None` for what is neither TCP nor UDP nor an ICMP echo over IP, or is a later fragment.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Frame> {
    let plain = packet(bytes)?;
    let is_vxlan = plain.tuple.protocol == 17 && VXLAN.contains(&plain.tuple.destination.port());
    if let Some((head, inside)) = plain.payload.split_at_checked(8).filter(|_| is_vxlan) {
        let vni = u32::from_be_bytes([0, head[4], head[5], head[6]]);
        return Some(Frame { outer: Some((plain.tuple, vni)), ..packet(inside)? });
    }
    Some(plain)
}

fn packet(bytes: &[u8]) -> Option<Frame> {
    let (ethernet, packet) = bytes.split_at_checked(14)?;
    let (protocol, source, destination, rest) = match ethernet[12..] {
        [0x08, 0x00] => ipv4(packet)?,
        [0x86, 0xdd] => ipv6(packet)?,
        _ => return None,
    };
    let word = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let mut is_echo_request = false;
    let (source_port, destination_port, header) = match protocol {
        6 => (word(0)?, word(2)?, usize::from(rest.get(12)? >> 4) * 4),
        17 => (word(0)?, word(2)?, 8),
        1 | 58 => {
            is_echo_request = matches!(rest.first()?, 8 | 128);
            let is_echo = is_echo_request || matches!((protocol, rest[0]), (1, 0) | (58, 129));
            let identifier = word(4).filter(|_| is_echo)?;
            (identifier, identifier, 8)
        }
        _ => return None,
    };
    let tuple = Tuple {
        protocol,
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    };
    Some(Frame { outer: None, tuple, payload: rest.get(header..)?.to_vec(), is_echo_request })
}

fn ipv4(packet: &[u8]) -> Option<(u8, IpAddr, IpAddr, &[u8])> {
    let head = packet.first_chunk::<20>()?;
    let is_later_fragment = u16::from_be_bytes([head[6], head[7]]) & 0x1fff != 0;
    let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]).into();
    let rest = packet.get(usize::from(head[0] & 0x0f) * 4..).filter(|_| !is_later_fragment)?;
    Some((head[9], address(12), address(16), rest))
}

fn ipv6(packet: &[u8]) -> Option<(u8, IpAddr, IpAddr, &[u8])> {
    let (head, rest) = packet.split_at_checked(40)?;
    let address = |at: usize| Some(Ipv6Addr::from(*head[at..].first_chunk::<16>()?).into());
    Some((head[6], address(8)?, address(24)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UDP over IPv4 with this payload.
    fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat());
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn the_inside_of_an_encapsulation_is_the_packet_itself() {
        let mut inside = vec![0x08, 0, 0, 0, 0, 0, 100, 0];
        inside.extend(udp((7, 53), b"rr"));
        let frame = read(&udp((40_000, 4_789), &inside)).unwrap();
        let (outer, vni) = frame.outer.unwrap();
        assert_eq!((outer.source.port(), vni), (40_000, 100));
        assert_eq!(frame.tuple.to_string(), "10.0.0.1:7 → 10.0.0.2:53");
        assert_eq!(frame.payload, b"rr");
    }

    #[test]
    fn what_has_no_ports_is_not_read() {
        let mut later = udp((7, 53), b"");
        later[20] = 1;
        assert_eq!(read(&later), None);
        assert_eq!(read(&[0; 60]), None);
    }
}
