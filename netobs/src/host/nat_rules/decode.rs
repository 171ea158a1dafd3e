//! nf_tables messages → chains and rules, as far as source NAT is concerned. Pure: bytes in, plain values out.
//!
//! Attributes: include/uapi/linux/netfilter/nf_tables.h, Linux 6.18. Written out, because
//! `netlink-packet-netfilter` 0.4 leaves the expressions of a rule undecoded.

use netlink_packet_core::{NlaBuffer, NlasIterator};

use crate::host::{
    facts::nat_rules::{Chain, Expression, Rule, Table},
    netlink::Message,
};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN`, `… | NFT_MSG_NEWRULE`.
const NEW_CHAIN: u16 = 10 << 8 | 3;
const NEW_RULE: u16 = 10 << 8 | 6;
/// Size of `struct nfgenmsg`.
const FIXED: usize = 4;
/// Expressions kept of one rule.
const MOST: usize = 128;

/// The message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A chain; `None` for other messages.
///
/// # Errors
/// The message cannot be read.
pub fn chain(message: Message<'_>) -> Result<Option<Chain>, Malformed> {
    if message.kind != NEW_CHAIN {
        return Ok(None);
    }
    let (family, body) = split(message.payload)?;
    let (mut table, mut name, mut kind, mut hook) = (None, None, None, None);
    for attribute in attributes(body) {
        match attribute.kind() {
            1 => table = Some(text(attribute.value())),
            3 => name = Some(text(attribute.value())),
            4 => hook = hook_of(attribute.value()),
            7 => kind = Some(text(attribute.value())),
            _ => {}
        }
    }
    let table = Table { family, name: table.ok_or(Malformed)? };
    Ok(Some(Chain { table, name: name.ok_or(Malformed)?, kind, hook }))
}

fn hook_of(value: &[u8]) -> Option<(u32, i32)> {
    let (mut number, mut priority) = (None, None);
    for attribute in attributes(value) {
        match attribute.kind() {
            1 => number = word(attribute.value()),
            2 => priority = word(attribute.value()).map(u32::cast_signed),
            _ => {}
        }
    }
    number.zip(priority)
}

/// A rule; `None` for other messages.
///
/// # Errors
/// The message cannot be read.
pub fn rule(message: Message<'_>) -> Result<Option<Rule>, Malformed> {
    if message.kind != NEW_RULE {
        return Ok(None);
    }
    let (family, body) = split(message.payload)?;
    let (mut table, mut chain, mut expressions) = (None, None, Vec::new());
    for attribute in attributes(body) {
        match attribute.kind() {
            1 => table = Some(text(attribute.value())),
            2 => chain = Some(text(attribute.value())),
            4 => {
                expressions =
                    attributes(attribute.value()).take(MOST).map(|one| expression(one.value())).collect()
            }
            _ => {}
        }
    }
    let table = Table { family, name: table.ok_or(Malformed)? };
    Ok(Some(Rule { table, chain: chain.ok_or(Malformed)?, expressions }))
}

fn expression(value: &[u8]) -> Expression {
    let (mut name, mut data) = (String::new(), &[][..]);
    let parts: Vec<_> = attributes(value).collect();
    for part in &parts {
        match part.kind() {
            1 => name = text(part.value()),
            2 => data = part.value(),
            _ => {}
        }
    }
    let number = |wanted| of_kind(data, wanted).and_then(word);
    let bytes = |wanted| of_kind(data, wanted).and_then(|value| of_kind(value, 1)).map(<[u8]>::to_vec);
    let found = match name.as_str() {
        "payload" => number(1)
            .zip(number(2))
            .zip(number(3).zip(number(4)))
            .map(|((to, base), (offset, length))| Expression::Payload { to, base, offset, length }),
        "meta" => number(1).zip(number(2)).map(|(to, key)| Expression::Meta { to, key }),
        "bitwise" => number(1)
            .zip(number(2))
            .zip(bytes(4))
            .and_then(|((from, to), mask)| (from == to).then_some(Expression::Mask { to, mask })),
        "cmp" => number(1).zip(number(2)).zip(bytes(3)).map(|((of, operator), with)| Expression::Compare {
            of,
            operator,
            with,
        }),
        "lookup" => number(2).map(|of| Expression::Lookup { of }),
        "immediate" => verdict(data),
        "masq" => Some(Expression::SourceNat),
        "nat" => number(1).filter(|kind| *kind == 0).map(|_| Expression::SourceNat),
        "target" => target(data),
        "match" => of_kind(data, 1).map(text).filter(|name| name == "comment").map(|_| Expression::Idle),
        "counter" => Some(Expression::Idle),
        _ => None,
    };
    found.unwrap_or(Expression::Other)
}

fn verdict(data: &[u8]) -> Option<Expression> {
    const RETURN: i32 = -5;
    const GOTO: i32 = -4;
    const JUMP: i32 = -3;
    let verdict = of_kind(of_kind(data, 2)?, 2)?;
    let code = of_kind(verdict, 1).and_then(word)?.cast_signed();
    let chain = || of_kind(verdict, 2).map(text);
    Some(match code {
        RETURN => Expression::Return,
        GOTO | JUMP => Expression::Jump { chain: chain()?, goto: code == GOTO },
        _ => Expression::Verdict,
    })
}

/// A target of iptables, kept as such by its nftables back end.
fn target(data: &[u8]) -> Option<Expression> {
    match text(of_kind(data, 1)?).as_str() {
        "MASQUERADE" | "SNAT" | "NETMAP" => Some(Expression::SourceNat),
        "ACCEPT" | "DROP" => Some(Expression::Verdict),
        _ => None,
    }
}

fn split(payload: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let family = *payload.first().ok_or(Malformed)?;
    Ok((family, payload.get(FIXED..).ok_or(Malformed)?))
}

fn of_kind(value: &[u8], kind: u16) -> Option<&[u8]> {
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

fn attributes(value: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(value).map_while(Result::ok)
}

fn word(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or(value)).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, body: Vec<Vec<u8>>) -> (u16, Vec<u8>) {
        (kind, [vec![2, 0, 0, 0], body.concat()].concat())
    }

    fn seen((kind, payload): &(u16, Vec<u8>)) -> Message<'_> {
        Message { kind: *kind, flags: 0, sequence: 1, payload }
    }

    fn step(name: &str, data: Vec<Vec<u8>>) -> Vec<u8> {
        attribute(1, &[attribute(1, name.as_bytes()), attribute(2, &data.concat())].concat())
    }

    fn number(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_be_bytes())
    }

    #[test]
    fn a_base_chain_has_its_hook() {
        let bytes = message(
            NEW_CHAIN,
            vec![
                attribute(1, b"nat\0"),
                attribute(3, b"POSTROUTING\0"),
                attribute(4, &[number(1, 4), number(2, 100)].concat()),
                attribute(7, b"nat\0"),
            ],
        );
        let chain = chain(seen(&bytes)).unwrap().unwrap();
        assert_eq!((chain.name.as_str(), chain.hook), ("POSTROUTING", Some((4, 100))));
        assert!(chain.is_source_nat());
    }

    #[test]
    fn a_rule_of_iptables_is_read_step_by_step() {
        let data = |kind, bytes: &[u8]| attribute(kind, &attribute(1, bytes));
        let bytes = message(
            NEW_RULE,
            vec![
                attribute(1, b"nat\0"),
                attribute(2, b"POSTROUTING\0"),
                attribute(
                    4,
                    &[
                        step("payload", vec![number(1, 8), number(2, 1), number(3, 12), number(4, 4)]),
                        step("bitwise", vec![number(1, 8), number(2, 8), data(4, &[255, 255, 0, 0])]),
                        step("cmp", vec![number(1, 8), number(2, 0), data(3, &[172, 17, 0, 0])]),
                        step("counter", vec![]),
                        step("target", vec![attribute(1, b"MASQUERADE\0")]),
                    ]
                    .concat(),
                ),
            ],
        );
        let rule = rule(seen(&bytes)).unwrap().unwrap();
        assert_eq!(
            rule.expressions,
            [
                Expression::Payload { to: 8, base: 1, offset: 12, length: 4 },
                Expression::Mask { to: 8, mask: vec![255, 255, 0, 0] },
                Expression::Compare { of: 8, operator: 0, with: vec![172, 17, 0, 0] },
                Expression::Idle,
                Expression::SourceNat,
            ]
        );
    }

    #[test]
    fn a_jump_names_its_chain() {
        let verdict =
            attribute(2, &[number(1, (-3_i32).cast_unsigned()), attribute(2, b"LIBVIRT_PRT\0")].concat());
        let bytes =
            attribute(1, &[attribute(1, b"immediate"), attribute(2, &attribute(2, &verdict))].concat());
        let inner = of_kind(&bytes, 1).unwrap();
        assert_eq!(expression(inner), Expression::Jump { chain: "LIBVIRT_PRT".into(), goto: false });
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in [NEW_CHAIN, NEW_RULE] {
                let message = Message { kind, flags: 0, sequence: 1, payload: &payload };
                drop((chain(message), rule(message)));
            }
        }
    }
}
