//! nf_tables messages → tables, chains, rules, sets and their elements. Pure: bytes in, plain values out.
//!
//! Attributes: include/uapi/linux/netfilter/nf_tables.h, Linux 6.18. Written out, because
//! `netlink-packet-netfilter` 0.4 leaves the expressions of a rule undecoded.

mod compat;
mod element;
mod step;
mod target;
#[cfg(test)]
mod tests;

pub use element::{elements, set};

pub use super::attributes::Malformed;
use super::attributes::{attributes, long, number, of_kind, split, text, word};
use crate::host::{
    facts::firewall::{Chain, Counter, Rule, Step, Table},
    netlink::Message,
};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEW…`.
const NEW_TABLE: u16 = 10 << 8;
const NEW_CHAIN: u16 = 10 << 8 | 3;
const NEW_RULE: u16 = 10 << 8 | 6;
const NEW_OBJECT: u16 = 10 << 8 | 18;
/// Steps kept of one rule; what is beyond is one step that is not understood. The kernel allows no more
/// (`NFT_RULE_MAXEXPRS`, net/netfilter/nf_tables_api.c).
const MOST: usize = 128;

/// A table that is switched off; `None` for all others and other messages.
///
/// # Errors
/// The message cannot be read.
pub fn dormant(message: Message<'_>) -> Result<Option<Table>, Malformed> {
    /// `NFT_TABLE_F_DORMANT`.
    const DORMANT: u32 = 1;
    if message.kind != NEW_TABLE {
        return Ok(None);
    }
    let (family, body) = split(message.payload)?;
    let name = of_kind(body, 1).map(text).ok_or(Malformed)?;
    let flags = number(body, 2).unwrap_or_default();
    Ok((flags & DORMANT != 0).then_some(Table { family, name }))
}

/// A chain; `None` for other messages.
///
/// # Errors
/// The message cannot be read.
pub fn chain(message: Message<'_>) -> Result<Option<Chain>, Malformed> {
    if message.kind != NEW_CHAIN {
        return Ok(None);
    }
    let (family, body) = split(message.payload)?;
    let (mut table, mut name, mut kind, mut hook, mut drops, mut counter) =
        (None, None, None, None, None, None);
    for attribute in attributes(body) {
        match attribute.kind() {
            1 => table = Some(text(attribute.value())),
            3 => name = Some(text(attribute.value())),
            4 => hook = hook_of(attribute.value()),
            // `NF_DROP` is 0, `NF_ACCEPT` 1.
            5 => drops = word(attribute.value()).map(|policy| policy == 0),
            7 => kind = Some(text(attribute.value())),
            8 => counter = counter_of(attribute.value()),
            _ => {}
        }
    }
    let table = Table { family, name: table.ok_or(Malformed)? };
    Ok(Some(Chain { table, name: name.ok_or(Malformed)?, kind, hook, drops, counter }))
}

/// How many rules are in a chain, and lead to it, by its message (`NFTA_CHAIN_USE`). A chain that stands in a rule is
/// held by that one twice.
#[must_use]
pub fn uses(message: Message<'_>) -> u32 {
    /// `NFT_CHAIN_BINDING`, of `NFTA_CHAIN_FLAGS`.
    const STANDS_IN_RULE: u32 = 4;
    let Ok((_, body)) = split(message.payload) else { return 0 };
    let held = number(body, 10).unwrap_or_default() & STANDS_IN_RULE != 0;
    number(body, 6).unwrap_or_default().saturating_sub(held.into())
}

fn hook_of(value: &[u8]) -> Option<(u32, i32)> {
    number(value, 1).zip(number(value, 2).map(u32::cast_signed))
}

fn counter_of(value: &[u8]) -> Option<Counter> {
    let number = |kind| of_kind(value, kind).and_then(long);
    Some(Counter { bytes: number(1)?, packets: number(2)? })
}

/// A counter that has a name, with its table; `None` for other messages and other objects.
///
/// # Errors
/// The message cannot be read.
pub fn named_counter(message: Message<'_>) -> Result<Option<(Table, String, Counter)>, Malformed> {
    /// `NFT_OBJECT_COUNTER`.
    const COUNTER: u32 = 1;
    if message.kind != NEW_OBJECT {
        return Ok(None);
    }
    let (family, body) = split(message.payload)?;
    if number(body, 3) != Some(COUNTER) {
        return Ok(None);
    }
    let of = |kind| of_kind(body, kind).ok_or(Malformed);
    let counter = counter_of(of(4)?).ok_or(Malformed)?;
    Ok(Some((Table { family, name: text(of(1)?) }, text(of(2)?), counter)))
}

/// A rule, without its number in the chain; `None` for other messages.
///
/// # Errors
/// The message cannot be read.
pub fn rule(message: Message<'_>) -> Result<Option<Rule>, Malformed> {
    if message.kind != NEW_RULE {
        return Ok(None);
    }
    let (family, body) = split(message.payload)?;
    let (mut table, mut chain, mut handle, mut comment) = (None, None, 0, None);
    let (mut counter, mut steps) = (None, Vec::new());
    for attribute in attributes(body) {
        match attribute.kind() {
            1 => table = Some(text(attribute.value())),
            2 => chain = Some(text(attribute.value())),
            3 => handle = long(attribute.value()).unwrap_or_default(),
            4 => {
                for one in attributes(attribute.value()) {
                    if steps.len() == MOST {
                        steps.push(Step::Unknown("more".into()));
                        break;
                    }
                    let (name, data) = named(one.value());
                    match name.as_str() {
                        "counter" => counter = counter.or(counter_of(data)),
                        "match" => comment = comment.or_else(|| compat::comment(data)),
                        _ => {}
                    }
                    steps.push(step::step(family, name, data));
                }
            }
            7 => comment = comment.or_else(|| user_comment(attribute.value())),
            _ => {}
        }
    }
    let table = Table { family, name: table.ok_or(Malformed)? };
    let chain = chain.ok_or(Malformed)?;
    // A node has tens of thousands.
    steps.shrink_to_fit();
    Ok(Some(Rule { table, chain, handle, position: 0, comment, counter, steps }))
}

/// An expression's name and what belongs to it.
fn named(value: &[u8]) -> (String, &[u8]) {
    (of_kind(value, 1).map(text).unwrap_or_default(), of_kind(value, 2).unwrap_or_default())
}

/// The comment among what `nft` keeps beside a rule: type, length, value (`NFTNL_UDATA_RULE_COMMENT` of libnftnl 1.2,
/// include/libnftnl/udata.h). The kernel does not look at it.
fn user_comment(value: &[u8]) -> Option<String> {
    const COMMENT: u8 = 0;
    let mut rest = value;
    while let Some((&[kind, length], behind)) = rest.split_first_chunk() {
        let body = behind.get(..usize::from(length))?;
        if kind == COMMENT {
            return Some(text(body));
        }
        rest = behind.get(usize::from(length)..)?;
    }
    None
}
