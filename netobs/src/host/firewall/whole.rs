//! Chains with what the kernel counts of them, rules and sets → whether all rules are there. Pure.
//!
//! The kernel ends a dump at a rule that is larger than the piece it makes, as if there were no more: extensions of
//! iptables can make one rule larger than any piece, and whoever owns a stack could hide all others behind it.

use std::collections::HashMap;

use crate::host::facts::firewall::{Chain, Rule, Set, Table};

/// A chain, and how many rules are in it or lead to it, by the kernel's count.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) chain: Chain,
    pub(super) uses: u32,
}

/// Whether every chain has as many rules, and is led to by as many, as the kernel counts (`struct nft_chain`,
/// include/net/netfilter/nf_tables.h, Linux 6.18). Elements of sets lead to chains as well.
pub(super) fn is_whole<'a>(
    chains: impl IntoIterator<Item = &'a Counted>,
    rules: &[Rule],
    sets: &[Set],
) -> bool {
    let mut found: HashMap<(&Table, &str), u32> = HashMap::new();
    let mut count = |table, chain| *found.entry((table, chain)).or_default() += 1;
    for rule in rules {
        count(&rule.table, rule.chain.as_str());
        rule.jumps().for_each(|to| count(&rule.table, to.as_str()));
    }
    for set in sets {
        set.jumps().for_each(|to| count(&set.table, to.as_str()));
    }
    chains.into_iter().all(|Counted { chain, uses }| {
        found.get(&(&chain.table, chain.name.as_str())).copied().unwrap_or_default() >= *uses
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::firewall::{Element, Step, Value, Verdict, made_up};

    fn table() -> Table {
        Table { family: 2, name: "t".into() }
    }

    fn counted(name: &str, uses: u32) -> Counted {
        Counted { chain: made_up::chain(&table(), name, None), uses }
    }

    fn jump(chain: &str) -> Rule {
        made_up::rule(&table(), chain, vec![Step::Verdict(Verdict::Jump("b".into()))])
    }

    #[test]
    fn rules_and_what_leads_to_a_chain_are_its_uses() {
        let element = Element {
            key: vec![1],
            to: None,
            ends: false,
            catch_all: false,
            value: Value::Verdict(Verdict::Goto("b".into())),
        };
        let map = Set { table: table(), elements: vec![element], ..Set::default() };
        let rules = [jump("a"), jump("a"), made_up::rule(&table(), "b", vec![])];
        assert!(is_whole(&[counted("a", 2), counted("b", 4)], &rules, std::slice::from_ref(&map)));
        assert!(!is_whole(&[counted("a", 2), counted("b", 4)], &rules, &[]), "an element is missing");
        assert!(!is_whole(&[counted("a", 3), counted("b", 4)], &rules, &[map]), "a rule is missing");
        assert!(is_whole(&[counted("empty", 0)], &[], &[]));
    }
}
