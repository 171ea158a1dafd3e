//! Ethernet, 802.1Q and 802.1ad, or nothing at all → what follows, and where.

use super::Headers;
use crate::{interface::LinkLayer, packet::Packet, skip::Skip, wire::EtherType};

const ETHERNET: usize = 14;
const TAG: usize = 4;
const VLAN_ID: u16 = 0x0fff;

/// `start` is where the frame begins.
#[inline(always)]
pub(super) fn read(
    packet: &impl Packet,
    start: usize,
    link_layer: LinkLayer,
    metadata_tag: Option<u16>,
    headers: &mut Headers,
) -> Result<(EtherType, usize), Skip> {
    if link_layer == LinkLayer::NONE {
        return Ok((by_version(packet, start)?, start));
    }
    let frame: [u8; ETHERNET] = packet.bytes(start).ok_or(Skip::TRUNCATED)?;
    headers.group_frame = frame[0] & 1;
    headers.source_mac = [frame[6], frame[7], frame[8], frame[9], frame[10], frame[11]];

    let mut tags = 0;
    if let Some(tag) = metadata_tag {
        headers.vlans[0] = tag & VLAN_ID;
        tags = 1;
    }
    let mut ether_type = EtherType(u16::from_be_bytes([frame[12], frame[13]]));
    let mut offset = start + ETHERNET;
    // Two rounds, written out: 5.10's verifier refuses a loop whose bound it cannot see.
    if is_tag(ether_type) {
        let next: [u8; TAG] = packet.bytes(offset).ok_or(Skip::TRUNCATED)?;
        headers.vlans[tags] = u16::from_be_bytes([next[0], next[1]]) & VLAN_ID;
        tags += 1;
        ether_type = EtherType(u16::from_be_bytes([next[2], next[3]]));
        offset += TAG;
    }
    if is_tag(ether_type) && tags < 2 {
        let next: [u8; TAG] = packet.bytes(offset).ok_or(Skip::TRUNCATED)?;
        headers.vlans[1] = u16::from_be_bytes([next[0], next[1]]) & VLAN_ID;
        ether_type = EtherType(u16::from_be_bytes([next[2], next[3]]));
        offset += TAG;
    }
    if is_tag(ether_type) { Err(Skip::TOO_MANY_TAGS) } else { Ok((ether_type, offset)) }
}

#[inline(always)]
const fn is_tag(ether_type: EtherType) -> bool {
    matches!(ether_type, EtherType::VLAN | EtherType::SERVICE_VLAN)
}

/// Without an Ethernet header the first four bits tell. Two bytes are read, because a comparison of the
/// packet's very start with its end proves nothing to the verifier (`find_good_pkt_pointers`, Linux 6.18).
#[inline(always)]
fn by_version(packet: &impl Packet, start: usize) -> Result<EtherType, Skip> {
    let [first, _] = packet.bytes(start).ok_or(Skip::TRUNCATED)?;
    match first >> 4 {
        4 => Ok(EtherType::IPV4),
        6 => Ok(EtherType::IPV6),
        _ => Err(Skip::NOT_IP),
    }
}
