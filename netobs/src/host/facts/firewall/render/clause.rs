//! The steps of a rule → what a person would call its clauses: what is looked at, and what it is compared with. Pure.

use std::collections::BTreeMap;

use super::super::{Firewall, Rule, Step, meta, operator};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Payload { base: u32, offset: u32, length: u32 },
    Meta(u32),
    Connection(u32, Option<u8>),
    Fib(u32, u32),
    Number { modulus: u32, offset: u32, random: bool },
    Value(Vec<u8>),
    Map(Box<Clause>),
    Unknown,
}

impl Field {
    /// Registers of four bytes it takes.
    fn words(&self) -> u32 {
        match self {
            Self::Payload { length, .. } => length.div_ceil(4),
            Self::Meta(meta::IIFNAME | meta::OIFNAME | meta::BRI_IIFNAME | meta::BRI_OIFNAME) => 4,
            Self::Value(bytes) => u32::try_from(bytes.len().div_ceil(4)).unwrap_or(16),
            _ => 1,
        }
    }
}

/// A field, perhaps masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) field: Field,
    pub(super) mask: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    Is {
        looked: Looked,
        operator: u32,
        with: Vec<u8>,
    },
    Between {
        looked: Looked,
        outside: bool,
        low: Vec<u8>,
        high: Vec<u8>,
    },
    /// A look into a set; with `verdict` the map's value is what happens.
    In {
        looked: Vec<Looked>,
        set: String,
        absent: bool,
        verdict: bool,
    },
    Mark {
        connection: bool,
        looked: Looked,
    },
    Translate {
        source: bool,
        addresses: Option<(Looked, Looked)>,
        ports: Option<(Looked, Looked)>,
    },
    Masquerade {
        ports: Option<(Looked, Looked)>,
    },
    Redirect {
        ports: Option<(Looked, Looked)>,
    },
    /// As it stands.
    Step(Step),
}

/// A register's place among those of four bytes.
fn slot(register: u32) -> u32 {
    match register {
        1..=4 => (register - 1) * 4,
        _ => register.saturating_sub(8),
    }
}

pub(super) fn clauses(firewall: &Firewall<'_>, rule: &Rule) -> Vec<Clause> {
    let mut registers: BTreeMap<u32, Looked> = BTreeMap::new();
    let mut clauses: Vec<Clause> = Vec::new();
    for step in &rule.steps {
        let at = |register: &u32| {
            let unknown = Looked { field: Field::Unknown, mask: None };
            registers.get(&slot(*register)).cloned().unwrap_or(unknown)
        };
        let pair = |registers: &Option<(u32, u32)>| registers.as_ref().map(|(a, b)| (at(a), at(b)));
        let (to, field) = match step {
            Step::Payload { to, base, offset, length } => {
                (to, Field::Payload { base: *base, offset: *offset, length: *length })
            }
            Step::Meta { to, key } => (to, Field::Meta(*key)),
            Step::Connection { to, key, direction } => (to, Field::Connection(*key, *direction)),
            Step::Fib { to, result, flags } => (to, Field::Fib(*result, *flags)),
            Step::Number { to, modulus, offset, random } => {
                (to, Field::Number { modulus: *modulus, offset: *offset, random: *random })
            }
            Step::Load { to, value } => (to, Field::Value(value.clone())),
            Step::Mask { from, to, mask, flip } => {
                let looked = Looked { mask: Some((mask.clone(), flip.clone())), ..at(from) };
                registers.insert(slot(*to), looked);
                continue;
            }
            Step::ByteOrder { from, to, .. } => {
                let looked = at(from);
                registers.insert(slot(*to), looked);
                continue;
            }
            Step::Compare { of, operator, with } => {
                let clause = Clause::Is { looked: at(of), operator: *operator, with: with.clone() };
                add(&mut clauses, clause);
                continue;
            }
            Step::Range { of, outside, low, high } => {
                let (low, high) = (low.clone(), high.clone());
                clauses.push(Clause::Between { looked: at(of), outside: *outside, low, high });
                continue;
            }
            Step::Lookup { of, set, to, absent } => {
                let length = firewall.set(&rule.table, set).map_or(0, |set| set.key_length.div_ceil(4));
                let mut looked = vec![at(of)];
                let mut next = slot(*of) + looked[0].field.words();
                while next < slot(*of) + length {
                    let Some(more) = registers.get(&next) else { break };
                    next += more.field.words().max(1);
                    looked.push(more.clone());
                }
                let clause =
                    Clause::In { looked, set: set.clone(), absent: *absent, verdict: *to == Some(0) };
                match to {
                    Some(to) if *to != 0 => (to, Field::Map(Box::new(clause))),
                    _ => {
                        clauses.push(clause);
                        continue;
                    }
                }
            }
            Step::SetMeta { from, key: meta::MARK } => {
                clauses.push(Clause::Mark { connection: false, looked: at(from) });
                continue;
            }
            Step::SetConnection { from, key: super::super::connection::MARK } => {
                clauses.push(Clause::Mark { connection: true, looked: at(from) });
                continue;
            }
            Step::Nat { source, addresses, ports } => {
                let (addresses, ports) = (pair(addresses), pair(ports));
                clauses.push(Clause::Translate { source: *source, addresses, ports });
                continue;
            }
            Step::Masquerade { ports } => {
                clauses.push(Clause::Masquerade { ports: pair(ports) });
                continue;
            }
            Step::Redirect { ports } => {
                clauses.push(Clause::Redirect { ports: pair(ports) });
                continue;
            }
            Step::SetMeta { .. }
            | Step::SetConnection { .. }
            | Step::Limit { .. }
            | Step::Counter
            | Step::NamedCounter(_)
            | Step::Log { .. }
            | Step::Verdict(_)
            | Step::Reject(_)
            | Step::Match(_)
            | Step::Target(_)
            | Step::Unknown(_) => {
                clauses.push(Clause::Step(step.clone()));
                continue;
            }
        };
        registers.insert(slot(*to), Looked { field, mask: None });
    }
    clauses
}

/// "At least" and "at most" of the same one after the other are one range.
fn add(clauses: &mut Vec<Clause>, clause: Clause) {
    if let Clause::Is { looked, operator: operator::AT_MOST, with: high } = &clause
        && let Some(Clause::Is { looked: before, operator: operator::AT_LEAST, with: low }) = clauses.last()
        && before == looked
    {
        let between =
            Clause::Between { looked: looked.clone(), outside: false, low: low.clone(), high: high.clone() };
        clauses.pop();
        clauses.push(between);
        return;
    }
    clauses.push(clause);
}
