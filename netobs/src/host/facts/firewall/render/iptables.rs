//! A rule → its line as `iptables -S` of iptables 1.8.9 writes it. Pure.

use super::{
    super::{
        AddressTypes, Addresses, Connection, Firewall, Interface, Match, Physdev, Ports, Rule, Step, Verdict,
        connection, family, meta, operator, payload,
    },
    clause::{Clause, Field, Looked, clauses},
    targets,
    values::{address, flags, hexadecimal, name, prefix_length, protocol, quoted, short, word},
};

/// The parts of a line, in the order iptables writes them.
#[derive(Default)]
struct Line {
    source: String,
    destination: String,
    incoming: String,
    outgoing: String,
    protocol: String,
    fragment: String,
    /// Matches of their own, in the order of the rule.
    matches: Vec<String>,
    /// Where among them the ports and flags of the protocol stand.
    ports: Option<usize>,
    source_ports: String,
    destination_ports: String,
    flags: String,
    /// What the protocol is called.
    over: String,
    target: String,
}

pub(super) fn line(firewall: &Firewall<'_>, rule: &Rule) -> String {
    let mut line = Line::default();
    let ipv6 = rule.table.family == family::IPV6;
    for clause in clauses(firewall, rule) {
        line.add(&clause, ipv6, rule.comment.as_deref());
    }
    line.text(&rule.chain)
}

fn not(operator: u32) -> &'static str {
    if operator == operator::UNEQUAL { "! " } else { "" }
}

fn sign(inverted: bool) -> &'static str {
    if inverted { "! " } else { "" }
}

fn span(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}:{last}") }
}

fn ports(option: &str, ports: Ports) -> String {
    if ports.is_any() {
        return String::new();
    }
    format!(" {}--{option} {}", sign(ports.inverted), span(ports.first, ports.last))
}

fn joined(names: &[(u16, &str)], mask: u16) -> String {
    let named = names.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name);
    named.collect::<Vec<_>>().join(",")
}

