//! Netlink attributes of nf_tables → numbers and words. Pure.
//!
//! Numbers are big-endian (include/uapi/linux/netfilter/nf_tables.h, Linux 6.18). What `NlasIterator` calls an error
//! ends the list.

use netlink_packet_core::{NlaBuffer, NlasIterator};

/// Size of `struct nfgenmsg`.
const FIXED: usize = 4;

/// The message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The family and what follows it.
pub(super) fn split(payload: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let family = *payload.first().ok_or(Malformed)?;
    Ok((family, payload.get(FIXED..).ok_or(Malformed)?))
}

pub(super) fn attributes(value: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(value).map_while(Result::ok)
}

/// The first attribute of this kind.
pub(super) fn of_kind(value: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = value;
    // By hand, for the value must outlive the iterator's buffer: length, type, value, padded to four.
    while let Some(&[a, b, c, d]) = rest.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let found = u16::from_ne_bytes([c, d]) & 0x3fff;
        let body = rest.get(4..length)?;
        if found == kind {
            return Some(body);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

pub(super) fn word(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

pub(super) fn long(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or(value)).into_owned()
}

/// A number of this kind.
pub(super) fn number(data: &[u8], kind: u16) -> Option<u32> {
    of_kind(data, kind).and_then(word)
}

/// `NFTA_DATA_VALUE` of the attribute of this kind.
pub(super) fn value(data: &[u8], kind: u16) -> Option<Vec<u8>> {
    of_kind(data, kind).and_then(|data| of_kind(data, 1)).map(<[u8]>::to_vec)
}

/// An attribute as the kernel wants it in a request: with its closing zero, for a string.
pub(super) fn string(kind: u16, text: &str) -> Vec<u8> {
    let length = u16::try_from(4 + text.len() + 1).unwrap_or(u16::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
