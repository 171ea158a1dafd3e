//! TCP, UDP, SCTP, ICMP → ports, or what stands for them, and the end of the headers.

use super::{Fragment, Headers};
use crate::{
    key::Ports,
    packet::Packet,
    skip::Skip,
    wire::{Network, Proto, TcpFlags, icmp},
};

/// What every transport has in the first fragment of a datagram: fragments are cut at multiples of eight bytes.
const LEAST: u32 = 8;

/// `end` is where the IP packet ends. Frames on a cable are padded to 60 bytes, and padding is no header.
#[inline(always)]
pub(super) fn read(packet: &impl Packet, offset: usize, end: u32, headers: &mut Headers) -> Result<(), Skip> {
    headers.length = offset as u32;
    if headers.fragment != Fragment::LATER {
        layer(packet, offset, end, headers)?;
    }
    // Not every byte of a header is read, nor is each read held against the end: this is said once.
    if headers.length <= end {
        return Ok(());
    }
    if headers.fragment == Fragment::FIRST && offset as u32 + LEAST <= end {
        // The rest of the header is in the next fragment.
        headers.length = end;
        return Ok(());
    }
    Err(Skip::TRUNCATED)
}

#[inline(always)]
fn layer(packet: &impl Packet, offset: usize, end: u32, headers: &mut Headers) -> Result<(), Skip> {
    match headers.proto {
        Proto::TCP => tcp(packet, offset, end, headers),
        Proto::UDP => {
            headers.ports = ports(packet, offset)?;
            headers.length += 8;
            Ok(())
        }
        Proto::SCTP => {
            headers.ports = ports(packet, offset)?;
            headers.length += 12;
            Ok(())
        }
        Proto::ICMP if headers.network == Network::IPV4 => control(packet, offset, headers, ECHO),
        Proto::ICMPV6 if headers.network == Network::IPV6 => {
            control(packet, offset, headers, V6_ECHO)?;
            discovery(packet, offset, headers)
        }
        _ => Ok(()),
    }
}

const ECHO: [u8; 2] = [icmp::ECHO_REQUEST, icmp::ECHO_REPLY];
const V6_ECHO: [u8; 2] = [icmp::V6_ECHO_REQUEST, icmp::V6_ECHO_REPLY];

/// The ports alone, of a packet of which no more than the first eight bytes may be there.
#[inline(always)]
pub(super) fn quoted(packet: &impl Packet, offset: usize, headers: &mut Headers) -> Result<(), Skip> {
    match headers.proto {
        Proto::TCP | Proto::UDP | Proto::SCTP => {
            headers.ports = ports(packet, offset)?;
            Ok(())
        }
        Proto::ICMP if headers.network == Network::IPV4 => control(packet, offset, headers, ECHO),
        Proto::ICMPV6 if headers.network == Network::IPV6 => control(packet, offset, headers, V6_ECHO),
        _ => Ok(()),
    }
}

#[inline(always)]
fn ports(packet: &impl Packet, offset: usize) -> Result<Ports, Skip> {
    let [s1, s2, d1, d2] = packet.bytes(offset).ok_or(Skip::TRUNCATED)?;
    Ok(Ports { source: u16::from_be_bytes([s1, s2]), destination: u16::from_be_bytes([d1, d2]) })
}

#[inline(always)]
fn tcp(packet: &impl Packet, offset: usize, end: u32, headers: &mut Headers) -> Result<(), Skip> {
    // A first fragment of 8 bytes has the ports and nothing else.
    if headers.fragment == Fragment::FIRST && offset as u32 + 16 > end {
        headers.ports = ports(packet, offset)?;
        headers.length += LEAST;
        return Ok(());
    }
    let [s1, s2, d1, d2, q1, q2, q3, q4, _, _, _, _, data_offset, flags, w1, w2] =
        packet.bytes(offset).ok_or(Skip::TRUNCATED)?;
    headers.ports = Ports { source: u16::from_be_bytes([s1, s2]), destination: u16::from_be_bytes([d1, d2]) };
    let length = u32::from(data_offset >> 4) * 4;
    if length < 20 {
        return Err(Skip::MALFORMED);
    }
    headers.tcp = TcpFlags(flags);
    headers.length += length;
    headers.segment.sequence = u32::from_be_bytes([q1, q2, q3, q4]);
    headers.segment.window = u16::from_be_bytes([w1, w2]);
    headers.segment.data = end.saturating_sub(headers.length);
    headers.segment.is_whole = u8::from(headers.fragment == Fragment::WHOLE);
    if length >= TIMESTAMPS_AT as u32 + 12 {
        timestamps(packet, offset + TIMESTAMPS_AT, headers);
    }
    Ok(())
}

/// The options of a connection that is open begin with two fillers and its timestamps (RFC 7323, appendix A; Linux
/// `tcp_options_write`): read there alone, for options in another order belong to a handshake.
const TIMESTAMPS_AT: usize = 20;
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

#[inline(always)]
fn timestamps(packet: &impl Packet, offset: usize, headers: &mut Headers) {
    let Some([a, b, c, d, v1, v2, v3, v4, e1, e2, e3, e4]) = packet.bytes(offset) else { return };
    if [a, b, c, d] == TIMESTAMPS {
        headers.segment.timestamp = u32::from_be_bytes([v1, v2, v3, v4]);
        headers.segment.echo = u32::from_be_bytes([e1, e2, e3, e4]);
        headers.segment.has_timestamps = 1;
    }
}

/// An echo is a flow whose port is the identifier; other messages are told apart by type and code.
#[inline(always)]
fn control(packet: &impl Packet, offset: usize, headers: &mut Headers, echo: [u8; 2]) -> Result<(), Skip> {
    let [kind, code, _, _] = packet.bytes(offset).ok_or(Skip::TRUNCATED)?;
    headers.length += 8;
    if echo.contains(&kind) {
        let identifier = u16::from_be_bytes(packet.bytes(offset + 4).ok_or(Skip::TRUNCATED)?);
        headers.ports = Ports { source: identifier, destination: identifier };
    } else {
        headers.ports = Ports { source: 0, destination: u16::from_be_bytes([kind, code]) };
    }
    Ok(())
}

/// A neighbour solicitation and its advertisement (RFC 4861, 4.3 and 4.4) → a flow from the asker to the asked address, as
/// ARP's is: the target takes the place of the group that is asked, and of the address that the answer is sent from. In
/// fragments, which nobody takes (RFC 6980), it is told apart by type and code like any other message.
#[inline(always)]
fn discovery(packet: &impl Packet, offset: usize, headers: &mut Headers) -> Result<(), Skip> {
    let asks = headers.ports.destination == icmp::ASKS_FOR_NEIGHBOUR;
    let answers = headers.ports.destination == u16::from_be_bytes([icmp::V6_NEIGHBOUR_ADVERTISEMENT, 0]);
    if headers.ports.source != 0 || !(asks || answers) || headers.fragment != Fragment::WHOLE {
        return Ok(());
    }
    let target = packet.bytes(offset + 8).ok_or(Skip::TRUNCATED)?;
    headers.length += 16;
    if asks {
        headers.destination = target;
        headers.asks = 1;
    } else {
        headers.source = target;
        headers.ports = Ports { source: icmp::ASKS_FOR_NEIGHBOUR, destination: 0 };
    }
    Ok(())
}
