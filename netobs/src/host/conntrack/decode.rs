//! ctnetlink message → a connection. Pure: bytes in, plain values out.
//!
//! Written out and not taken from `netlink-packet-netfilter`, which leaves the number, the zone, the counters
//! and the ICMP fields undecoded and allocates some twenty times for each of up to 262,144 entries of a dump.

use std::net::IpAddr;

use netlink_packet_core::{NlaBuffer, NlasIterator};

use super::{
    super::netlink::Message,
    connection::{Connection, Count, Icmp, Status, Tuple},
};

/// `NFNL_SUBSYS_CTNETLINK`, the high byte of the message type.
const CTNETLINK: u16 = 1 << 8;
/// `IPCTNL_MSG_CT_NEW`.
const NEW: u16 = CTNETLINK;
/// `IPCTNL_MSG_CT_DELETE`.
const DELETE: u16 = CTNETLINK | 2;
/// Size of `struct nfgenmsg`.
const FIXED: usize = 4;
/// `NLM_F_EXCL | NLM_F_CREATE`: on a notification, that the connection is new.
const CREATED: u16 = 0x600;

/// `CTA_…` (`nfnetlink_conntrack.h`).
mod cta {
    pub(super) const TUPLE_ORIG: u16 = 1;
    pub(super) const TUPLE_REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const MARK: u16 = 8;
    pub(super) const COUNTERS_ORIG: u16 = 9;
    pub(super) const COUNTERS_REPLY: u16 = 10;
    pub(super) const ID: u16 = 12;
    pub(super) const ZONE: u16 = 18;

    pub(super) const TUPLE_IP: u16 = 1;
    pub(super) const TUPLE_PROTO: u16 = 2;
    pub(super) const TUPLE_ZONE: u16 = 3;

    pub(super) const IP_V4_SRC: u16 = 1;
    pub(super) const IP_V4_DST: u16 = 2;
    pub(super) const IP_V6_SRC: u16 = 3;
    pub(super) const IP_V6_DST: u16 = 4;

    pub(super) const PROTO_NUM: u16 = 1;
    pub(super) const PROTO_SRC_PORT: u16 = 2;
    pub(super) const PROTO_DST_PORT: u16 = 3;
    pub(super) const PROTO_ICMP_ID: u16 = 4;
    pub(super) const PROTO_ICMP_TYPE: u16 = 5;
    pub(super) const PROTO_ICMP_CODE: u16 = 6;
    pub(super) const PROTO_ICMPV6_ID: u16 = 7;
    pub(super) const PROTO_ICMPV6_TYPE: u16 = 8;
    pub(super) const PROTO_ICMPV6_CODE: u16 = 9;

    pub(super) const COUNTERS_PACKETS: u16 = 1;
    pub(super) const COUNTERS_BYTES: u16 = 2;
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A new connection.
    New(Connection),
    /// A known connection as it is now; every entry of a dump.
    Update(Connection),
    /// The end of a connection.
    Destroy(Connection),
}

/// The message cannot be read: cut short, or without its tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a message of the conntrack subsystem says; `None` for others.
///
/// # Errors
/// The message cannot be read.
pub fn decode(message: Message<'_>) -> Result<Option<Decoded>, Malformed> {
    match message.kind {
        NEW if message.flags & CREATED != 0 => connection(message.payload).map(Decoded::New).map(Some),
        NEW => connection(message.payload).map(Decoded::Update).map(Some),
        DELETE => connection(message.payload).map(Decoded::Destroy).map(Some),
        _ => Ok(None),
    }
}

fn connection(payload: &[u8]) -> Result<Connection, Malformed> {
    let (mut original, mut reply) = (None, None);
    let (mut id, mut zone, mut status, mut mark) = (0, None, 0, 0);
    let (mut original_count, mut reply_count) = (None, None);
    for attribute in attributes(payload.get(FIXED..).ok_or(Malformed)?) {
        let value = attribute.value();
        match attribute.kind() {
            cta::TUPLE_ORIG => original = Some(direction(value)?),
            cta::TUPLE_REPLY => reply = Some(direction(value)?),
            cta::STATUS => status = u32::from_be_bytes(bytes(value)?),
            cta::MARK => mark = u32::from_be_bytes(bytes(value)?),
            cta::COUNTERS_ORIG => original_count = Some(count(value)?),
            cta::COUNTERS_REPLY => reply_count = Some(count(value)?),
            cta::ID => id = u32::from_be_bytes(bytes(value)?),
            cta::ZONE => zone = Some(u16::from_be_bytes(bytes(value)?)),
            _ => {}
        }
    }
    let (original, reply) = (original.ok_or(Malformed)?, reply.ok_or(Malformed)?);
    Ok(Connection {
        id,
        // A zone of both directions is said of the connection, that of one within its tuple, and zone 0 not at all
        // (`ctnetlink_dump_zone_id`, net/netfilter/nf_conntrack_netlink.c, 6.18): the same in dumps and events.
        zone: zone.or(original.zone).unwrap_or_default(),
        reply_zone: zone.or(reply.zone).unwrap_or_default(),
        protocol: original.protocol,
        original: original.tuple,
        reply: reply.tuple,
        status: Status(status),
        mark,
        original_count,
        reply_count,
    })
}

