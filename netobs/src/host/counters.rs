//! The interfaces' own counters, read on demand: what coverage is measured against.

use std::collections::HashMap;

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{
    decode,
    facts::LinkCounters,
    netlink::{Message, dump},
};

/// `IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64)`: nothing but the counters, a tenth of a link dump.
const FILTER: u32 = 1;
const RTM_NEWSTATS: u16 = 92;
const RTM_GETSTATS: u16 = 94;

/// Counters of every interface in the calling thread's network namespace, by index.
///
/// # Errors
/// The kernel did not answer, or interfaces are missing from its answer.
pub async fn link_counters() -> anyhow::Result<HashMap<u32, LinkCounters>> {
    let mut fixed = [0; 12];
    fixed[8..].copy_from_slice(&FILTER.to_ne_bytes());
    let decode = |message: Message<'_>| {
        if message.kind == RTM_NEWSTATS { decode::stats(message.payload).map(Some) } else { Ok(None) }
    };
    let dumped =
        dump(NETLINK_ROUTE, RTM_GETSTATS, &fixed, decode).await.context("cannot read link counters")?;
    anyhow::ensure!(
        !dumped.is_incomplete(),
        "the interfaces did not hold still while their counters were read"
    );
    Ok(dumped.entries.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_loopback_has_counters() {
        let index = nix::net::if_::if_nametoindex("lo").unwrap();
        assert!(link_counters().await.unwrap().contains_key(&index));
    }
}
