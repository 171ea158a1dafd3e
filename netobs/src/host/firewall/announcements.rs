//! The kernel's announcements of changed rules → transactions.

use std::collections::VecDeque;

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{
    ALL_FAMILIES, Budget, GET_RULE, GROUP, RECEIVE_BUFFER, ROOM_OF_ENDPOINT,
    attributes::{Malformed, attributes, long, of_kind, split, text},
    chains, decode, looked_into,
};
use crate::host::{
    facts::firewall::{Announced, MOST_REMEMBERED, News, Rule, Ruleset, Table, Transaction},
    netlink::{Datagram, Limits, Message, NetlinkSocket, dump_within, messages},
};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_…` (nf_tables.h, Linux 6.18).
const NEW_RULE: u16 = 10 << 8 | 6;
const DEL_CHAIN: u16 = 10 << 8 | 5;
const DEL_RULE: u16 = 10 << 8 | 8;
const NEW_ELEMENTS: u16 = 10 << 8 | 12;
const DEL_ELEMENTS: u16 = 10 << 8 | 14;
const NEW_GENERATION: u16 = 10 << 8 | 15;
/// Changes of one transaction that are told one by one.
const MOST_CHANGES: usize = 4_096;

/// Hears what changes in the rules.
#[derive(Debug)]
pub struct Announcements {
    socket: NetlinkSocket,
    open: Transaction,
    ready: VecDeque<Transaction>,
    is_behind: bool,
}

impl Announcements {
    /// Listens in the calling thread's network namespace.
    ///
    /// # Errors
    /// No privilege (`CAP_NET_ADMIN`), or no nftables in this kernel.
    pub fn listen() -> anyhow::Result<Self> {
        let socket = NetlinkSocket::open(NETLINK_NETFILTER, &[GROUP], RECEIVE_BUFFER)?;
        Ok(Self { socket, open: Transaction::default(), ready: VecDeque::new(), is_behind: true })
    }

    /// What comes next: first of all what there is.
    ///
    /// # Errors
    /// The kernel closed the socket, or does not let its rules be read.
    pub async fn next(&mut self) -> anyhow::Result<News> {
        loop {
            if std::mem::take(&mut self.is_behind) {
                self.ready.clear();
                return Ok(News::All(remembered().await?));
            }
            if let Some(transaction) = self.ready.pop_front() {
                if transaction.more > 0 {
                    // What changed is found in what there is then.
                    self.is_behind = true;
                    continue;
                }
                return Ok(News::Changed(transaction));
            }
            match self.socket.receive().await? {
                Datagram::Lost => {
                    self.open = Transaction::default();
                    self.is_behind = true;
                    // What is queued is older than what is read now.
                    while self.socket.try_receive()?.is_some() {}
                }
                Datagram::Messages(bytes) => {
                    for message in messages(bytes) {
                        take(&mut self.open, &mut self.ready, message);
                    }
                }
            }
        }
    }
}

/// Takes in one message. What cannot be read is counted with what has no room.
fn take(open: &mut Transaction, ready: &mut VecDeque<Transaction>, message: Message<'_>) {
    if message.kind == NEW_GENERATION {
        open.by = split(message.payload).ok().and_then(|(_, body)| of_kind(body, 3)).map(text);
        let whole = std::mem::take(open);
        if !whole.changes.is_empty() || whole.more > 0 {
            ready.push_back(whole);
        }
        return;
    }
    let is_rule = matches!(message.kind, NEW_RULE | DEL_RULE);
    if open.changes.len() >= MOST_CHANGES {
        open.more += u64::from(is_rule);
        return;
    }
    match announced(message) {
        Ok(Some(change)) => open.changes.push(change),
        Ok(None) => {}
        Err(Malformed) => open.more += u64::from(is_rule),
    }
}

fn announced(message: Message<'_>) -> Result<Option<Announced>, Malformed> {
    let names = || -> Result<(Table, String, &[u8]), Malformed> {
        let (family, body) = split(message.payload)?;
        let name = |kind| of_kind(body, kind).map(text).ok_or(Malformed);
        Ok((Table { family, name: name(1)? }, name(2)?, body))
    };
    Ok(match message.kind {
        DEL_RULE => {
            let (table, chain, body) = names()?;
            let handle = of_kind(body, 3).and_then(long).ok_or(Malformed)?;
            Some(Announced::RuleGone { table, chain, handle })
        }
        DEL_CHAIN => {
            let (family, body) = split(message.payload)?;
            let name = |kind| of_kind(body, kind).map(text).ok_or(Malformed);
            Some(Announced::ChainGone { table: Table { family, name: name(1)? }, name: name(3)? })
        }
        NEW_ELEMENTS => {
            let (table, set, _) = names()?;
            let elements = decode::elements(message)?.into_iter().collect::<Option<_>>();
            Some(Announced::Elements { table, set, elements: elements.ok_or(Malformed)? })
        }
        DEL_ELEMENTS => {
            let (table, set, body) = names()?;
            let count = of_kind(body, 3).map_or(0, |list| attributes(list).count());
            Some(Announced::ElementsGone { table, set, count })
        }
        _ => match decode::rule(message)? {
            Some(rule) => Some(Announced::Rule(rule)),
            None => match decode::chain(message)? {
                Some(chain) => Some(Announced::Chain(chain)),
                None => decode::set(message)?.map(Announced::Set),
            },
        },
    })
}

/// Chains and rules, as many of those as are remembered, with the sets that stand in them.
async fn remembered() -> anyhow::Result<Ruleset> {
    let mut budget = Budget::new(ROOM_OF_ENDPOINT);
    let chains = chains(&mut budget).await?.into_iter().map(|counted| counted.chain).collect();
    let limits = Limits { entries: MOST_REMEMBERED, ..budget.weighed(Rule::weight) };
    let rules = dump_within(limits, NETLINK_NETFILTER, GET_RULE, &ALL_FAMILIES, decode::rule)
        .await
        .context("cannot read the firewall's rules")?;
    let rules = budget.taken(rules);
    let sets = looked_into(&rules, &mut budget).await?;
    Ok(Ruleset { chains, rules, sets, incomplete: budget.incomplete, ..Ruleset::default() })
}
