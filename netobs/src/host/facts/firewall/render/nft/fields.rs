//! What a rule looks at, and what it is compared with → nft's words. Pure.

use super::{
    super::{
        super::{connection, family, fib, meta, payload},
        clause::{Field, Looked},
        values::{address, flags, hexadecimal, name, protocol, short, word},
    },
    Line,
};

impl Line<'_, '_> {
    pub(super) fn is_address(&self, field: &Field) -> bool {
        let (source, destination) = if self.ipv6 { (8, 24) } else { (12, 16) };
        matches!(field, Field::Payload { base: payload::NETWORK, offset, length }
            if *length <= 16 && (*offset == source || *offset == destination))
    }

    pub(super) fn field(&self, looked: &Looked) -> String {
        let field = match &looked.field {
            Field::Payload { base, offset, length } => self.payload(*base, *offset, *length),
            Field::Meta(key) => match *key {
                meta::PROTOCOL => "meta protocol".into(),
                meta::MARK => "meta mark".into(),
                meta::IIF => "iif".into(),
                meta::OIF => "oif".into(),
                meta::IIFNAME => "iifname".into(),
                meta::OIFNAME => "oifname".into(),
                meta::SKUID => "meta skuid".into(),
                meta::NFPROTO => "meta nfproto".into(),
                meta::L4PROTO => "meta l4proto".into(),
                meta::BRI_IIFNAME => "meta ibrname".into(),
                meta::BRI_OIFNAME => "meta obrname".into(),
                meta::PKTTYPE => "meta pkttype".into(),
                other => format!("meta [{other}]"),
            },
            Field::Connection(key, direction) => {
                let direction = match direction {
                    Some(0) => "original ",
                    Some(_) => "reply ",
                    None => "",
                };
                let key = match *key {
                    connection::STATE => "state",
                    connection::DIRECTION => "direction",
                    connection::STATUS => "status",
                    connection::MARK => "mark",
                    connection::PROTO_DST => "proto-dst",
                    connection::DST_IP => "ip daddr",
                    connection::DST_IP6 => "ip6 daddr",
                    other => return format!("ct {direction}[{other}]"),
                };
                format!("ct {direction}{key}")
            }
            Field::Fib(result, flags) => {
                let of: Vec<&str> = [(1, "saddr"), (2, "daddr"), (4, "mark"), (8, "iif"), (16, "oif")]
                    .iter()
                    .filter(|(flag, _)| flags & flag != 0)
                    .map(|(_, word)| *word)
                    .collect();
                let result = match *result {
                    1 => "oif",
                    2 => "oifname",
                    fib::ADDRESS_TYPE => "type",
                    _ => "[?]",
                };
                format!("fib {} {result}", of.join(" . "))
            }
            Field::Number { modulus, offset, random } => {
                let kind = if *random { "random" } else { "inc" };
                let offset = if *offset == 0 { String::new() } else { format!(" offset {offset}") };
                format!("numgen {kind} mod {modulus}{offset}")
            }
            Field::Value(bytes) => hexadecimal(bytes),
            Field::Map(clause) => self.lookup(clause),
            Field::Unknown => "[?]".into(),
        };
        match &looked.mask {
            Some((mask, flip)) if flip.iter().all(|byte| *byte == 0) => {
                format!("{field} & {}", self.value(&looked.field, mask))
            }
            Some((mask, flip)) if mask.iter().all(|byte| *byte == u8::MAX) => {
                format!("{field} ^ {}", self.value(&looked.field, flip))
            }
            Some((mask, flip)) if mask.iter().zip(flip).all(|(mask, flip)| !mask == *flip) => {
                format!("{field} | {}", self.value(&looked.field, flip))
            }
            Some((mask, flip)) => {
                let (mask, flip) = (self.value(&looked.field, mask), self.value(&looked.field, flip));
                format!("{field} & {mask} ^ {flip}")
            }
            None => field,
        }
    }

