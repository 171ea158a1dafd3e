//! The rules of the firewall (nftables, and iptables as nftables keeps it), of the calling thread's network
//! namespace.
//!
//! Rules of the older iptables back end (`iptables-legacy`) are not seen; [`Ruleset::legacy`] says which of its tables
//! there are.

mod announcements;
mod attributes;
pub mod decode;
mod whole;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_NETFILTER;
use tokio::time::Instant;

pub use self::announcements::Announcements;
use self::whole::{Counted, is_whole};
use super::{
    facts::firewall::{Element, Rule, Ruleset, Set, Step, Table, family},
    namespaces::{InnerError, within},
    netlink::{Datagram, Dumped, Limits, Message, NetlinkSocket, PATIENCE, dump_within},
};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GET…` (nf_tables.h, Linux 6.18).
const GET_TABLE: u16 = 10 << 8 | 1;
const GET_CHAIN: u16 = 10 << 8 | 4;
const GET_RULE: u16 = 10 << 8 | 7;
const GET_SET: u16 = 10 << 8 | 10;
const GET_ELEMENTS: u16 = 10 << 8 | 13;
const GET_OBJECT: u16 = 10 << 8 | 19;
/// `struct nfgenmsg` for all families.
const ALL_FAMILIES: [u8; 4] = [0; 4];
/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
const RECEIVE_BUFFER: usize = 256 * 1024;
/// Bytes that the host's rules and elements may take: about a kilobyte for each rule of `kube-proxy`, so ten thousand
/// Services with two endpoints each find room.
pub const ROOM_OF_HOST: usize = 96 << 20;
/// Those of an endpoint's own stack, whose rules are anybody's.
pub const ROOM_OF_ENDPOINT: usize = 16 << 20;
/// Those that are asked for at every change, for guests.
const ROOM_OF_LEAVING: usize = 4 << 20;
/// Chains kept, and sets listed.
const MOST_CHAINS: usize = 131_072;
/// Chains asked for one by one.
const MOST_ASKED: usize = 1_024;
/// Sets whose elements are asked for; each is a question of its own.
const MOST_SETS: usize = 4_096;
/// Counters with a name kept.
const MOST_COUNTERS: usize = 65_536;

/// What is left to read with.
struct Budget {
    /// Bytes.
    room: usize,
    /// When it has to be done.
    deadline: Instant,
    /// Whether something was left out.
    incomplete: bool,
}

impl Budget {
    fn new(room: usize) -> Self {
        Self { room, deadline: Instant::now() + PATIENCE, incomplete: false }
    }

    /// So many entries of little weight.
    fn entries<T>(&self, most: usize) -> Limits<T> {
        Limits::of(most).until(self.deadline)
    }

    /// As many as there is room for.
    fn weighed<T>(&self, weigh: fn(&T) -> usize) -> Limits<T> {
        Limits { weight: self.room, weigh, ..self.entries(usize::MAX) }
    }

    fn taken<T>(&mut self, dumped: Dumped<T>) -> Vec<T> {
        self.incomplete |= dumped.is_incomplete() || dumped.undecoded > 0;
        dumped.entries
    }

    fn charge(&mut self, weight: usize) {
        self.room = self.room.saturating_sub(weight);
    }
}

/// Reads all of it that there is room for, with the elements of the sets that rules look into.
///
/// # Errors
/// No privilege (`CAP_NET_ADMIN`), or no nftables in this kernel.
pub async fn dump(room: usize) -> anyhow::Result<Ruleset> {
    let mut budget = Budget::new(room);
    let limits = budget.entries(MOST_CHAINS);
    let tables = dump_within(limits, NETLINK_NETFILTER, GET_TABLE, &ALL_FAMILIES, decode::dormant)
        .await
        .context("cannot read the firewall's tables")?;
    let dormant = budget.taken(tables);
    let chains = chains(&mut budget).await?;
    let rules = if chains.is_empty() { Vec::new() } else { rules(&mut budget, &ALL_FAMILIES).await? };
    let rules = counted_by_name(rules, &mut budget).await?;
    let sets = looked_into(&rules, &mut budget).await?;
    let incomplete = budget.incomplete || !is_whole(&chains, &rules, &sets);
    let chains = chains.into_iter().map(|counted| counted.chain).collect();
    let mut ruleset = Ruleset { chains, rules, sets, dormant, legacy: legacy(), incomplete };
    ruleset.number_rules();
    Ok(ruleset)
}

/// [`dump`] of another network namespace, by its file.
///
/// # Errors
/// The namespace is gone or cannot be entered, or as [`dump`].
pub async fn dump_inside(namespace: &Path) -> Result<Ruleset, InnerError> {
    within(namespace, |_, _| async { dump(ROOM_OF_ENDPOINT).await.map_err(InnerError::Failed) }).await
}

/// What is known where nothing of nftables can be read: the tables of the older back end.
#[must_use]
pub fn unseen() -> Ruleset {
    Ruleset { legacy: legacy(), incomplete: true, ..Ruleset::default() }
}

/// Reads what says whether packets about to leave get another source ([`Ruleset::of_leaving`]), chain by chain: of a
/// node's Services those chains are a hundredth.
///
/// # Errors
/// No privilege (`CAP_NET_ADMIN`), or no nftables in this kernel.
pub async fn dump_of_leaving() -> anyhow::Result<Ruleset> {
    let mut budget = Budget::new(ROOM_OF_LEAVING);
    let chains = chains(&mut budget).await?;
    let begin = chains.iter().filter(|counted| counted.chain.is_source_nat());
    let mut open: Vec<(Table, String)> =
        begin.map(|counted| (counted.chain.table.clone(), counted.chain.name.clone())).collect();
    let mut asked = BTreeSet::new();
    let mut all = Vec::new();
    while let Some((table, chain)) = open.pop() {
        if !asked.insert((table.clone(), chain.clone())) {
            continue;
        }
        if asked.len() > MOST_ASKED {
            budget.incomplete = true;
            break;
        }
        let rules = rules(&mut budget, &named(&table, &chain)).await?;
        open.extend(rules.iter().flat_map(Rule::jumps).map(|to| (table.clone(), to.clone())));
        all.extend(rules);
    }
    let seen = chains.iter().filter(|counted| counted.chain.is_source_nat());
    let incomplete = budget.incomplete || !is_whole(seen, &all, &[]);
    let chains = chains.into_iter().map(|counted| counted.chain).collect();
    Ok(Ruleset { chains, rules: all, legacy: legacy(), incomplete, ..Ruleset::default() }.of_leaving())
}

async fn chains(budget: &mut Budget) -> anyhow::Result<Vec<Counted>> {
    let counted = |message: Message<'_>| {
        let chain = decode::chain(message)?;
        Ok::<_, decode::Malformed>(chain.map(|chain| Counted { chain, uses: decode::uses(message) }))
    };
    let limits = budget.entries(MOST_CHAINS);
    let dumped = dump_within(limits, NETLINK_NETFILTER, GET_CHAIN, &ALL_FAMILIES, counted)
        .await
        .context("cannot read the firewall's chains")?;
    Ok(budget.taken(dumped))
}

/// Of all chains, or of the one that is asked for.
async fn rules(budget: &mut Budget, of: &[u8]) -> anyhow::Result<Vec<Rule>> {
    let limits = budget.weighed(Rule::weight);
    let dumped = dump_within(limits, NETLINK_NETFILTER, GET_RULE, of, decode::rule)
        .await
        .context("cannot read the firewall's rules")?;
    let rules = budget.taken(dumped);
    budget.charge(rules.iter().map(Rule::weight).sum());
    Ok(rules)
}

/// Rules that count into a counter with a name say what that one says.
async fn counted_by_name(mut rules: Vec<Rule>, budget: &mut Budget) -> anyhow::Result<Vec<Rule>> {
    let name = |rule: &Rule| {
        rule.steps.iter().find_map(|step| match step {
            Step::NamedCounter(name) => Some(name.clone()),
            _ => None,
        })
    };
    if !rules.iter().any(|rule| name(rule).is_some()) {
        return Ok(rules);
    }
    let limits = budget.entries(MOST_COUNTERS);
    let counters = dump_within(limits, NETLINK_NETFILTER, GET_OBJECT, &ALL_FAMILIES, decode::named_counter)
        .await
        .context("cannot read the firewall's counters")?;
    let counters: HashMap<_, _> =
        budget.taken(counters).into_iter().map(|(table, name, counter)| ((table, name), counter)).collect();
    for rule in &mut rules {
        if let Some(name) = name(rule) {
            rule.counter = rule.counter.or_else(|| counters.get(&(rule.table.clone(), name)).copied());
        }
    }
    Ok(rules)
}

/// The sets that rules look into, and those that lead to chains, by which these are used.
async fn looked_into(rules: &[Rule], budget: &mut Budget) -> anyhow::Result<Vec<Set>> {
    let mut wanted: BTreeSet<(&Table, &str)> = BTreeSet::new();
    for rule in rules {
        let names = rule.steps.iter().filter_map(|step| match step {
            Step::Lookup { set, .. } => Some(set.as_str()),
            _ => None,
        });
        wanted.extend(names.map(|name| (&rule.table, name)));
    }
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let limits = budget.entries(MOST_CHAINS);
    let sets = dump_within(limits, NETLINK_NETFILTER, GET_SET, &ALL_FAMILIES, decode::set)
        .await
        .context("cannot read the firewall's sets")?;
    let mut sets = budget.taken(sets);
    sets.retain(|set| set.leads_on() || wanted.contains(&(&set.table, set.name.as_str())));
    for (asked, set) in sets.iter_mut().enumerate() {
        if asked >= MOST_SETS || budget.room == 0 || Instant::now() >= budget.deadline {
            budget.incomplete = true;
            break;
        }
        let request = named(&set.table, &set.name);
        let limits = budget.weighed(|one: &Option<Element>| one.as_ref().map_or(0, Element::weight));
        let dumped = dump_within(limits, NETLINK_NETFILTER, GET_ELEMENTS, &request, decode::elements).await;
        // It may have gone meanwhile; then nothing is known of it.
        let Ok(dumped) = dumped else {
            budget.incomplete = true;
            continue;
        };
        set.complete =
            !dumped.is_incomplete() && dumped.undecoded == 0 && dumped.entries.iter().all(Option::is_some);
        budget.incomplete |= !set.complete;
        set.elements = budget.taken(dumped).into_iter().flatten().collect();
        budget.charge(set.elements.iter().map(Element::weight).sum());
    }
    Ok(sets)
}

/// `NFTA_SET_ELEM_LIST_TABLE`, `…_SET`; `NFTA_RULE_TABLE`, `…_CHAIN`.
fn named(table: &Table, name: &str) -> Vec<u8> {
    let mut request = vec![table.family, 0, 0, 0];
    request.extend(attributes::string(1, &table.name));
    request.extend(attributes::string(2, name));
    request
}

/// By the calling thread, for `/proc/net` is of the namespace of the process's first one.
fn legacy() -> Vec<Table> {
    let named = |family: u8, file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|name| Table { family, name: name.into() }).collect::<Vec<_>>()
    };
    let mut tables = named(family::IPV4, "/proc/thread-self/net/ip_tables_names");
    tables.extend(named(family::IPV6, "/proc/thread-self/net/ip6_tables_names"));
    tables
}

/// Hears of changes of the rules.
#[derive(Debug)]
pub struct Changes(NetlinkSocket);

impl Changes {
    /// Listens in the calling thread's network namespace.
    ///
    /// # Errors
    /// No privilege (`CAP_NET_ADMIN`), or no nftables in this kernel.
    pub fn listen() -> anyhow::Result<Self> {
        NetlinkSocket::open(NETLINK_NETFILTER, &[GROUP], RECEIVE_BUFFER).map(Self)
    }

    /// Waits for a change; lost announcements are one too. What is queued with it is taken along.
    ///
    /// # Errors
    /// The kernel closed the socket.
    pub async fn next(&mut self) -> std::io::Result<()> {
        match self.0.receive().await? {
            Datagram::Messages(_) | Datagram::Lost => {}
        }
        while self.0.try_receive()?.is_some() {}
        Ok(())
    }
}
