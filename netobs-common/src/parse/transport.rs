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
        Proto::ICMP if headers.network == Network::IPV4 => {
            control(packet, offset, headers, [icmp::ECHO_REQUEST, icmp::ECHO_REPLY])
        }
        Proto::ICMPV6 if headers.network == Network::IPV6 => {
            control(packet, offset, headers, [icmp::V6_ECHO_REQUEST, icmp::V6_ECHO_REPLY])
        }
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
    headers.ports = ports(packet, offset)?;
    // A first fragment of 8 bytes has the ports and nothing else.
    if headers.fragment == Fragment::FIRST && offset as u32 + 14 > end {
        headers.length += LEAST;
        return Ok(());
    }
    let [data_offset, flags] = packet.bytes(offset + 12).ok_or(Skip::TRUNCATED)?;
    let length = u32::from(data_offset >> 4) * 4;
    if length < 20 {
        return Err(Skip::MALFORMED);
    }
    headers.tcp = TcpFlags(flags);
    headers.length += length;
    Ok(())
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