struct Direction {
    tuple: Tuple,
    protocol: u8,
    zone: Option<u16>,
}

fn direction(value: &[u8]) -> Result<Direction, Malformed> {
    let (mut addresses, mut ports, mut zone) = (None, None, None);
    for attribute in attributes(value) {
        match attribute.kind() {
            cta::TUPLE_IP => addresses = Some(pair(attribute.value())?),
            cta::TUPLE_PROTO => ports = Some(protocol(attribute.value())?),
            cta::TUPLE_ZONE => zone = Some(u16::from_be_bytes(bytes(attribute.value())?)),
            _ => {}
        }
    }
    let (source, destination) = addresses.ok_or(Malformed)?;
    let ports = ports.ok_or(Malformed)?;
    let tuple = Tuple {
        source,
        source_port: ports.source,
        destination,
        destination_port: ports.destination,
        icmp: ports.icmp,
    };
    Ok(Direction { tuple, protocol: ports.protocol, zone })
}

fn pair(value: &[u8]) -> Result<(IpAddr, IpAddr), Malformed> {
    let (mut source, mut destination) = (None, None);
    for attribute in attributes(value) {
        let value = attribute.value();
        match attribute.kind() {
            cta::IP_V4_SRC => source = Some(IpAddr::from(bytes::<4>(value)?)),
            cta::IP_V4_DST => destination = Some(IpAddr::from(bytes::<4>(value)?)),
            cta::IP_V6_SRC => source = Some(IpAddr::from(bytes::<16>(value)?)),
            cta::IP_V6_DST => destination = Some(IpAddr::from(bytes::<16>(value)?)),
            _ => {}
        }
    }
    source.zip(destination).ok_or(Malformed)
}

#[derive(Default)]
struct Ports {
    protocol: u8,
    source: u16,
    destination: u16,
    icmp: Option<Icmp>,
}

fn protocol(value: &[u8]) -> Result<Ports, Malformed> {
    let mut ports = Ports::default();
    let mut number = None;
    for attribute in attributes(value) {
        let value = attribute.value();
        match attribute.kind() {
            cta::PROTO_NUM => number = Some(u8::from_be_bytes(bytes(value)?)),
            cta::PROTO_SRC_PORT => ports.source = u16::from_be_bytes(bytes(value)?),
            cta::PROTO_DST_PORT => ports.destination = u16::from_be_bytes(bytes(value)?),
            cta::PROTO_ICMP_ID | cta::PROTO_ICMPV6_ID => {
                ports.source = u16::from_be_bytes(bytes(value)?);
                ports.destination = ports.source;
            }
            cta::PROTO_ICMP_TYPE | cta::PROTO_ICMPV6_TYPE => {
                ports.icmp.get_or_insert_default().kind = u8::from_be_bytes(bytes(value)?);
            }
            cta::PROTO_ICMP_CODE | cta::PROTO_ICMPV6_CODE => {
                ports.icmp.get_or_insert_default().code = u8::from_be_bytes(bytes(value)?);
            }
            _ => {}
        }
    }
    ports.protocol = number.ok_or(Malformed)?;
    Ok(ports)
}

fn count(value: &[u8]) -> Result<Count, Malformed> {
    let mut count = Count::default();
    for attribute in attributes(value) {
        match attribute.kind() {
            cta::COUNTERS_PACKETS => count.packets = u64::from_be_bytes(bytes(attribute.value())?),
            cta::COUNTERS_BYTES => count.bytes = u64::from_be_bytes(bytes(attribute.value())?),
            _ => {}
        }
    }
    Ok(count)
}

fn attributes(value: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(value).map_while(Result::ok)
}

fn bytes<const LENGTH: usize>(value: &[u8]) -> Result<[u8; LENGTH], Malformed> {
    value.try_into().map_err(|_| Malformed)
}

#[cfg(test)]
pub(super) mod tests;
