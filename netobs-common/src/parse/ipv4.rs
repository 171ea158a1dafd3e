//! IPv4 (RFC 791) → addresses, fragment, and the transport behind the options.

use super::{Fragment, Headers, mapped, transport};
use crate::{
    packet::Packet,
    skip::Skip,
    wire::{Network, Proto},
};

const HEADER: usize = 20;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

#[inline(always)]
pub(super) fn read(
    packet: &impl Packet,
    offset: usize,
    limit: u32,
    headers: &mut Headers,
) -> Result<(), Skip> {
    let (at, end) = header(packet, offset, limit, headers)?;
    transport::read(packet, at, end, headers)
}

/// The header alone: where the transport starts, and where the packet ends.
#[inline(always)]
pub(super) fn header(
    packet: &impl Packet,
    offset: usize,
    limit: u32,
    headers: &mut Headers,
) -> Result<(usize, u32), Skip> {
    let ip: [u8; HEADER] = packet.bytes(offset).ok_or(Skip::TRUNCATED)?;
    let header = usize::from(ip[0] & 0x0f) * 4;
    if ip[0] >> 4 != 4 || header < HEADER {
        return Err(Skip::MALFORMED);
    }
    let total = u32::from(u16::from_be_bytes([ip[2], ip[3]]));
    // 0: larger than 64 KiB, made by the kernel itself (BIG TCP, Linux 6.3, net/ipv4/ip_output.c).
    let end = if total == 0 { packet.length() } else { offset as u32 + total };
    if end > limit || end < (offset + header) as u32 {
        return Err(Skip::MALFORMED);
    }
    headers.network = Network::IPV4;
    headers.hop_limit = ip[8];
    headers.proto = Proto(ip[9]);
    headers.source = mapped([ip[12], ip[13], ip[14], ip[15]]);
    headers.destination = mapped([ip[16], ip[17], ip[18], ip[19]]);

    let flags = u16::from_be_bytes([ip[6], ip[7]]);
    if flags & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0 {
        headers.identification = u32::from(u16::from_be_bytes([ip[4], ip[5]]));
        headers.fragment = if flags & FRAGMENT_OFFSET == 0 { Fragment::FIRST } else { Fragment::LATER };
    }
    Ok((offset + header, end))
}
