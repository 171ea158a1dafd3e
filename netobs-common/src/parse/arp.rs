//! Address resolution (RFC 826) → a flow from the asker to the asked address.

use super::{Headers, mapped};
use crate::{packet::Packet, skip::Skip, wire::Network};

/// Ethernet hardware (6 bytes), IPv4 protocol (4 bytes): the only form in use.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u8 = 1;

#[inline(always)]
pub(super) fn read(packet: &impl Packet, offset: usize, headers: &mut Headers) -> Result<(), Skip> {
    let message: [u8; 28] = packet.bytes(offset).ok_or(Skip::TRUNCATED)?;
    let [h1, h2, p1, p2, hardware, protocol, ..] = message;
    if [h1, h2, p1, p2, hardware, protocol] != ETHERNET_IPV4 {
        return Err(Skip::MALFORMED);
    }
    headers.network = Network::ARP;
    headers.source = mapped([message[14], message[15], message[16], message[17]]);
    headers.destination = mapped([message[24], message[25], message[26], message[27]]);
    headers.asks = u8::from(message[6] == 0 && message[7] == REQUEST);
    headers.length = offset as u32 + 28;
    Ok(())
}
