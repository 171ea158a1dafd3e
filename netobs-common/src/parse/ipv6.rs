//! IPv6 (RFC 8200) → addresses, fragment, and the transport behind at most eight extension headers.

use super::{Fragment, Headers, transport};
use crate::{
    packet::Packet,
    skip::Skip,
    wire::{Network, Proto},
};

const HEADER: usize = 40;

/// Extension headers that are followed; a longer chain leaves the flow without ports, under the number
/// of the header where the walk ended. A bound, because the verifier needs one.
pub(super) const MAX_EXTENSIONS: usize = 8;

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

/// The headers alone: where the transport starts, and where the packet ends.
#[inline(always)]
pub(super) fn header(
    packet: &impl Packet,
    offset: usize,
    limit: u32,
    headers: &mut Headers,
) -> Result<(usize, u32), Skip> {
    let ip: [u8; 8] = packet.bytes(offset).ok_or(Skip::TRUNCATED)?;
    headers.source = packet.bytes(offset + 8).ok_or(Skip::TRUNCATED)?;
    headers.destination = packet.bytes(offset + 24).ok_or(Skip::TRUNCATED)?;
    if ip[0] >> 4 != 6 {
        return Err(Skip::MALFORMED);
    }
    // 0: a jumbogram (RFC 2675), or larger than 64 KiB and made by the kernel itself (BIG TCP).
    let payload = u32::from(u16::from_be_bytes([ip[4], ip[5]]));
    let end = if payload == 0 { packet.length() } else { (offset + HEADER) as u32 + payload };
    if end > limit {
        return Err(Skip::MALFORMED);
    }
    headers.network = Network::IPV6;
    headers.proto = Proto(ip[6]);
    headers.hop_limit = ip[7];

    let mut at = offset + HEADER;
    for _ in 0..MAX_EXTENSIONS {
        match extension(packet, at, headers)? {
            Some(length) => at += length,
            None => break,
        }
    }
    Ok((at, end))
}

/// Steps over one extension header; its length, or `None` where the chain ends.
#[inline(always)]
fn extension(packet: &impl Packet, at: usize, headers: &mut Headers) -> Result<Option<usize>, Skip> {
    // Later fragments start in the middle of what follows.
    if headers.fragment == Fragment::LATER {
        return Ok(None);
    }
    let length = match headers.proto {
        Proto::HOP_BY_HOP | Proto::ROUTING | Proto::DESTINATION_OPTIONS | Proto::MOBILITY => {
            let [next, units] = packet.bytes(at).ok_or(Skip::TRUNCATED)?;
            headers.proto = Proto(next);
            (usize::from(units) + 1) * 8
        }
        Proto::AUTHENTICATION => {
            let [next, units] = packet.bytes(at).ok_or(Skip::TRUNCATED)?;
            headers.proto = Proto(next);
            (usize::from(units) + 2) * 4
        }
        Proto::FRAGMENT => {
            let fragment: [u8; 8] = packet.bytes(at).ok_or(Skip::TRUNCATED)?;
            headers.proto = Proto(fragment[0]);
            let word = u16::from_be_bytes([fragment[2], fragment[3]]);
            // Offset 0 without "more" is an atomic fragment (RFC 6946): the whole datagram.
            if word & 0xfff9 != 0 {
                headers.identification =
                    u32::from_be_bytes([fragment[4], fragment[5], fragment[6], fragment[7]]);
                headers.fragment = if word & 0xfff8 == 0 { Fragment::FIRST } else { Fragment::LATER };
            }
            8
        }
        _ => return Ok(None),
    };
    Ok(Some(length))
}
