//! The firewall as configured, as far as it is read: chains, rules and sets of nftables, and of iptables as nftables
//! keeps it. Plain data, with pure questions to it: what becomes of a packet ([`Firewall::pass`]), whether a network is
//! translated ([`Ruleset::translates`]), and how a person finds a rule ([`Firewall::line`], [`Ruleset::command`]).

mod announced;
mod bits;
mod compat;
mod index;
mod look;
mod packet;
mod pass;
mod reached;
mod render;
mod set;
mod state;
mod step;
mod translates;
mod weight;

pub use self::{
    announced::{Announced, MOST_REMEMBERED, News, Transaction},
    compat::{
        AddressTypes, Addresses, Connection, Interface, Match, NatRange, Physdev, Ports, Range, Target,
        TcpFlags,
    },
    index::Firewall,
    packet::{AddressKind, Device, Hook, Layer, Mark, Packet, PacketState, Port},
    pass::{Answer, End, Ended, Place, Translation},
    set::{Element, Set, Value},
    step::{Reject, Step, Verdict, connection, family, fib, meta, operator, payload},
    translates::Origin,
};

/// Chains, rules and sets of one network namespace, in the kernel's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// All chains.
    pub chains: Vec<Chain>,
    /// Rules; within a chain in the order in which they are looked at.
    pub rules: Vec<Rule>,
    /// The sets that rules look into.
    pub sets: Vec<Set>,
    /// Tables that are switched off: nothing of theirs is asked.
    pub dormant: Vec<Table>,
    /// Tables of the older back end (`iptables-legacy`), whose rules are not seen.
    pub legacy: Vec<Table>,
    /// Whether there is more than is kept here: something may be missing.
    pub incomplete: bool,
}

/// Where chains and rules live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// `NFPROTO_…`: [`family`].
    pub family: u8,
    /// Its name.
    pub name: String,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
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
    /// Whether what comes to its end is dropped; likewise.
    pub drops: Option<bool>,
    /// What came to its end, where that is counted: chains of iptables.
    pub counter: Option<Counter>,
}

impl Chain {
    /// Whether packets about to leave pass it for translation.
    #[must_use]
    pub fn is_source_nat(&self) -> bool {
        self.is_nat() && self.hook.is_some_and(|(hook, _)| hook == Hook::Postrouting.number())
    }

    /// Whether it is asked only for the first packet of a connection, to translate it.
    #[must_use]
    pub fn is_nat(&self) -> bool {
        self.kind.as_deref() == Some("nat")
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its table.
    pub table: Table,
    /// Its chain.
    pub chain: String,
    /// What the kernel calls it; only within its table.
    pub handle: u64,
    /// Where it stands in its chain, from 1: what `iptables --line-numbers` shows.
    pub position: u32,
    /// What whoever made it wrote beside it.
    pub comment: Option<String>,
    /// What it took, where it counts.
    pub counter: Option<Counter>,
    /// What it looks at and does, in order.
    pub steps: Vec<Step>,
}

impl Ruleset {
    /// Numbers rules within their chains.
    pub fn number_rules(&mut self) {
        let mut counts: std::collections::HashMap<(&Table, &str), u32> = std::collections::HashMap::new();
        let mut positions = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let count = counts.entry((&rule.table, rule.chain.as_str())).or_default();
            *count += 1;
            positions.push(*count);
        }
        for (rule, position) in self.rules.iter_mut().zip(positions) {
            rule.position = position;
        }
    }

    /// Whether the table is one of iptables', kept by nftables: its own names, with chains called as iptables calls
    /// them. `nft` shows them too, but a person looks with `iptables`.
    #[must_use]
    pub fn is_of_iptables(&self, table: &Table) -> bool {
        const TABLES: &[&str] = &["filter", "nat", "mangle", "raw", "security"];
        const CHAINS: &[&str] = &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
        [family::IPV4, family::IPV6].contains(&table.family)
            && TABLES.contains(&table.name.as_str())
            && self.chains.iter().any(|chain| {
                chain.table == *table && chain.hook.is_some() && CHAINS.contains(&chain.name.as_str())
            })
    }
}

#[cfg(test)]
pub(crate) mod made_up;
