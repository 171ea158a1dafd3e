//! Rules and elements → the memory they take. Pure.

use super::{Element, Match, Rule, Step, Target, Value, Verdict};

/// What a piece of the heap takes: of the allocators in use none has smaller ones, or finer ones.
const fn piece(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16) }
}

impl Rule {
    /// Bytes, its own and those of everything it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        let words = [self.table.name.len(), self.chain.len(), self.comment.as_ref().map_or(0, String::len)];
        size_of::<Self>()
            + words.into_iter().map(piece).sum::<usize>()
            + piece(self.steps.capacity() * size_of::<Step>())
            + self.steps.iter().map(beside).sum::<usize>()
    }
}

impl Element {
    /// Bytes, its own and those of everything it holds.
    #[must_use]
    pub fn weight(&self) -> usize {
        let value = match &self.value {
            Value::Bytes(bytes) => bytes.len(),
            Value::Verdict(verdict) => name_of(verdict),
            Value::None | Value::Unknown => 0,
        };
        size_of::<Self>() + piece(self.key.len()) + piece(self.to.as_ref().map_or(0, Vec::len)) + piece(value)
    }
}

fn name_of(verdict: &Verdict) -> usize {
    verdict.leads_to().map_or(0, String::len)
}

/// What a step holds beside itself.
fn beside(step: &Step) -> usize {
    match step {
        Step::Mask { mask, flip, .. } => piece(mask.len()) + piece(flip.len()),
        Step::Range { low, high, .. } => piece(low.len()) + piece(high.len()),
        Step::Compare { with, .. } => piece(with.len()),
        Step::Load { value, .. } => piece(value.len()),
        Step::Verdict(verdict) => piece(name_of(verdict)),
        Step::Lookup { set: word, .. }
        | Step::NamedCounter(word)
        | Step::Log { prefix: word, .. }
        | Step::Match(Match::Other { name: word, .. })
        | Step::Target(Target::Other { name: word, .. } | Target::Log { prefix: word, .. })
        | Step::Unknown(word) => piece(word.len()),
        Step::Match(Match::Multiport { ports, .. }) => piece(size_of_val(ports.as_slice())),
        Step::Match(Match::Set { sources, .. }) => piece(sources.len()),
        Step::Match(Match::Physdev(physdev)) => [&physdev.incoming, &physdev.outgoing]
            .into_iter()
            .flatten()
            .map(|interface| piece(interface.name.len()))
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};
    use crate::host::facts::firewall::Table;

    #[test]
    fn a_rule_weighs_more_with_each_step_and_each_word() {
        let table = Table { family: 2, name: "nat".into() };
        let light = made_up::rule(&table, "c", vec![]);
        let step = Step::Compare { of: 1, operator: 0, with: vec![0; 4] };
        let heavy = made_up::rule(&table, "c", vec![step.clone(), step]);
        assert_eq!(heavy.weight() - light.weight(), piece(2 * size_of::<Step>()) + 2 * piece(4));
        let named = Rule { comment: Some("x".repeat(200)), ..light.clone() };
        assert!(named.weight() >= light.weight() + 200);
    }
}
