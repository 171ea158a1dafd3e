//! One expression → one step. Pure.

use super::{
    super::attributes::{long, number, of_kind, text, value, word},
    compat, target,
};
use crate::host::facts::firewall::{Reject, Step, Verdict};

/// What is not understood keeps its name.
pub(super) fn step(family: u8, name: String, data: &[u8]) -> Step {
    let found = match name.as_str() {
        "payload" => number(data, 1)
            .zip(number(data, 2))
            .zip(number(data, 3).zip(number(data, 4)))
            .map(|((to, base), (offset, length))| Step::Payload { to, base, offset, length }),
        "meta" => meta(data),
        "ct" => connection(data),
        "bitwise" => mask(data),
        "byteorder" => number(data, 1)
            .zip(number(data, 2))
            .zip(number(data, 4).zip(number(data, 5)))
            .map(|((from, to), (length, size))| Step::ByteOrder { from, to, size, length }),
        "cmp" => number(data, 1)
            .zip(number(data, 2))
            .zip(value(data, 3))
            .map(|((of, operator), with)| Step::Compare { of, operator, with }),
        "range" => number(data, 1)
            .zip(number(data, 2).filter(|operator| *operator <= 1))
            .zip(value(data, 3).zip(value(data, 4)))
            .map(|((of, operator), (low, high))| Step::Range { of, outside: operator == 1, low, high }),
        "lookup" => lookup(data),
        "immediate" => immediate(data),
        "fib" => number(data, 1)
            .zip(number(data, 2).zip(number(data, 3)))
            .map(|(to, (result, flags))| Step::Fib { to, result, flags }),
        "numgen" => number(data, 1).zip(number(data, 2)).zip(number(data, 3)).map(|((to, modulus), kind)| {
            Step::Number { to, modulus, offset: number(data, 4).unwrap_or_default(), random: kind == 1 }
        }),
        "limit" => limit(data),
        "counter" => Some(Step::Counter),
        // NFT_OBJECT_COUNTER; others may be conditions.
        "objref" if number(data, 1) == Some(1) => of_kind(data, 2).map(text).map(Step::NamedCounter),
        "log" => Some(Step::Log {
            prefix: of_kind(data, 2).map(text).unwrap_or_default(),
            group: of_kind(data, 1).and_then(group),
        }),
        "reject" => Some(Step::Reject(reject(family, data))),
        "masq" => Some(Step::Masquerade { ports: pair(data, 2, 3) }),
        "redir" => Some(Step::Redirect { ports: pair(data, 1, 2) }),
        "nat" => number(data, 1).filter(|kind| *kind <= 1).map(|kind| Step::Nat {
            source: kind == 0,
            addresses: pair(data, 3, 4),
            ports: pair(data, 5, 6),
        }),
        "match" => compat::condition(family, data).map(Step::Match),
        "target" => target::target(family, data),
        _ => None,
    };
    found.unwrap_or(Step::Unknown(name))
}

/// First and last register; the last is the first where it is not said.
fn pair(data: &[u8], first: u16, last: u16) -> Option<(u32, u32)> {
    let first = number(data, first)?;
    Some((first, number(data, last).unwrap_or(first)))
}

fn meta(data: &[u8]) -> Option<Step> {
    let key = number(data, 2)?;
    match (number(data, 1), number(data, 3)) {
        (Some(to), None) => Some(Step::Meta { to, key }),
        (None, Some(from)) => Some(Step::SetMeta { from, key }),
        _ => None,
    }
}

fn connection(data: &[u8]) -> Option<Step> {
    let key = number(data, 2)?;
    let direction = of_kind(data, 3).and_then(|value| value.first().copied());
    match (number(data, 1), number(data, 4)) {
        (Some(to), None) => Some(Step::Connection { to, key, direction }),
        (None, Some(from)) => Some(Step::SetConnection { from, key }),
        _ => None,
    }
}

/// Shifts, and the operations between two registers of Linux 6.13, are not understood.
fn mask(data: &[u8]) -> Option<Step> {
    const MASK_XOR: u32 = 0;
    let (from, to) = number(data, 1).zip(number(data, 2))?;
    if number(data, 6).is_some_and(|operation| operation != MASK_XOR) {
        return None;
    }
    let (mask, flip) = value(data, 4).zip(value(data, 5))?;
    (mask.len() == flip.len()).then_some(Step::Mask { from, to, mask, flip })
}

fn lookup(data: &[u8]) -> Option<Step> {
    const ABSENT: u32 = 1;
    let set = of_kind(data, 1).map(text)?;
    let of = number(data, 2)?;
    let absent = number(data, 5).unwrap_or_default() & ABSENT != 0;
    Some(Step::Lookup { of, set, to: number(data, 3), absent })
}

fn immediate(data: &[u8]) -> Option<Step> {
    /// `NFT_REG_VERDICT`.
    const VERDICT: u32 = 0;
    let to = number(data, 1).unwrap_or(VERDICT);
    let data = of_kind(data, 2)?;
    if to == VERDICT {
        return verdict(data).map(Step::Verdict);
    }
    Some(Step::Load { to, value: of_kind(data, 1)?.to_vec() })
}

/// `NFTA_DATA_VERDICT` of a value.
pub(super) fn verdict(data: &[u8]) -> Option<Verdict> {
    let verdict = of_kind(data, 2)?;
    let code = of_kind(verdict, 1).and_then(word)?.cast_signed();
    let chain = || of_kind(verdict, 2).map(text);
    Some(match code {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        // Continue, break: the next rule.
        -1 | -2 => Verdict::Continue,
        -3 => Verdict::Jump(chain()?),
        -4 => Verdict::Goto(chain()?),
        -5 => Verdict::Return,
        other => Verdict::Other(other),
    })
}

fn limit(data: &[u8]) -> Option<Step> {
    let long = |kind| of_kind(data, kind).and_then(long);
    Some(Step::Limit {
        rate: long(1)?,
        unit: long(2)?,
        burst: number(data, 3).unwrap_or_default(),
        bytes: number(data, 4) == Some(1),
        over: number(data, 5).unwrap_or_default() & 1 != 0,
    })
}

/// A number of two bytes, whatever the header says (nft_log_init, net/netfilter/nft_log.c).
fn group(value: &[u8]) -> Option<u32> {
    let short = value.try_into().ok().map(u16::from_be_bytes).map(u32::from);
    short.or_else(|| word(value))
}

fn reject(family: u8, data: &[u8]) -> Reject {
    let code = of_kind(data, 2).and_then(|value| value.first().copied()).unwrap_or_default();
    match number(data, 1) {
        // In a table of both families nft asks for the packet's before, so the code tells no more than the number.
        Some(0) if family == crate::host::facts::firewall::family::IPV6 => Reject::Icmp6(code),
        Some(0) => Reject::Icmp(code),
        Some(1) => Reject::TcpReset,
        Some(2) => Reject::Either(code),
        other => Reject::Other(other.unwrap_or(u32::MAX)),
    }
}
