//! Rules and a network → whether what comes from it and leaves the host gets another source. Pure.
//!
//! What is not understood is taken so that a translation is never claimed for it: such a condition before a
//! translation does not hold, before a return it does.

use std::{cell::Cell, collections::HashMap, net::IpAddr};

use ipnet::IpNet;

use super::{Chain, Firewall, Match, Rule, Ruleset, Step, Table, Target, Verdict, meta, operator, payload};

/// Chains that jump to chains that jump …; the kernel allows sixteen (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: u32 = 16;
/// Rules looked at for one answer: chains that are jumped to from many places are looked at many times.
const MOST: u32 = 65_536;

/// A network behind an interface of the host.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Its addresses.
    pub network: IpNet,
    /// The interface it is behind.
    pub interface: &'a str,
    /// The interfaces by which one leaves the host.
    pub uplinks: &'a [&'a str],
}

impl Ruleset {
    /// Whether packets from there get another source when they leave; `None` where only rules that are not seen, the
    /// older back end's or those there was no room for, could say so.
    #[must_use]
    pub fn translates(&self, origin: Origin<'_>) -> Option<bool> {
        let family = if origin.network.addr().is_ipv4() { 2 } else { 10 };
        let firewall = Firewall::new(self);
        if self.incomplete {
            return None;
        }
        let mut cut_off = false;
        let concerned = |chain: &&Chain| chain.is_source_nat() && [family, 1].contains(&chain.table.family);
        let found = self.chains.iter().filter(concerned).any(|chain| {
            let judge = Judge { firewall: &firewall, table: &chain.table, origin, left: Cell::new(MOST) };
            let outcome = judge.chain(&chain.name, DEEPEST);
            cut_off |= judge.left.get() == 0;
            outcome == Outcome::Translated
        });
        let legacy = self.legacy.iter().any(|table| table.name == "nat");
        if found { Some(true) } else { (!legacy && !cut_off).then_some(false) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Translated,
    /// Through the chain, or back from it.
    GoesOn,
    /// Nothing after it is looked at.
    Ends,
}

struct Judge<'a> {
    firewall: &'a Firewall<'a>,
    table: &'a Table,
    origin: Origin<'a>,
    left: Cell<u32>,
}

impl Judge<'_> {
    fn chain(&self, name: &str, depth: u32) -> Outcome {
        if depth == 0 {
            return Outcome::GoesOn;
        }
        for rule in self.firewall.rules(self.table, name) {
            if self.left.get() == 0 {
                return Outcome::Ends;
            }
            self.left.set(self.left.get() - 1);
            let holds = self.conditions(rule);
            if holds == Some(false) {
                continue;
            }
            let certainly = holds == Some(true);
            for step in &rule.steps {
                match step {
                    step if certainly && translates(step) => return Outcome::Translated,
                    Step::Verdict(Verdict::Return) => return Outcome::GoesOn,
                    Step::Verdict(Verdict::Jump(chain)) if certainly => match self.chain(chain, depth - 1) {
                        Outcome::GoesOn => {}
                        outcome => return outcome,
                    },
                    Step::Verdict(Verdict::Goto(chain)) if certainly => return self.chain(chain, depth - 1),
                    Step::Verdict(_) if certainly => return Outcome::Ends,
                    _ => {}
                }
            }
        }
        Outcome::GoesOn
    }

    /// Whether a rule is for packets from the origin to somewhere outside; `None` if that cannot be told.
    fn conditions(&self, rule: &Rule) -> Option<bool> {
        let mut registers: HashMap<u32, Register> = HashMap::new();
        let mut certain = true;
        for step in &rule.steps {
            match step {
                Step::Payload { to, base, offset, length } => {
                    registers.insert(*to, self.payload(*base, *offset, *length));
                }
                Step::Meta { to, key } => {
                    let register = match *key {
                        meta::OIFNAME => Register::Leaving,
                        meta::IIFNAME => Register::Entering,
                        _ => Register::Unknown,
                    };
                    registers.insert(*to, register);
                }
                Step::Mask { from, to, mask, flip } => match registers.get_mut(to) {
                    Some(Register::Source { mask: before } | Register::Destination { mask: before })
                        if from == to && flip.iter().all(|byte| *byte == 0) =>
                    {
                        before.clone_from(mask);
                    }
                    _ => drop(registers.insert(*to, Register::Unknown)),
                },
                Step::Compare { of, operator, with } => {
                    let register = registers.get(of).unwrap_or(&Register::Unknown);
                    match self.compare(register, *operator, with) {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => certain = false,
                    }
                }
                step => certain &= is_idle(step),
            }
        }
        certain.then_some(true)
    }

