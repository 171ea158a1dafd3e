//! Sets and their elements. Pure.

use super::{
    super::attributes::{Malformed, attributes, number, of_kind, split, text, value},
    step::verdict,
};
use crate::host::{
    facts::firewall::{Element, Set, Table, Value},
    netlink::Message,
};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSET`, `… | NFT_MSG_NEWSETELEM`.
const NEW_SET: u16 = 10 << 8 | 9;
const NEW_ELEMENTS: u16 = 10 << 8 | 12;

/// A set without its elements; `None` for other messages.
///
/// # Errors
/// The message cannot be read.
pub fn set(message: Message<'_>) -> Result<Option<Set>, Malformed> {
    /// `NFT_SET_…`.
    const ANONYMOUS: u32 = 1;
    const INTERVAL: u32 = 4;
    const OBJECTS: u32 = 0x40;
    if message.kind != NEW_SET {
        return Ok(None);
    }
    let (family, body) = split(message.payload)?;
    let flags = number(body, 3).unwrap_or_default();
    Ok(Some(Set {
        table: Table { family, name: of_kind(body, 1).map(text).ok_or(Malformed)? },
        name: of_kind(body, 2).map(text).ok_or(Malformed)?,
        anonymous: flags & ANONYMOUS != 0,
        interval: flags & INTERVAL != 0,
        key_type: number(body, 4).unwrap_or_default(),
        key_length: number(body, 5).ok_or(Malformed)?,
        data_type: number(body, 6).filter(|_| flags & OBJECTS == 0),
        fields: of_kind(body, 9).and_then(|desc| of_kind(desc, 2)).map(fields).unwrap_or_default(),
        elements: Vec::new(),
        complete: false,
    }))
}

/// Lengths in bytes, whatever the header says (nft_set_desc_concat_parse, net/netfilter/nf_tables_api.c).
fn fields(concatenation: &[u8]) -> Vec<u32> {
    attributes(concatenation).filter_map(|field| number(field.value(), 1)).collect()
}

/// Elements of the set that was asked for, `None` for each that cannot be read; nothing for other messages.
///
/// # Errors
/// The message cannot be read.
pub fn elements(message: Message<'_>) -> Result<Vec<Option<Element>>, Malformed> {
    if message.kind != NEW_ELEMENTS {
        return Ok(Vec::new());
    }
    let (_, body) = split(message.payload)?;
    let list = of_kind(body, 3).unwrap_or_default();
    Ok(attributes(list).map(|one| element(one.value())).collect())
}

fn element(data: &[u8]) -> Option<Element> {
    /// `NFT_SET_ELEM_…`.
    const ENDS: u32 = 1;
    const CATCH_ALL: u32 = 2;
    let flags = number(data, 3).unwrap_or_default();
    let catch_all = flags & CATCH_ALL != 0;
    let found = match of_kind(data, 2) {
        Some(found) => verdict(found)
            .map(Value::Verdict)
            .or_else(|| of_kind(found, 1).map(|bytes| Value::Bytes(bytes.to_vec())))
            .unwrap_or(Value::Unknown),
        None => Value::None,
    };
    let key = if catch_all { Vec::new() } else { value(data, 1)? };
    Some(Element { key, to: value(data, 10), ends: flags & ENDS != 0, catch_all, value: found })
}
