//! Sets that stand in a rule → nft's words. Pure.

use super::{
    super::{
        super::{Element, Set, Value, meta},
        clause::{Field, Looked},
        values::{address, hexadecimal, prefix_length},
    },
    Line, said,
};

/// Elements shown.
const SHOWN: usize = 16;

impl Line<'_, '_> {
    pub(super) fn elements(&self, set: &Set, looked: &[Looked]) -> String {
        let mut shown: Vec<String> = Vec::new();
        let mut elements: Vec<&Element> = set.elements.iter().collect();
        // By number, and numbers of the host's are kept in its own order.
        let of_host = matches!(looked, [one] if !set.interval && is_of_host(&one.field));
        let number = |element: &Element| {
            let mut key = element.key.clone();
            if of_host && cfg!(target_endian = "little") {
                key.reverse();
            }
            (element.catch_all, key, !element.ends)
        };
        elements.sort_by_key(|element| number(element));
        for (at, element) in elements.iter().enumerate().filter(|(_, element)| !element.ends) {
            let end = elements.get(at + 1).filter(|next| set.interval && next.ends && !element.catch_all);
            let key = match (element.catch_all, end, looked) {
                (true, ..) => "*".into(),
                (_, Some(end), [one]) => self.range(&one.field, &element.key, &end.key),
                _ => self.key(&element.key, element.to.as_deref(), looked),
            };
            let value = match &element.value {
                Value::None => String::new(),
                Value::Bytes(bytes) if bytes.len() == 4 => format!(" : {}", address(bytes, false)),
                Value::Bytes(bytes) => format!(" : {}", hexadecimal(bytes)),
                Value::Verdict(verdict) => format!(" : {}", said(verdict)),
                Value::Unknown => " : [?]".into(),
            };
            shown.push(key + &value);
        }
        let more = shown.len() > SHOWN;
        shown.truncate(SHOWN);
        if more || !set.complete {
            shown.push("...".into());
        }
        format!("{{ {} }}", shown.join(", "))
    }

    /// From a key to the one before another.
    fn range(&self, field: &Field, from: &[u8], behind: &[u8]) -> String {
        let mut last = behind.to_vec();
        for byte in last.iter_mut().rev() {
            let (less, borrow) = byte.overflowing_sub(1);
            *byte = less;
            if !borrow {
                break;
            }
        }
        if from == last {
            return self.value(field, from);
        }
        let differ: Vec<u8> = from.iter().zip(&last).map(|(from, last)| !(from ^ last)).collect();
        let aligned = from.iter().zip(&differ).all(|(from, mask)| from & !mask == 0);
        match prefix_length(&differ) {
            Some(length) if aligned && self.is_address(field) => {
                format!("{}/{length}", self.value(field, from))
            }
            _ => format!("{}-{}", self.value(field, from), self.value(field, &last)),
        }
    }

    fn key(&self, key: &[u8], to: Option<&[u8]>, looked: &[Looked]) -> String {
        let mut at = 0;
        let parts = looked.iter().map(|one| {
            let length = match &one.field {
                Field::Payload { length, .. } => usize::try_from(*length).unwrap_or(4),
                Field::Meta(meta::IIFNAME | meta::OIFNAME) => 16,
                Field::Meta(meta::L4PROTO | meta::NFPROTO) => 1,
                _ => 4,
            };
            let part = at..at + length;
            at = part.end.next_multiple_of(4);
            let from = key.get(part.clone()).unwrap_or_default();
            match to.and_then(|to| to.get(part)).filter(|to| *to != from) {
                Some(to) => format!("{}-{}", self.value(&one.field, from), self.value(&one.field, to)),
                None => self.value(&one.field, from),
            }
        });
        parts.collect::<Vec<_>>().join(" . ")
    }
}

/// Whether it is kept in the host's order.
fn is_of_host(field: &Field) -> bool {
    match field {
        Field::Meta(key) => ![meta::PROTOCOL, meta::L4PROTO, meta::NFPROTO].contains(key),
        Field::Connection(..) | Field::Fib(..) | Field::Number { .. } => true,
        _ => false,
    }
}