    fn payload(&self, base: u32, offset: u32, length: u32) -> Register {
        // Where the addresses are (RFC 791, RFC 8200). A shorter read is a prefix of whole bytes.
        let (source, destination, size) =
            if self.origin.network.addr().is_ipv4() { (12, 16, 4) } else { (8, 24, 16) };
        let mask = vec![255; length as usize];
        match (base, offset) {
            (payload::NETWORK, at) if at == source && length <= size => Register::Source { mask },
            (payload::NETWORK, at) if at == destination && length <= size => Register::Destination { mask },
            _ => Register::Unknown,
        }
    }

    fn compare(&self, register: &Register, operator: u32, with: &[u8]) -> Option<bool> {
        let answer = match register {
            Register::Source { mask } => {
                let octets = octets(self.origin.network.network());
                let masked = octets.iter().zip(mask).map(|(one, mask)| one & mask);
                masked.eq(with.iter().copied())
            }
            // Some place outside: a particular one, the network itself or a group, is not meant.
            Register::Destination { .. } => false,
            Register::Leaving => self.origin.uplinks.iter().any(|name| is_named(with, name)),
            Register::Entering => is_named(with, self.origin.interface),
            Register::Unknown => return None,
        };
        match operator {
            operator::EQUAL => Some(answer),
            operator::UNEQUAL => Some(!answer),
            _ => None,
        }
    }
}

/// Whether a step gives the packet another source.
fn translates(step: &Step) -> bool {
    matches!(
        step,
        Step::Masquerade { .. }
            | Step::Nat { source: true, .. }
            | Step::Target(Target::Masquerade(_) | Target::Snat(_) | Target::Netmap(_))
    )
}

/// Whether a step, understood, changes nothing about whether the rule goes on.
fn is_idle(step: &Step) -> bool {
    translates(step)
        || matches!(
            step,
            Step::Counter
                | Step::NamedCounter(_)
                | Step::Load { .. }
                | Step::Match(Match::Comment)
                | Step::Verdict(_)
        )
}

enum Register {
    Source { mask: Vec<u8> },
    Destination { mask: Vec<u8> },
    Leaving,
    Entering,
    Unknown,
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A name is compared with its closing zeros, a name with a wildcard (`eth+`) without.
fn is_named(with: &[u8], name: &str) -> bool {
    match with.iter().position(|byte| *byte == 0) {
        Some(end) => with.get(..end) == Some(name.as_bytes()),
        None => name.as_bytes().starts_with(with),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Counter, made_up},
        *,
    };

    fn table() -> Table {
        Table { family: 2, name: "nat".into() }
    }

    fn chain(name: &str, hook: Option<(u32, i32)>) -> Chain {
        made_up::chain(&table(), name, hook.map(|hook| ("nat", hook)))
    }

    fn rule(chain: &str, steps: Vec<Step>) -> Rule {
        made_up::rule(&table(), chain, steps)
    }

    fn source(address: [u8; 4], mask: [u8; 4], operator: u32) -> Vec<Step> {
        vec![
            Step::Payload { to: 8, base: 1, offset: 12, length: 4 },
            Step::Mask { from: 8, to: 8, mask: mask.to_vec(), flip: vec![0; 4] },
            Step::Compare { of: 8, operator, with: address.to_vec() },
        ]
    }

    fn destination(address: [u8; 4], mask: [u8; 4], operator: u32) -> Vec<Step> {
        let mut steps = source(address, mask, operator);
        steps[0] = Step::Payload { to: 8, base: 1, offset: 16, length: 4 };
        steps
    }