    fn payload(&self, base: u32, offset: u32, length: u32) -> String {
        let ip = if self.ipv6 { "ip6" } else { "ip" };
        let over = match self.over {
            Some(6) => "tcp",
            Some(17) => "udp",
            Some(132) => "sctp",
            Some(1) => "icmp",
            Some(58) => "icmpv6",
            _ => "th",
        };
        let name = match (base, offset, length) {
            (payload::NETWORK, 12, 1..=4) if !self.ipv6 => "saddr",
            (payload::NETWORK, 16, 1..=4) if !self.ipv6 => "daddr",
            (payload::NETWORK, 8, 2..=16) if self.ipv6 => "saddr",
            (payload::NETWORK, 24, 1..=16) if self.ipv6 => "daddr",
            (payload::NETWORK, 9, 1) if !self.ipv6 => "protocol",
            (payload::NETWORK, 8, 1) if !self.ipv6 => "ttl",
            (payload::NETWORK, 6, 1) if self.ipv6 => "nexthdr",
            (payload::NETWORK, 7, 1) if self.ipv6 => "hoplimit",
            (payload::TRANSPORT, 0, 1) if over.starts_with("icmp") => return format!("{over} type"),
            (payload::TRANSPORT, 1, 1) if over.starts_with("icmp") => return format!("{over} code"),
            (payload::TRANSPORT, 0, 2) => return format!("{over} sport"),
            (payload::TRANSPORT, 2, 2) => return format!("{over} dport"),
            (payload::TRANSPORT, 13, 1) if over == "tcp" => return "tcp flags".into(),
            (payload::LINK, 0, 6) => return "ether daddr".into(),
            (payload::LINK, 6, 6) => return "ether saddr".into(),
            (payload::LINK, 12, 2) => return "ether type".into(),
            _ => {
                let base =
                    ["ll", "nh", "th"].get(usize::try_from(base).unwrap_or(3)).copied().unwrap_or("ih");
                return format!("@{base},{},{}", offset.saturating_mul(8), length.saturating_mul(8));
            }
        };
        format!("{ip} {name}")
    }

    pub(super) fn value(&self, field: &Field, bytes: &[u8]) -> String {
        let list = |names: &[(u32, &str)]| {
            let mask = word(bytes).unwrap_or_default();
            let named: Vec<&str> =
                names.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect();
            if named.is_empty() { format!("{mask:#x}") } else { named.join(",") }
        };
        match (field, bytes) {
            (field, _) if self.is_address(field) => address(bytes, self.ipv6).to_string(),
            (Field::Payload { base: payload::NETWORK, offset: 9, length: 1 }, [one]) if !self.ipv6 => {
                protocol(*one)
            }
            (Field::Payload { base: payload::NETWORK, offset: 6, length: 1 }, [one]) if self.ipv6 => {
                protocol(*one)
            }
            (Field::Payload { base: payload::LINK, length: 6, .. }, _) => {
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
            }
            (Field::Payload { offset: 13, length: 1, base: payload::TRANSPORT }, [one]) => {
                flags(*one).to_lowercase().replace(',', "|")
            }
            (Field::Payload { base: payload::TRANSPORT | payload::NETWORK, .. }, [one]) => one.to_string(),
            (Field::Payload { base: payload::TRANSPORT, .. }, _) if bytes.len() == 2 => {
                short(bytes).unwrap_or_default().to_string()
            }
            (Field::Meta(meta::L4PROTO), [one]) => protocol(*one),
            (Field::Meta(meta::NFPROTO), [family::IPV4]) => "ipv4".into(),
            (Field::Meta(meta::NFPROTO), [family::IPV6]) => "ipv6".into(),
            (Field::Meta(meta::PROTOCOL), [8, 0]) => "ip".into(),
            (Field::Meta(meta::PROTOCOL), [0x86, 0xdd]) => "ip6".into(),
            (Field::Meta(meta::IIFNAME | meta::OIFNAME | meta::BRI_IIFNAME | meta::BRI_OIFNAME), _) => {
                let (name, begins) = name(bytes);
                format!("\"{name}{}\"", if begins { "*" } else { "" })
            }
            (Field::Meta(meta::MARK) | Field::Connection(connection::MARK, _), _) => {
                format!("{:#010x}", word(bytes).unwrap_or_default())
            }
            (Field::Meta(meta::PKTTYPE), [one @ 0..=3]) => {
                ["host", "broadcast", "multicast", "other"][usize::from(*one)].into()
            }
            (Field::Meta(_), _) if bytes.len() == 4 => word(bytes).unwrap_or_default().to_string(),
            (Field::Connection(connection::STATE, _), _) => {
                list(&[(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")])
            }
            (Field::Connection(connection::STATUS, _), _) => {
                list(&[(2, "seen-reply"), (4, "assured"), (8, "confirmed"), (16, "snat"), (32, "dnat")])
            }
            (Field::Connection(connection::DIRECTION, _), [0]) => "original".into(),
            (Field::Connection(connection::DIRECTION, _), [_]) => "reply".into(),
            (Field::Connection(connection::DST_IP, _), _) => address(bytes, false).to_string(),
            (Field::Connection(connection::DST_IP6, _), _) => address(bytes, true).to_string(),
            (Field::Connection(connection::PROTO_DST, _), _) if bytes.len() == 2 => {
                short(bytes).unwrap_or_default().to_string()
            }
            (Field::Fib(fib::ADDRESS_TYPE, _), _) => match word(bytes) {
                Some(1) => "unicast".into(),
                Some(2) => "local".into(),
                Some(3) => "broadcast".into(),
                Some(5) => "multicast".into(),
                other => format!("{}", other.unwrap_or_default()),
            },
            (Field::Number { .. }, _) => word(bytes).unwrap_or_default().to_string(),
            _ => hexadecimal(bytes),
        }
    }
}
