//! All rules → those that packets about to leave may pass. Pure.

use std::collections::{BTreeSet, HashMap};

use super::{Rule, Ruleset, Set, Step, Table, Value, Verdict};

impl Ruleset {
    /// Of all rules, those in chains that packets about to leave may pass, without what does not bear on where they
    /// come from: a node's Services have tens of thousands of others, the question is asked at every change of the
    /// host, and rules that only counted on, or were written anew, have not changed.
    #[must_use]
    pub fn of_leaving(mut self) -> Self {
        let reached = reached(&self);
        self.rules.retain(|rule| reached.contains(&(rule.table.clone(), rule.chain.clone())));
        for rule in &mut self.rules {
            (rule.counter, rule.comment) = (None, None);
            (rule.handle, rule.position) = (0, 0);
        }
        for chain in &mut self.chains {
            chain.counter = None;
        }
        self.sets.clear();
        self
    }
}

impl Rule {
    /// The chains it may go on with, those in sets aside.
    pub fn jumps(&self) -> impl Iterator<Item = &String> {
        self.steps.iter().filter_map(|step| match step {
            Step::Verdict(verdict) => verdict.leads_to(),
            _ => None,
        })
    }
}

impl Set {
    /// Whether its elements may lead to chains.
    #[must_use]
    pub fn leads_on(&self) -> bool {
        /// `NFT_DATA_VERDICT`.
        const VERDICT: u32 = 0xffff_ff00;
        self.data_type == Some(VERDICT)
    }

    /// The chains its elements lead to.
    pub fn jumps(&self) -> impl Iterator<Item = &String> {
        self.elements.iter().filter_map(|element| match &element.value {
            Value::Verdict(verdict) => verdict.leads_to(),
            _ => None,
        })
    }
}

impl Verdict {
    /// The chain it goes on with.
    #[must_use]
    pub const fn leads_to(&self) -> Option<&String> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}

fn reached(ruleset: &Ruleset) -> BTreeSet<(Table, String)> {
    let mut next: HashMap<(&Table, &str), Vec<&String>> = HashMap::new();
    for rule in &ruleset.rules {
        next.entry((&rule.table, rule.chain.as_str())).or_default().extend(rule.jumps());
    }
    let begin = ruleset.chains.iter().filter(|chain| chain.is_source_nat());
    let mut open: Vec<(&Table, &String)> = begin.map(|chain| (&chain.table, &chain.name)).collect();
    let mut reached = BTreeSet::new();
    while let Some((table, chain)) = open.pop() {
        if reached.insert((table.clone(), chain.clone())) {
            open.extend(next.get(&(table, chain.as_str())).into_iter().flatten().map(|next| (table, *next)));
        }
    }
    reached
}