    fn leaving(name: &str, operator: u32) -> Vec<Step> {
        let mut with = name.as_bytes().to_vec();
        with.resize(16, 0);
        vec![Step::Meta { to: 9, key: meta::OIFNAME }, Step::Compare { of: 9, operator, with }]
    }

    fn rules(rules: Vec<Rule>) -> Ruleset {
        let chains = vec![chain("POSTROUTING", Some((4, 100))), chain("OTHER", None)];
        Ruleset { chains, rules, ..Ruleset::default() }
    }

    fn translates(rules: &Ruleset, network: &str) -> Option<bool> {
        rules.translates(Origin {
            network: network.parse().unwrap(),
            interface: "virbr0",
            uplinks: &["eth0"],
        })
    }

    const SLASH_24: [u8; 4] = [255, 255, 255, 0];
    const NETWORK: [u8; 4] = [192, 168, 122, 0];

    #[test]
    fn libvirts_rules_translate_its_network_and_no_other() {
        let all = rules(vec![
            rule("POSTROUTING", vec![Step::Counter, Step::Verdict(Verdict::Jump("OTHER".into()))]),
            // Not to groups: -d 224.0.0.0/24 -j RETURN.
            rule(
                "OTHER",
                [
                    source(NETWORK, SLASH_24, 0),
                    destination([224, 0, 0, 0], SLASH_24, 0),
                    vec![Step::Verdict(Verdict::Return)],
                ]
                .concat(),
            ),
            rule(
                "OTHER",
                [
                    source(NETWORK, SLASH_24, 0),
                    destination(NETWORK, SLASH_24, 1),
                    vec![Step::Counter, Step::Masquerade { ports: None }],
                ]
                .concat(),
            ),
        ]);
        assert_eq!(translates(&all, "192.168.122.0/24"), Some(true));
        assert_eq!(translates(&all, "192.168.123.0/24"), Some(false));
        assert_eq!(translates(&all, "2001:db8::/64"), Some(false));
    }

    #[test]
    fn dockers_rule_holds_for_everything_but_its_own_bridge() {
        let all = rules(vec![rule(
            "POSTROUTING",
            [
                source([172, 17, 0, 0], [255, 255, 0, 0], 0),
                leaving("docker0", 1),
                vec![Step::Masquerade { ports: None }],
            ]
            .concat(),
        )]);
        assert_eq!(translates(&all, "172.17.0.0/16"), Some(true));
        assert_eq!(translates(&all, "192.168.122.0/24"), Some(false));
    }

    #[test]
    fn a_rule_for_the_uplink_translates_everybody() {
        let all = rules(vec![rule(
            "POSTROUTING",
            [leaving("eth0", 0), vec![Step::Masquerade { ports: None }]].concat(),
        )]);
        assert_eq!(translates(&all, "10.0.0.0/24"), Some(true));
        let other = rules(vec![rule(
            "POSTROUTING",
            [leaving("tun0", 0), vec![Step::Masquerade { ports: None }]].concat(),
        )]);
        assert_eq!(translates(&other, "10.0.0.0/24"), Some(false));
    }

    #[test]
    fn a_hairpin_rule_is_not_for_the_outside() {
        let all = rules(vec![rule(
            "POSTROUTING",
            [
                source([172, 17, 0, 2], [255; 4], 0),
                destination([172, 17, 0, 2], [255; 4], 0),
                vec![Step::Masquerade { ports: None }],
            ]
            .concat(),
        )]);
        assert_eq!(translates(&all, "172.17.0.2/32"), Some(false));
    }

    #[test]
    fn kubernetes_translates_what_is_marked_and_nobody_else() {
        // -m mark ! --mark 0x4000/0x4000 -j RETURN; -j MASQUERADE.
        let all = rules(vec![
            rule("POSTROUTING", vec![Step::Verdict(Verdict::Jump("OTHER".into()))]),
            rule("OTHER", vec![Step::Unknown("mystery".into()), Step::Verdict(Verdict::Return)]),
            rule("OTHER", vec![Step::Masquerade { ports: None }]),
        ]);
        assert_eq!(translates(&all, "192.168.122.0/24"), Some(false));
    }

