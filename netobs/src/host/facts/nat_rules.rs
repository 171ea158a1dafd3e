//! The rules that give packets another source on their way out, as far as they are read: plain data with one pure
//! question to it.

mod judge;

use std::collections::{BTreeSet, HashMap};

pub use judge::Origin;

/// Chains and rules of this network namespace, in the kernel's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatRules {
    /// All chains.
    pub chains: Vec<Chain>,
    /// All rules; within a chain in the order in which they are looked at.
    pub rules: Vec<Rule>,
    /// Whether the older back end has a `nat` table too, whose rules are not seen.
    pub legacy: bool,
}

impl NatRules {
    /// Of all rules, those in chains that packets about to leave may pass: a node's Services have tens of thousands of
    /// others, and the question is asked at every change of the host.
    #[must_use]
    pub fn new(chains: Vec<Chain>, mut rules: Vec<Rule>, legacy: bool) -> Self {
        let reached = reached(&chains, &rules);
        rules.retain(|rule| reached.contains(&(rule.table.clone(), rule.chain.clone())));
        Self { chains, rules, legacy }
    }
}

fn reached(chains: &[Chain], rules: &[Rule]) -> BTreeSet<(Table, String)> {
    let mut jumps: HashMap<(&Table, &str), Vec<&String>> = HashMap::new();
    for rule in rules {
        let chains = rule.expressions.iter().filter_map(|step| match step {
            Expression::Jump { chain, .. } => Some(chain),
            _ => None,
        });
        jumps.entry((&rule.table, rule.chain.as_str())).or_default().extend(chains);
    }
    let begin = chains.iter().filter(|chain| chain.is_source_nat());
    let mut open: Vec<(&Table, &String)> = begin.map(|chain| (&chain.table, &chain.name)).collect();
    let mut reached = BTreeSet::new();
    while let Some((table, chain)) = open.pop() {
        if reached.insert((table.clone(), chain.clone())) {
            open.extend(jumps.get(&(table, chain.as_str())).into_iter().flatten().map(|next| (table, *next)));
        }
    }
    reached
}

/// Where chains and rules live.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// `NFPROTO_…`: 1 inet, 2 IPv4, 10 IPv6.
    pub family: u8,
    /// Its name.
    pub name: String,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its table.
    pub table: Table,
    /// Its name.
    pub name: String,
    /// `nat`, `filter`, `route`; none for a chain that is only jumped to.
    pub kind: Option<String>,
    /// The hook it is called from (`NF_INET_…`) and its priority, likewise.
    pub hook: Option<(u32, i32)>,
}

impl Chain {
    /// Whether packets about to leave pass it for translation.
    #[must_use]
    pub fn is_source_nat(&self) -> bool {
        /// `NF_INET_POST_ROUTING`.
        const POST_ROUTING: u32 = 4;
        self.kind.as_deref() == Some("nat") && self.hook.is_some_and(|(hook, _)| hook == POST_ROUTING)
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its table.
    pub table: Table,
    /// Its chain.
    pub chain: String,
    /// What it looks at and does, in order.
    pub expressions: Vec<Expression>,
}

/// One step of a rule, by register where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Bytes of the packet into a register.
    Payload {
        /// The register.
        to: u32,
        /// `NFT_PAYLOAD_…`: 1 is the network header.
        base: u32,
        /// First byte.
        offset: u32,
        /// Number of bytes.
        length: u32,
    },
    /// Something about the packet into a register.
    Meta {
        /// The register.
        to: u32,
        /// `NFT_META_…`.
        key: u32,
    },
    /// A register masked in place.
    Mask {
        /// The register.
        to: u32,
        /// The mask.
        mask: Vec<u8>,
    },
    /// A comparison, on which the rule goes on or not.
    Compare {
        /// The register.
        of: u32,
        /// `NFT_CMP_…`: 0 equal, 1 not equal.
        operator: u32,
        /// The other side.
        with: Vec<u8>,
    },
    /// A look into a set whose members are not known here.
    Lookup {
        /// The register.
        of: u32,
    },
    /// The packet gets another source.
    SourceNat,
    /// On with another chain; `goto` does not come back.
    Jump {
        /// The chain.
        chain: String,
        /// Whether the rest of this chain is skipped.
        goto: bool,
    },
    /// Back to the calling chain.
    Return,
    /// The end, for better or worse.
    Verdict,
    /// Changes nothing about whether the rule goes on (a counter, a comment).
    Idle,
    /// Not understood here.
    Other,
}
