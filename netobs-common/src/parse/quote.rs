//! An ICMP error → the packet it quotes, and the size that the next hop takes where the packet was too big for it.

use super::{Fragment, Headers, ipv4, ipv6, transport};
use crate::{icmp_error::IcmpErrorType, packet::Packet, skip::Skip, wire::Network};

/// Type, code, checksum, and four bytes of which each type makes something else.
const HEADER: usize = 8;

/// Reads the quoted packet into `quoted`; the size, 0 where the error says none (RFC 1191, 4; RFC 4443, 3.2).
///
/// `error` are the headers of the error, already read, with [`Headers::icmp_error`]: they end where the quote begins.
/// A quote has the IP header and at least eight bytes of what follows (RFC 792); its header tells the length the packet
/// had, which is not held against what is there. The VLANs are left as they are: a quote has none.
///
/// # Errors
/// A quote that ends too early, contradicts itself, or is of a packet that the error's receiver did not send.
#[inline(always)]
pub fn quote(packet: &impl Packet, error: &Headers, quoted: &mut Headers) -> Result<u32, Skip> {
    *quoted = Headers::default();
    // Sixteen bits, which they fit: else the compiler cancels what is subtracted here against what is added below, and
    // the verifier does not know again what was checked.
    let message = usize::from(error.length.wrapping_sub(HEADER as u32) as u16);
    let [_, _, _, _, high, low, m1, m2] = packet.bytes::<HEADER>(message).ok_or(Skip::TRUNCATED)?;
    let at = message + HEADER;
    let (transport, _) = match error.network {
        Network::IPV4 => ipv4::header(packet, at, u32::MAX, quoted)?,
        _ => ipv6::header(packet, at, u32::MAX, quoted)?,
    };
    let mut differs = 0;
    for (one, other) in quoted.source.iter().zip(&error.destination) {
        differs |= one ^ other;
    }
    if differs != 0 {
        return Err(Skip::MALFORMED);
    }
    if quoted.fragment != Fragment::LATER {
        transport::quoted(packet, transport, quoted)?;
    }
    Ok(match (error.icmp_error(), error.network) {
        (IcmpErrorType::FRAGMENTATION_NEEDED, Network::IPV4) => u32::from(u16::from_be_bytes([m1, m2])),
        (IcmpErrorType::FRAGMENTATION_NEEDED, _) => u32::from_be_bytes([high, low, m1, m2]),
        _ => 0,
    })
}