    #[test]
    fn what_is_accepted_before_is_not_translated() {
        let all = rules(vec![
            rule(
                "POSTROUTING",
                [source(NETWORK, SLASH_24, 0), vec![Step::Verdict(Verdict::Accept)]].concat(),
            ),
            rule("POSTROUTING", vec![Step::Masquerade { ports: None }]),
        ]);
        assert_eq!(translates(&all, "192.168.122.0/24"), Some(false));
        assert_eq!(translates(&all, "192.168.1.0/24"), Some(true));
    }

    #[test]
    fn chains_that_jump_in_circles_come_to_an_end() {
        let all = rules(vec![
            rule("POSTROUTING", vec![Step::Verdict(Verdict::Goto("OTHER".into()))]),
            rule("OTHER", vec![Step::Verdict(Verdict::Jump("OTHER".into()))]),
        ]);
        assert_eq!(translates(&all, "10.0.0.0/24"), Some(false));
    }

    #[test]
    fn rules_that_nothing_leads_to_are_not_kept() {
        let chains = vec![chain("POSTROUTING", Some((4, 100))), chain("PREROUTING", Some((0, -100)))];
        let jump = |to: &str| vec![Step::Verdict(Verdict::Jump(to.into()))];
        let mut all: Vec<Rule> =
            (0..30_000).map(|n| rule(&format!("KUBE-SVC-{n}"), jump("KUBE-SEP"))).collect();
        all.push(rule("PREROUTING", jump("KUBE-SVC-1")));
        all.push(rule("POSTROUTING", jump("KUBE-POSTROUTING")));
        all.push(rule("KUBE-POSTROUTING", jump("POSTROUTING")));
        all.push(rule("KUBE-POSTROUTING", vec![Step::Masquerade { ports: None }]));
        let elsewhere = Table { family: 2, name: "other".into() };
        all.push(Rule {
            table: elsewhere,
            ..rule("KUBE-POSTROUTING", vec![Step::Masquerade { ports: None }])
        });
        let whole = Ruleset { chains, rules: all, ..Ruleset::default() };
        let kept = whole.clone().of_leaving();
        assert_eq!(kept.rules.len(), 3);
        assert_eq!(translates(&kept, "10.0.0.0/24"), translates(&whole, "10.0.0.0/24"));
        assert_eq!(translates(&kept, "10.0.0.0/24"), Some(true));
    }

    #[test]
    fn rules_that_only_counted_on_are_the_same() {
        let before = rules(vec![rule("POSTROUTING", vec![Step::Masquerade { ports: None }])]);
        let mut after = before.clone();
        after.rules[0].counter = Some(Counter { packets: 1, bytes: 60 });
        after.rules[0].handle = 9;
        after.chains[0].counter = Some(Counter { packets: 1, bytes: 60 });
        assert_ne!(after, before);
        assert_eq!(after.of_leaving(), before.of_leaving());
    }

    #[test]
    fn nfts_own_rule_for_one_address_translates() {
        let all = rules(vec![rule(
            "POSTROUTING",
            vec![
                Step::Load { to: 1, value: vec![192, 0, 2, 1] },
                Step::Nat { source: true, addresses: Some((1, 1)), ports: None },
            ],
        )]);
        assert_eq!(translates(&all, "10.0.0.0/24"), Some(true));
    }

    #[test]
    fn rules_that_were_not_read_leave_it_open() {
        let mut all = rules(vec![rule("POSTROUTING", vec![Step::Masquerade { ports: None }])]);
        all.incomplete = true;
        assert_eq!(translates(&all, "10.0.0.0/24"), None, "one before it may be missing");
    }

    #[test]
    fn more_rules_than_are_looked_at_leave_it_open() {
        let unknown = || rule("POSTROUTING", vec![Step::Unknown("mystery".into())]);
        let many = rules((0..=MOST).map(|_| unknown()).collect());
        assert_eq!(translates(&many, "10.0.0.0/24"), None);
    }

    #[test]
    fn rules_that_cannot_be_seen_leave_it_open() {
        let mut all = rules(vec![]);
        all.legacy.push(table());
        assert_eq!(translates(&all, "10.0.0.0/24"), None);
    }
}
