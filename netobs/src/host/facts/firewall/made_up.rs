//! Rule sets for tests.

use std::net::IpAddr;

use super::{Chain, Rule, Ruleset, Step, Table, operator, payload};

pub(crate) fn chain(table: &Table, name: &str, base: Option<(&str, (u32, i32))>) -> Chain {
    Chain {
        table: table.clone(),
        name: name.into(),
        kind: base.map(|(kind, _)| kind.into()),
        hook: base.map(|(_, hook)| hook),
        drops: base.map(|_| false),
        counter: None,
    }
}

pub(crate) fn rule(table: &Table, chain: &str, steps: Vec<Step>) -> Rule {
    Rule {
        table: table.clone(),
        chain: chain.into(),
        handle: 0,
        position: 0,
        comment: None,
        counter: None,
        steps,
    }
}

/// Handles are unique, positions right.
pub(crate) fn ruleset(chains: Vec<Chain>, mut rules: Vec<Rule>) -> Ruleset {
    for (handle, rule) in (1..).zip(&mut rules) {
        rule.handle = handle;
    }
    let mut ruleset = Ruleset { chains, rules, ..Ruleset::default() };
    ruleset.number_rules();
    ruleset
}

/// `-d ADDRESS`.
pub(crate) fn to(address: &str) -> Vec<Step> {
    match address.parse().unwrap() {
        IpAddr::V4(address) => vec![
            Step::Payload { to: 1, base: payload::NETWORK, offset: 16, length: 4 },
            Step::Compare { of: 1, operator: operator::EQUAL, with: address.octets().to_vec() },
        ],
        IpAddr::V6(address) => vec![
            Step::Payload { to: 1, base: payload::NETWORK, offset: 24, length: 16 },
            Step::Compare { of: 1, operator: operator::EQUAL, with: address.octets().to_vec() },
        ],
    }
}