impl Line {
    fn text(mut self, chain: &str) -> String {
        if let Some(at) = self.ports {
            let text =
                format!("-m {}{}{}{}", self.over, self.source_ports, self.destination_ports, self.flags);
            self.matches.insert(at.min(self.matches.len()), text);
        }
        let parts = [
            format!("-A {chain}"),
            self.source,
            self.destination,
            self.incoming,
            self.outgoing,
            self.protocol,
            self.fragment,
            self.matches.join(" "),
            self.target,
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn add(&mut self, clause: &Clause, ipv6: bool, comment: Option<&str>) {
        match clause {
            Clause::Is { looked, operator, with } => {
                if !self.is(looked, *operator, with, ipv6) {
                    self.matches.push(format!("[{} {}]", described(looked), hexadecimal(with)));
                }
            }
            Clause::Between { looked, outside, low, high } => {
                let range = short(low).zip(short(high)).map(|(low, high)| span(low, high));
                match (&looked.field, range) {
                    (Field::Payload { base: payload::TRANSPORT, offset, length: 2 }, Some(range)) => {
                        self.port(*offset, sign(*outside), &range);
                    }
                    _ => self.matches.push(format!("[{}]", described(looked))),
                }
            }
            Clause::In { set, .. } => self.matches.push(format!("[lookup {set}]")),
            Clause::Mark { looked, connection } => {
                let name = if *connection { "CONNMARK" } else { "MARK" };
                self.target = match (&looked.field, &looked.mask) {
                    (Field::Value(bytes), None) => {
                        let value = word(bytes).unwrap_or_default();
                        format!("-j {name} --set-xmark {value:#x}/0xffffffff")
                    }
                    (Field::Meta(meta::MARK), Some((mask, flip))) => {
                        let (mask, flip) = (word(mask).unwrap_or_default(), word(flip).unwrap_or_default());
                        format!("-j {name} --set-xmark {flip:#x}/{:#x}", !mask)
                    }
                    _ => format!("-j {name} [{}]", described(looked)),
                };
            }
            Clause::Translate { source, .. } => {
                self.target = if *source { "-j SNAT" } else { "-j DNAT" }.into();
            }
            Clause::Masquerade { .. } => self.target = "-j MASQUERADE".into(),
            Clause::Redirect { .. } => self.target = "-j REDIRECT".into(),
            Clause::Step(step) => self.step(step, comment),
        }
    }

    fn step(&mut self, step: &Step, comment: Option<&str>) {
        match step {
            Step::Match(one) => self.matches.push(condition(one, comment)),
            Step::Target(target) => self.target = targets::of_iptables(target),
            Step::Limit { rate, unit, burst, over: false, bytes: false } => {
                let unit = match unit {
                    1 => "sec".to_owned(),
                    60 => "min".to_owned(),
                    3_600 => "hour".to_owned(),
                    86_400 => "day".to_owned(),
                    other => format!("{other}s"),
                };
                let burst = if *burst == 5 { String::new() } else { format!(" --limit-burst {burst}") };
                self.matches.push(format!("-m limit --limit {rate}/{unit}{burst}"));
            }
            Step::Limit { .. } => self.matches.push("[limit]".into()),
            Step::Verdict(verdict) => {
                self.target = match verdict {
                    Verdict::Accept => "-j ACCEPT".into(),
                    Verdict::Drop => "-j DROP".into(),
                    Verdict::Return => "-j RETURN".into(),
                    Verdict::Jump(chain) => format!("-j {chain}"),
                    Verdict::Goto(chain) => format!("-g {chain}"),
                    Verdict::Continue => String::new(),
                    Verdict::Other(code) => format!("[verdict {code}]"),
                }
            }
            Step::Reject(reject) => {
                self.target =
                    format!("-j REJECT --reject-with {}", super::values::reject_of_iptables(*reject));
            }
            Step::Log { group: Some(group), prefix } => {
                let prefix = if prefix.is_empty() {
                    String::new()
                } else {
                    format!("--nflog-prefix {} ", quoted(prefix))
                };
                self.target = format!("-j NFLOG {prefix}--nflog-group {group}");
            }
            Step::Log { prefix, .. } => self.target = format!("-j LOG --log-prefix {}", quoted(prefix)),
            Step::Unknown(name) => self.matches.push(format!("[{name}]")),
            _ => {}
        }
    }

    fn port(&mut self, offset: u32, not: &str, ports: &str) {
        self.ports.get_or_insert(self.matches.len());
        match offset {
            0 => self.source_ports = format!(" {not}--sport {ports}"),
            _ => self.destination_ports = format!(" {not}--dport {ports}"),
        }
    }

    /// Whether it is understood.
    fn is(&mut self, looked: &Looked, operator: u32, with: &[u8], ipv6: bool) -> bool {
        if ![operator::EQUAL, operator::UNEQUAL].contains(&operator) {
            return false;
        }
        let not = not(operator);
        let plain = |flip: &[u8]| flip.iter().all(|byte| *byte == 0);
        let mask = match &looked.mask {
            Some((mask, flip)) if plain(flip) => Some(mask.as_slice()),
            Some(_) => return false,
            None => None,
        };
        let (source, destination) = if ipv6 { (8, 24) } else { (12, 16) };
        match looked.field {
            Field::Payload { base: payload::NETWORK, offset, length }
                if length <= 16 && (offset == source || offset == destination) =>
            {
                let prefix = match mask {
                    Some(mask) => match prefix_length(mask) {
                        Some(length) => length.to_string(),
                        None => address(mask, ipv6).to_string(),
                    },
                    None => (length * 8).to_string(),
                };
                let address = address(with, ipv6);
                if offset == source {
                    self.source = format!("{not}-s {address}/{prefix}");
                } else {
                    self.destination = format!("{not}-d {address}/{prefix}");
                }
            }
            Field::Payload { base: payload::NETWORK, offset: 6, length: 2 } if !ipv6 => {
                self.fragment = if operator == operator::UNEQUAL { "-f" } else { "! -f" }.into();
            }
            Field::Payload { base: payload::TRANSPORT, offset: offset @ (0 | 2), length: 2 }
                if mask.is_none() =>
            {
                match short(with) {
                    Some(port) => self.port(offset, not, &port.to_string()),
                    None => return false,
                }
            }
            Field::Payload { base: payload::TRANSPORT, offset: 13, length: 1 } => {
                let (Some([mask]), [set]) = (mask, with) else { return false };
                self.ports.get_or_insert(self.matches.len());
                self.flags = format!(" {not}--tcp-flags {} {}", flags(*mask), flags(*set));
            }
            Field::Meta(key @ (meta::IIFNAME | meta::OIFNAME)) => {
                let (name, begins) = name(with);
                let plus = if begins { "+" } else { "" };
                if key == meta::IIFNAME {
                    self.incoming = format!("{not}-i {name}{plus}");
                } else {
                    self.outgoing = format!("{not}-o {name}{plus}");
                }
            }
            Field::Meta(meta::L4PROTO) => {
                let [number] = with else { return false };
                self.over = protocol(*number);
                self.protocol = format!("{not}-p {}", self.over);
            }
            Field::Meta(meta::MARK) => {
                let (Some(value), mask) = (word(with), mask.and_then(word)) else { return false };
                let mask = mask.map_or_else(String::new, |mask| format!("/{mask:#x}"));
                self.matches.push(format!("-m mark {not}--mark {value:#x}{mask}"));
            }
            Field::Connection(connection::MARK, _) => {
                let (Some(value), mask) = (word(with), mask.and_then(word)) else { return false };
                let mask = mask.map_or_else(String::new, |mask| format!("/{mask:#x}"));
                self.matches.push(format!("-m connmark {not}--mark {value:#x}{mask}"));
            }
            _ => return false,
        }
        true
    }
}

fn described(looked: &Looked) -> String {
    match &looked.field {
        Field::Payload { base, offset, length } => format!("payload {base} {offset} {length}"),
        Field::Meta(key) => format!("meta {key}"),
        Field::Connection(key, _) => format!("ct {key}"),
        Field::Fib(..) => "fib".into(),
        Field::Number { .. } => "numgen".into(),
        Field::Value(_) | Field::Map(_) | Field::Unknown => "?".into(),
    }
}

fn marked(name: &str, value: u32, mask: u32, inverted: bool) -> String {
    let mask = if mask == u32::MAX { String::new() } else { format!("/{mask:#x}") };
    format!("-m {name} {}--mark {value:#x}{mask}", sign(inverted))
}

fn condition(one: &Match, comment: Option<&str>) -> String {
    match one {
        Match::Tcp { source, destination, flags: looked_at, option } => {
            let looked_at = looked_at.map_or_else(String::new, |of| {
                format!(" {}--tcp-flags {} {}", sign(of.inverted), flags(of.mask), flags(of.set))
            });
            let option = option.map_or_else(String::new, |(option, wanted)| {
                format!(" {}--tcp-option {option}", sign(!wanted))
            });
            format!("-m tcp{}{}{option}{looked_at}", ports("sport", *source), ports("dport", *destination))
        }
        Match::Udp { source, destination } => {
            format!("-m udp{}{}", ports("sport", *source), ports("dport", *destination))
        }
        Match::Icmp { ipv6, kind, codes, inverted } => {
            let (name, option) = if *ipv6 { ("icmp6", "icmpv6-type") } else { ("icmp", "icmp-type") };
            let code = if codes.0 == codes.1 { format!("/{}", codes.0) } else { String::new() };
            let kind = if !ipv6 && *kind == u8::MAX { "any".into() } else { format!("{kind}{code}") };
            format!("-m {name} {}--{option} {kind}", sign(*inverted))
        }
        Match::Multiport { source, destination, ports, inverted } => {
            let option = match (source, destination) {
                (true, true) => "ports",
                (true, false) => "sports",
                _ => "dports",
            };
            let list: Vec<String> = ports.iter().map(|(first, last)| span(*first, *last)).collect();
            format!("-m multiport {}--{option} {}", sign(*inverted), list.join(","))
        }
        Match::Connection(connection) => tracked(*connection),
        Match::Comment => format!("-m comment --comment {}", quoted(comment.unwrap_or_default())),
        Match::Mark { value, mask, inverted } => marked("mark", *value, *mask, *inverted),
        Match::ConnectionMark { value, mask, inverted } => marked("connmark", *value, *mask, *inverted),
        Match::AddressTypes(types) => address_types(*types),
        Match::Physdev(device) => physdev(device),
        Match::Set { index, sources, absent } => {
            let sides: Vec<&str> = sources.iter().map(|source| if *source { "src" } else { "dst" }).collect();
            format!("-m set {}--match-set [number {index}] {}", sign(*absent), sides.join(","))
        }
        Match::Random { of_two_to_31, inverted } => {
            let probability = f64::from(*of_two_to_31) / f64::from(0x8000_0000_u32);
            format!("-m statistic --mode random {}--probability {probability:.11}", sign(*inverted))
        }
        Match::Nth { every, packet, inverted } => {
            format!("-m statistic --mode nth {}--every {every} --packet {packet}", sign(*inverted))
        }
        Match::AddressRange { source, destination } => {
            let range = |option: &str, range: &Option<Addresses>| {
                range.map_or_else(String::new, |range| {
                    format!(" {}--{option} {}-{}", sign(range.inverted), range.first, range.last)
                })
            };
            format!("-m iprange{}{}", range("src-range", source), range("dst-range", destination))
        }
        Match::Limit { average, burst } => {
            format!("-m limit [one in {average}/10000 s, burst {burst}]")
        }
        Match::Other { name, .. } => format!("-m {name} [...]"),
    }
}

fn tracked(connection: Connection) -> String {
    const STATES: &[(u16, &str)] = &[
        (1, "INVALID"),
        (8, "NEW"),
        (4, "RELATED"),
        (2, "ESTABLISHED"),
        (256, "UNTRACKED"),
        (64, "SNAT"),
        (128, "DNAT"),
    ];
    const STATUS: &[(u16, &str)] = &[(1, "EXPECTED"), (2, "SEEN_REPLY"), (4, "ASSURED"), (8, "CONFIRMED")];
    let (name, option) = if connection.is_state { ("state", "state") } else { ("conntrack", "ctstate") };
    let mut text = format!("-m {name}");
    if let Some((states, inverted)) = connection.states {
        text += &format!(" {}--{option} {}", sign(inverted), joined(STATES, states));
    }
    if let Some((status, inverted)) = connection.status {
        text += &format!(" {}--ctstatus {}", sign(inverted), joined(STATUS, status));
    }
    if let Some(original) = connection.original {
        text += if original { " --ctdir ORIGINAL" } else { " --ctdir REPLY" };
    }
    if connection.more {
        text += " [...]";
    }
    text
}

fn address_types(types: AddressTypes) -> String {
    const TYPES: &[(u16, &str)] = &[
        (1, "UNSPEC"),
        (1 << 1, "UNICAST"),
        (1 << 2, "LOCAL"),
        (1 << 3, "BROADCAST"),
        (1 << 4, "ANYCAST"),
        (1 << 5, "MULTICAST"),
        (1 << 6, "BLACKHOLE"),
        (1 << 7, "UNREACHABLE"),
        (1 << 8, "PROHIBIT"),
    ];
    let mut text = String::from("-m addrtype");
    for (option, (mask, inverted)) in [("src-type", types.source), ("dst-type", types.destination)] {
        if mask != 0 {
            text += &format!(" {}--{option} {}", sign(inverted), joined(TYPES, mask));
        }
    }
    match types.of_interface {
        Some(true) => text += " --limit-iface-in",
        Some(false) => text += " --limit-iface-out",
        None => {}
    }
    text
}

fn physdev(device: &Physdev) -> String {
    let named = |option: &str, interface: &Option<Interface>| {
        interface.as_ref().map_or_else(String::new, |one| {
            format!(" {}--{option} {}{}", sign(one.inverted), one.name, if one.prefix { "+" } else { "" })
        })
    };
    let is = |option: &str, wanted: Option<bool>| {
        wanted.map_or_else(String::new, |wanted| format!(" {}--{option}", sign(!wanted)))
    };
    format!(
        "-m physdev{}{}{}{}{}",
        is("physdev-is-in", device.is_in),
        named("physdev-in", &device.incoming),
        is("physdev-is-out", device.is_out),
        named("physdev-out", &device.outgoing),
        is("physdev-is-bridged", device.bridged)
    )
}
