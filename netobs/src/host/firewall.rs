//! The rules of the firewall (nftables, and iptables as nftables keeps it), of the calling thread's network
//! namespace.
//!
//! Rules of the older iptables back end (`iptables-legacy`) are not seen; [`Ruleset::legacy`] says which of its tables
//! there are.

mod announcements;
mod attributes;
pub mod decode;

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_NETFILTER;

pub use self::announcements::Announcements;
use super::{
    facts::firewall::{Chain, Rule, Ruleset, Set, Step, Table, family},
    namespaces::{InnerError, within},
    netlink::{self, Datagram, Dumped, NetlinkSocket},
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
/// Rules kept, about a kilobyte each at most: a node with ten thousand Services has about as many.
const MOST_RULES: usize = 131_072;
/// Chains kept, and sets listed.
const MOST_CHAINS: usize = 131_072;
/// Sets whose elements are asked for; each is a question of its own.
const MOST_SETS: usize = 4_096;
/// Counters with a name kept.
const MOST_COUNTERS: usize = 65_536;
/// Elements kept of all sets together, some hundred bytes each.
const MOST_ELEMENTS: usize = 131_072;

/// Reads all of it, with the elements of the sets that rules look into.
///
/// # Errors
/// No privilege (`CAP_NET_ADMIN`), or no nftables in this kernel.
pub async fn dump() -> anyhow::Result<Ruleset> {
    let mut incomplete = false;
    let tables =
        netlink::dump_at_most(MOST_CHAINS, NETLINK_NETFILTER, GET_TABLE, &ALL_FAMILIES, decode::dormant)
            .await
            .context("cannot read the firewall's tables")?;
    let chains = taken(chains().await?, &mut incomplete);
    let rules = if chains.is_empty() { Vec::new() } else { taken(rules().await?, &mut incomplete) };
    let rules = counted_by_name(rules, &mut incomplete).await?;
    let sets = looked_into(&rules, &mut incomplete).await?;
    let dormant = taken(tables, &mut incomplete);
    let mut ruleset = Ruleset { chains, rules, sets, dormant, legacy: legacy(), incomplete };
    ruleset.number_rules();
    Ok(ruleset)
}

/// [`dump`] of another network namespace, by its file.
///
/// # Errors
/// The namespace is gone or cannot be entered, or as [`dump`].
pub async fn dump_inside(namespace: &Path) -> Result<Ruleset, InnerError> {
    within(namespace, |_, _| async { dump().await.map_err(InnerError::Failed) }).await
}

/// Reads what says whether packets about to leave get another source ([`Ruleset::of_leaving`]).
///
/// # Errors
/// No privilege (`CAP_NET_ADMIN`), or no nftables in this kernel.
pub async fn dump_of_leaving() -> anyhow::Result<Ruleset> {
    let mut incomplete = false;
    let chains = taken(chains().await?, &mut incomplete);
    let rules = if chains.iter().any(Chain::is_source_nat) {
        taken(rules().await?, &mut incomplete)
    } else {
        Vec::new()
    };
    Ok(Ruleset { chains, rules, legacy: legacy(), incomplete, ..Ruleset::default() }.of_leaving())
}

async fn chains() -> anyhow::Result<Dumped<Chain>> {
    netlink::dump_at_most(MOST_CHAINS, NETLINK_NETFILTER, GET_CHAIN, &ALL_FAMILIES, decode::chain)
        .await
        .context("cannot read the firewall's chains")
}

async fn rules() -> anyhow::Result<Dumped<Rule>> {
    netlink::dump_at_most(MOST_RULES, NETLINK_NETFILTER, GET_RULE, &ALL_FAMILIES, decode::rule)
        .await
        .context("cannot read the firewall's rules")
}

fn taken<T>(dumped: Dumped<T>, incomplete: &mut bool) -> Vec<T> {
    *incomplete |= dumped.is_incomplete() || dumped.undecoded > 0;
    dumped.entries
}

/// Rules that count into a counter with a name say what that one says.
async fn counted_by_name(mut rules: Vec<Rule>, incomplete: &mut bool) -> anyhow::Result<Vec<Rule>> {
    let name = |rule: &Rule| {
        rule.steps.iter().find_map(|step| match step {
            Step::NamedCounter(name) => Some(name.clone()),
            _ => None,
        })
    };
    if !rules.iter().any(|rule| name(rule).is_some()) {
        return Ok(rules);
    }
    let counters = netlink::dump_at_most(
        MOST_COUNTERS,
        NETLINK_NETFILTER,
        GET_OBJECT,
        &ALL_FAMILIES,
        decode::named_counter,
    )
    .await
    .context("cannot read the firewall's counters")?;
    let counters: HashMap<_, _> = taken(counters, incomplete)
        .into_iter()
        .map(|(table, name, counter)| ((table, name), counter))
        .collect();
    for rule in &mut rules {
        if let Some(name) = name(rule) {
            rule.counter = rule.counter.or_else(|| counters.get(&(rule.table.clone(), name)).copied());
        }
    }
    Ok(rules)
}

async fn looked_into(rules: &[Rule], incomplete: &mut bool) -> anyhow::Result<Vec<Set>> {
    let mut wanted: BTreeSet<(&Table, &str)> = BTreeSet::new();
    for rule in rules {
        let names = rule.steps.iter().filter_map(|step| match step {
            Step::Lookup { set, .. } => Some(set.as_str()),
            _ => None,
        });
        wanted.extend(names.map(|name| (&rule.table, name)));
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let sets = netlink::dump_at_most(MOST_CHAINS, NETLINK_NETFILTER, GET_SET, &ALL_FAMILIES, decode::set)
        .await
        .context("cannot read the firewall's sets")?;
    let mut sets = taken(sets, incomplete);
    sets.retain(|set| wanted.contains(&(&set.table, set.name.as_str())));
    let mut left = MOST_ELEMENTS;
    for (asked, set) in sets.iter_mut().enumerate() {
        if asked >= MOST_SETS || left == 0 {
            *incomplete = true;
            break;
        }
        let request = elements_of(set);
        let elements =
            netlink::dump_at_most(left, NETLINK_NETFILTER, GET_ELEMENTS, &request, decode::elements).await;
        // It may have gone meanwhile; then nothing is known of it.
        let Ok(elements) = elements else {
            *incomplete = true;
            continue;
        };
        set.complete = !elements.is_incomplete() && elements.undecoded == 0;
        set.elements = taken(elements, incomplete);
        left -= set.elements.len();
    }
    Ok(sets)
}

/// `NFTA_SET_ELEM_LIST_TABLE`, `…_SET`.
fn elements_of(set: &Set) -> Vec<u8> {
    let mut request = vec![set.table.family, 0, 0, 0];
    request.extend(attributes::string(1, &set.table.name));
    request.extend(attributes::string(2, &set.name));
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
