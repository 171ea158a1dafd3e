//! What follows the outer headers of a tunnel → where the inner packet starts, what it is, and the network's number.

use super::{Fragment, Headers, link};
use crate::{
    interface::LinkLayer,
    packet::Packet,
    skip::Skip,
    tunnel::Encapsulation,
    wire::{EtherType, Proto},
};

/// VXLAN: flags, of which this one says that there is a network identifier (RFC 7348, 5).
const VXLAN_VNI: u8 = 0x08;
const VXLAN: usize = 8;
/// Geneve without options (RFC 8926, 3.4).
const GENEVE: usize = 8;
/// GRE: flags for checksum, key and sequence number (RFC 2784, RFC 2890), four bytes each.
const GRE: usize = 4;
const GRE_CHECKSUM: u8 = 0x80;
const GRE_KEY: u8 = 0x20;
const GRE_SEQUENCE: u8 = 0x10;
/// What says in Geneve and GRE that an Ethernet frame follows (RFC 7637).
const ETHERNET_FOLLOWS: EtherType = EtherType(0x6558);

/// Reads the packet inside; the number of its network: VNI, or GRE's key, else 0. One level: what is inside the
/// inner packet is its payload.
///
/// `outer` are the headers around it, already read.
///
/// # Errors
/// Why there is no packet inside that could be read; the outer one is then a packet like any other.
#[inline(always)]
pub fn inner(
    packet: &impl Packet,
    encapsulation: Encapsulation,
    outer: &Headers,
    inner: &mut Headers,
) -> Result<u32, Skip> {
    *inner = Headers::default();
    // The first fragment of a datagram has the headers, and an inner packet that is longer than it.
    let limit = if outer.fragment == Fragment::WHOLE { packet.length() } else { u32::MAX };
    let at = outer.length as usize;
    let (ether_type, at, number) = match encapsulation {
        Encapsulation::VXLAN => {
            let vxlan: [u8; VXLAN] = packet.bytes(at).ok_or(Skip::TRUNCATED)?;
            if vxlan[0] & VXLAN_VNI == 0 {
                return Err(Skip::MALFORMED);
            }
            (ETHERNET_FOLLOWS, at + VXLAN, u32::from_be_bytes([0, vxlan[4], vxlan[5], vxlan[6]]))
        }
        Encapsulation::GENEVE => {
            let geneve: [u8; GENEVE] = packet.bytes(at).ok_or(Skip::TRUNCATED)?;
            if geneve[0] >> 6 != 0 {
                return Err(Skip::MALFORMED);
            }
            let options = usize::from(geneve[0] & 0x3f) * 4;
            let number = u32::from_be_bytes([0, geneve[4], geneve[5], geneve[6]]);
            (EtherType(u16::from_be_bytes([geneve[2], geneve[3]])), at + GENEVE + options, number)
        }
        Encapsulation::GRE => gre(packet, at)?,
        Encapsulation::IPIP if outer.proto == Proto::IPIP => (EtherType::IPV4, at, 0),
        Encapsulation::IPIP => (EtherType::IPV6, at, 0),
        _ => return Err(Skip::NOT_IP),
    };
    let (ether_type, at) = if ether_type == ETHERNET_FOLLOWS {
        link::read(packet, at, LinkLayer::ETHERNET, None, inner)?
    } else {
        (ether_type, at)
    };
    super::network(packet, ether_type, at, limit, inner)?;
    Ok(number)
}

#[inline(always)]
fn gre(packet: &impl Packet, at: usize) -> Result<(EtherType, usize, u32), Skip> {
    let gre: [u8; GRE] = packet.bytes(at).ok_or(Skip::TRUNCATED)?;
    // Version 1 is PPTP's (RFC 2637).
    if gre[1] & 7 != 0 {
        return Err(Skip::MALFORMED);
    }
    let mut end = at + GRE;
    if gre[0] & GRE_CHECKSUM != 0 {
        end += 4;
    }
    let mut key = 0;
    if gre[0] & GRE_KEY != 0 {
        key = u32::from_be_bytes(packet.bytes(end).ok_or(Skip::TRUNCATED)?);
        end += 4;
    }
    if gre[0] & GRE_SEQUENCE != 0 {
        end += 4;
    }
    Ok((EtherType(u16::from_be_bytes([gre[2], gre[3]])), end, key))
}
