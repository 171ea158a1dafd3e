//! A rule → its line as `nft -a list` of nftables 1.0.6 writes it, as far as it is understood. Pure.

mod fields;
mod sets;

use super::{
    super::{Counter, Firewall, Rule, Step, Verdict, connection, family, meta, operator, payload},
    clause::{Clause, Field, Looked, clauses},
    targets,
    values::{address, hexadecimal, prefix_length, protocol, quoted, reject_of_nft, short},
};

struct Line<'f, 'a> {
    firewall: &'f Firewall<'a>,
    rule: &'f Rule,
    words: Vec<String>,
    ipv6: bool,
    /// What the ports are of.
    over: Option<u8>,
    /// Conditions that go without saying where what they are for follows.
    pending: Vec<(u32, String)>,
}

pub(super) fn line(firewall: &Firewall<'_>, rule: &Rule) -> String {
    let mut line = Line {
        firewall,
        rule,
        words: Vec::new(),
        ipv6: rule.table.family == family::IPV6,
        over: None,
        pending: Vec::new(),
    };
    for clause in clauses(firewall, rule) {
        line.add(&clause);
    }
    line.flush(&[]);
    if let Some(comment) = &rule.comment {
        line.words.push(format!("comment \"{}\"", comment.replace('"', "\\\"")));
    }
    format!("{} # handle {}", line.words.join(" "), rule.handle)
}

impl Line<'_, '_> {
    /// Writes what was held back, except what the fields that follow say themselves.
    fn flush(&mut self, next: &[Looked]) {
        let says = |key: u32| {
            next.iter().any(|looked| match looked.field {
                Field::Payload { base: payload::NETWORK, .. } => {
                    [meta::NFPROTO, meta::PROTOCOL].contains(&key)
                }
                Field::Payload { base: payload::TRANSPORT, .. } => {
                    [meta::L4PROTO, meta::NFPROTO].contains(&key)
                }
                _ => false,
            })
        };
        let held = std::mem::take(&mut self.pending);
        self.words.extend(held.into_iter().filter(|(key, _)| !says(*key)).map(|(_, words)| words));
    }

    fn add(&mut self, clause: &Clause) {
        match clause {
            Clause::Is { looked, operator, with } => self.is(looked, *operator, with),
            Clause::Between { looked, outside, low, high } => {
                self.flush(std::slice::from_ref(looked));
                let not = if *outside { "!= " } else { "" };
                let (low, high) = (self.value(&looked.field, low), self.value(&looked.field, high));
                let field = self.field(looked);
                self.words.push(format!("{field} {not}{low}-{high}"));
            }
            Clause::In { looked, .. } => {
                self.flush(looked);
                let words = self.lookup(clause);
                self.words.push(words);
            }
            Clause::Mark { connection, looked } => {
                self.flush(&[]);
                let value = match &looked.field {
                    Field::Value(bytes) => self.value(&Field::Meta(meta::MARK), bytes),
                    _ => self.field(looked),
                };
                let what = if *connection { "ct" } else { "meta" };
                self.words.push(format!("{what} mark set {value}"));
            }
            Clause::Translate { source, addresses, ports } => {
                self.flush(&[]);
                let what = if *source { "snat" } else { "dnat" };
                let to = self.target(addresses.as_ref(), ports.as_ref());
                self.words.push(format!("{what} to {to}"));
            }
            Clause::Masquerade { ports } | Clause::Redirect { ports } => {
                self.flush(&[]);
                let what =
                    if matches!(clause, Clause::Masquerade { .. }) { "masquerade" } else { "redirect" };
                let to = ports.as_ref().map(|ports| format!(" to {}", self.target(None, Some(ports))));
                self.words.push(format!("{what}{}", to.unwrap_or_default()));
            }
            Clause::Step(step) => {
                self.flush(&[]);
                let words = self.step(step);
                self.words.push(words);
            }
        }
    }

