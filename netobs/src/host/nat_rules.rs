//! The rules that give packets another source on their way out (nftables, and iptables as nftables keeps it).
//!
//! Enough of a rule is read to answer one question: does this host translate what comes from a network? Rules of
//! the older iptables back end (`iptables-legacy`) are not seen; [`NatRules::legacy`] says whether there may be some.

pub mod decode;

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{
    facts::nat_rules::{Chain, NatRules},
    netlink::{self, Datagram, NetlinkSocket},
};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN`, `… | NFT_MSG_GETRULE` (nf_tables.h, Linux 6.18).
const GET_CHAIN: u16 = 10 << 8 | 4;
const GET_RULE: u16 = 10 << 8 | 7;
/// `struct nfgenmsg` for all families.
const ALL_FAMILIES: [u8; 4] = [0; 4];
/// `NFNLGRP_NFTABLES`.
const GROUP: u32 = 7;
const RECEIVE_BUFFER: usize = 256 * 1024;

/// Reads the rules of the calling thread's network namespace.
///
/// # Errors
/// No privilege (`CAP_NET_ADMIN`), or no nftables in this kernel.
pub async fn dump() -> anyhow::Result<NatRules> {
    let chains = netlink::dump(NETLINK_NETFILTER, GET_CHAIN, &ALL_FAMILIES, decode::chain)
        .await
        .context("cannot read the firewall's chains")?;
    if !chains.entries.iter().any(Chain::is_source_nat) {
        return Ok(NatRules { chains: chains.entries, rules: Vec::new(), legacy: legacy() });
    }
    let rules = netlink::dump(NETLINK_NETFILTER, GET_RULE, &ALL_FAMILIES, decode::rule)
        .await
        .context("cannot read the firewall's rules")?;
    Ok(NatRules::new(chains.entries, rules.entries, legacy()))
}

fn legacy() -> bool {
    let named =
        |file: &str| std::fs::read_to_string(file).is_ok_and(|text| text.lines().any(|line| line == "nat"));
    named("/proc/net/ip_tables_names") || named("/proc/net/ip6_tables_names")
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
