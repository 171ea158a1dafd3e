//! Two interfaces of this host claim addresses of the same network: what is for one of them goes out by the other.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Case, Words, cause};
use crate::{
    host::facts::{Facts, Link},
    report::{Cause, CauseName, Confidence, HookName},
};

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let facts = &case.stacks.host.facts;
    let address = case.destination()?;
    let (own, bridge) = case.exit()?;
    let meant = bridge.unwrap_or(own);
    let taken = case.goes_by()?;
    // On one bridge the host's routes are not asked, and what arrived was not sent elsewhere.
    let arrived = case.passed(own.index, HookName::Egress);
    if taken.index == meant.index || arrived || !case.asks_the_hosts_routes() {
        return None;
    }
    let overlaps = |one: &Link| networks(facts, one).into_iter().find(|network| network.contains(&address));
    let (mine, network, other) = (overlaps(meant)?, overlaps(taken)?, taken);
    let last = case.last_hop();
    let observed = match last {
        Some(hop) => format!("last seen at {} {}", hop.interface, hop.hook),
        None => "seen at no interface of this host".to_owned(),
    };
    Some(cause(
        CauseName::OverlappingSubnets,
        Confidence::Certain,
        Words {
            observed,
            configured: format!(
                "{} has {mine} and {} has {network}: what is for {address} goes out by {}",
                meant.name, other.name, taken.name
            ),
            advice: format!("give {} or {} a network that nobody else has", meant.name, other.name),
            check: format!("ip route show match {address}"),
        },
    ))
}

/// The networks on an interface, but for those of one address, and that which every interface has.
fn networks(facts: &Facts, link: &Link) -> Vec<IpNet> {
    let all = facts.connected_prefixes(link.index).into_iter();
    let is_link_local = |network: &IpNet| match network.addr() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    all.filter(|one| one.prefix_len() < one.max_prefix_len() && !is_link_local(one)).collect()
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::World;
    use crate::report::{CauseName, Confidence};

    #[test]
    fn the_way_by_the_wrong_bridge_is_named() {
        let mut world = World::routed();
        world.stops_at("br1", 3);
        assert!(world.causes().iter().all(|one| one.cause != CauseName::OverlappingSubnets));
        // The network of the destination's bridge is a second bridge's too, and the kernel's choice is that one.
        world.address(7, "10.2.0.1", 24).link("br7", 7).first_route("10.2.0.0/24", 7);
        assert_eq!(world.first(), (CauseName::OverlappingSubnets, Confidence::Certain));
        assert!(world.causes()[0].configured.contains("goes out by br7"), "{:?}", world.causes());
    }
}
