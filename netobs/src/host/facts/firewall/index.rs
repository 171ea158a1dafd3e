//! A rule set made ready for questions: chains, rules and sets by name. Pure.

use std::collections::HashMap;

use super::{
    Chain, Rule, Ruleset, Set, Table,
    bits::Bits,
    set::{Found, Sorted},
};

/// By table, and by name within it.
type ByName<'a, T> = HashMap<&'a Table, HashMap<&'a str, T>>;

/// A rule set with its rules by chain.
#[derive(Debug)]
pub struct Firewall<'a> {
    pub(super) ruleset: &'a Ruleset,
    rules: ByName<'a, Vec<&'a Rule>>,
    sets: ByName<'a, (&'a Set, Sorted)>,
    pub(super) counted: bool,
}

impl<'a> Firewall<'a> {
    /// Goes over all rules once; questions then take what the chains asked take.
    #[must_use]
    pub fn new(ruleset: &'a Ruleset) -> Self {
        let mut rules: ByName<'a, Vec<&Rule>> = HashMap::new();
        for rule in &ruleset.rules {
            rules.entry(&rule.table).or_default().entry(rule.chain.as_str()).or_default().push(rule);
        }
        let mut sets: ByName<'a, (&'a Set, Sorted)> = HashMap::new();
        for set in &ruleset.sets {
            sets.entry(&set.table).or_default().insert(set.name.as_str(), (set, Sorted::new(&set.elements)));
        }
        Self { ruleset, rules, sets, counted: false }
    }

    /// Of packets that have been there: what counts, and has counted none, did nothing to them. Not so where somebody
    /// has set the counts to zero since, or written the rules anew.
    #[must_use]
    pub fn counted(self) -> Self {
        Self { counted: true, ..self }
    }

    /// The rule set.
    #[must_use]
    pub const fn ruleset(&self) -> &'a Ruleset {
        self.ruleset
    }

    /// The rules of a chain, in order.
    #[must_use]
    pub fn rules(&self, table: &Table, chain: &str) -> &[&'a Rule] {
        self.rules.get(table).and_then(|chains| chains.get(chain)).map(Vec::as_slice).unwrap_or_default()
    }

    /// A set of a table.
    #[must_use]
    pub fn set(&self, table: &Table, name: &str) -> Option<&'a Set> {
        Some(self.sets.get(table)?.get(name)?.0)
    }

    /// Looks into a set of a table for a key; none where there is no such set.
    pub(super) fn find(&self, table: &Table, set: &str, key: &[Bits]) -> Option<Found<'a>> {
        let (set, sorted) = self.sets.get(table)?.get(set)?;
        Some(set.find(sorted, key))
    }

    /// A chain of a table.
    #[must_use]
    pub fn chain(&self, table: &Table, name: &str) -> Option<&'a Chain> {
        self.ruleset.chains.iter().find(|chain| chain.table == *table && chain.name == name)
    }
}