    fn is(&mut self, looked: &Looked, operator: u32, with: &[u8]) {
        if let (Field::Meta(meta::L4PROTO), [number], operator::EQUAL, None) =
            (&looked.field, with, operator, &looked.mask)
        {
            self.over = Some(*number);
            self.pending.push((meta::L4PROTO, format!("meta l4proto {}", protocol(*number))));
            return;
        }
        if let (Field::Meta(key @ (meta::NFPROTO | meta::PROTOCOL)), operator::EQUAL, None) =
            (&looked.field, operator, &looked.mask)
        {
            self.ipv6 = with == [family::IPV6] || with == [0x86, 0xdd];
            let text = format!("{} {}", self.field(looked), self.value(&looked.field, with));
            self.pending.push((*key, text));
            return;
        }
        self.flush(std::slice::from_ref(looked));
        let sign = match operator {
            operator::UNEQUAL => "!= ",
            operator::LESS => "< ",
            operator::AT_MOST => "<= ",
            operator::MORE => "> ",
            operator::AT_LEAST => ">= ",
            _ => "",
        };
        let text = match (&looked.field, &looked.mask) {
            (field @ Field::Payload { base: payload::NETWORK, .. }, mask) if self.is_address(field) => {
                let length = match mask {
                    Some((mask, _)) => prefix_length(mask),
                    None => u32::try_from(with.len() * 8).ok(),
                };
                let whole = if self.ipv6 { 128 } else { 32 };
                let prefix = match length {
                    Some(length) if length == whole => String::new(),
                    Some(length) => format!("/{length}"),
                    None => " [mask]".into(),
                };
                let plain = Looked { field: field.clone(), mask: None };
                format!("{} {sign}{}{prefix}", self.field(&plain), address(with, self.ipv6))
            }
            // `ct state a,b` asks whether any of them is set.
            (field @ Field::Connection(connection::STATE | connection::STATUS, _), Some((mask, _)))
                if operator == operator::UNEQUAL && with.iter().all(|byte| *byte == 0) =>
            {
                let plain = Looked { field: field.clone(), mask: None };
                format!("{} {}", self.field(&plain), self.value(field, mask))
            }
            (field, Some(_)) => {
                let sign = if sign.is_empty() { "== " } else { sign };
                format!("{} {sign}{}", self.field(looked), self.value(field, with))
            }
            (field, None) => format!("{} {sign}{}", self.field(looked), self.value(field, with)),
        };
        self.words.push(text);
    }

    fn lookup(&self, clause: &Clause) -> String {
        let Clause::In { looked, set, absent, verdict } = clause else { return "[?]".into() };
        let fields: Vec<String> = looked.iter().map(|looked| self.field(looked)).collect();
        let found = self.firewall.set(&self.rule.table, set);
        let named = match found {
            Some(set) if set.anonymous => self.elements(set, looked),
            _ => format!("@{set}"),
        };
        let maps = found.is_some_and(|set| set.data_type.is_some());
        let how = match (verdict, maps, absent) {
            (true, ..) => "vmap ",
            (_, true, _) => "map ",
            (_, _, true) => "!= ",
            _ => "",
        };
        format!("{} {how}{named}", fields.join(" . "))
    }

    fn target(&self, addresses: Option<&(Looked, Looked)>, ports: Option<&(Looked, Looked)>) -> String {
        let address = |looked: &Looked| match &looked.field {
            Field::Value(bytes) => address(bytes, self.ipv6).to_string(),
            _ => self.field(looked),
        };
        let port = |looked: &Looked| match &looked.field {
            Field::Value(bytes) => {
                bytes.get(..2).and_then(short).map_or_else(|| hexadecimal(bytes), |port| port.to_string())
            }
            _ => self.field(looked),
        };
        let span = |(first, last): &(Looked, Looked), text: &dyn Fn(&Looked) -> String| {
            if first == last { text(first) } else { format!("{}-{}", text(first), text(last)) }
        };
        let to = addresses.map(|pair| span(pair, &address)).unwrap_or_default();
        match ports.map(|pair| span(pair, &port)) {
            Some(ports) if self.ipv6 && !to.is_empty() => format!("[{to}]:{ports}"),
            Some(ports) => format!("{to}:{ports}"),
            None => to,
        }
    }

    fn step(&self, step: &Step) -> String {
        match step {
            Step::Counter => {
                let Counter { packets, bytes } = self.rule.counter.unwrap_or_default();
                format!("counter packets {packets} bytes {bytes}")
            }
            Step::NamedCounter(name) => format!("counter name \"{name}\""),
            Step::Limit { rate, unit, burst, bytes, over } => {
                let unit = match unit {
                    1 => "second".to_owned(),
                    60 => "minute".to_owned(),
                    3_600 => "hour".to_owned(),
                    86_400 => "day".to_owned(),
                    604_800 => "week".to_owned(),
                    other => format!("{other} seconds"),
                };
                let over = if *over { "over " } else { "" };
                let (what, more) = if *bytes { (" bytes", " bytes") } else { ("", " packets") };
                format!("limit rate {over}{rate}{what}/{unit} burst {burst}{more}")
            }
            Step::Log { prefix, group } => {
                let prefix = if prefix.is_empty() { String::new() } else { format!(" prefix \"{prefix}\"") };
                let group = group.map_or_else(String::new, |group| format!(" group {group}"));
                format!("log{prefix}{group}")
            }
            Step::Verdict(verdict) => said(verdict),
            Step::Reject(reject) => {
                format!("reject{}", reject_of_nft(*reject, self.rule.table.family, self.ipv6))
            }
            Step::Match(one) => format!("[xt match {}]", named(one)),
            Step::Target(target) => format!("[xt {}]", targets::of_iptables(target)),
            Step::Unknown(name) => format!("[{}]", quoted(name).trim_matches('"')),
            other => format!("[{other:?}]"),
        }
    }
}

fn named(one: &super::super::Match) -> String {
    match one {
        super::super::Match::Other { name, .. } => name.clone(),
        other => format!("{other:?}"),
    }
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".into(),
        Verdict::Drop => "drop".into(),
        Verdict::Continue => "continue".into(),
        Verdict::Return => "return".into(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
        Verdict::Other(code) => format!("[verdict {code}]"),
    }
}
