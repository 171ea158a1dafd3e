//! What the kernel announces of the rules, as plain data.

use super::{Chain, Element, Rule, Ruleset, Set, Table};

/// One announced change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// A chain is new, or has another policy.
    Chain(Chain),
    /// A chain is gone.
    ChainGone {
        /// Its table.
        table: Table,
        /// Its name.
        name: String,
    },
    /// A rule is new.
    Rule(Rule),
    /// A rule is gone. Since Linux 6.3 the kernel says of it no more than this.
    RuleGone {
        /// Its table.
        table: Table,
        /// Its chain.
        chain: String,
        /// What the kernel called it.
        handle: u64,
    },
    /// A set is new.
    Set(Set),
    /// A set has more elements.
    Elements {
        /// The set's table.
        table: Table,
        /// The set's name.
        set: String,
        /// Those that came.
        elements: Vec<Element>,
    },
    /// A set has fewer elements.
    ElementsGone {
        /// The set's table.
        table: Table,
        /// The set's name.
        set: String,
        /// How many went.
        count: usize,
    },
}

/// Rules remembered, so that one that goes can be told by its words: some hundred bytes each.
pub const MOST_REMEMBERED: usize = 16_384;

/// Changes that came into force at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// In the kernel's order.
    pub changes: Vec<Announced>,
    /// Rules that came and went beyond those.
    pub more: u64,
    /// Whose process made them, as far as the kernel says: its command's name.
    pub by: Option<String>,
}

/// What is heard of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// All of them, at the beginning and after announcements were lost.
    All(Ruleset),
    /// What changed.
    Changed(Transaction),
}
