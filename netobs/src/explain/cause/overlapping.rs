//! Two interfaces of this host claim addresses of the same network: what is for one of them goes out by the other.

use ipnet::IpNet;

use super::{Case, Words, cause};
use crate::{
    host::facts::{Facts, Link},
    report::{Cause, CauseName, Confidence},
};

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let facts = &case.stacks.host.facts;
    let address = case.destination()?;
    let (own, bridge) = case.exit().or_else(|| case.entry())?;
    let meant = bridge.unwrap_or(own);
    let taken = case.goes_by()?;
    let overlaps = |one: &Link| networks(facts, one).into_iter().find(|network| network.contains(&address));
    let behind = case.exit().is_some();
    // The destination is behind one interface, and the way leads by another one; or who asked is behind one and two
    // networks hold the destination.
    let (mine, theirs) = if behind && taken.index != meant.index {
        (overlaps(meant)?, (taken, overlaps(taken)?))
    } else {
        let other = facts.links.values().find(|one| one.index != meant.index && overlaps(one).is_some())?;
        (overlaps(meant)?, (other, overlaps(other)?))
    };
    let (other, network) = theirs;
    let last = case.last_hop();
    let wrong = behind && taken.index != meant.index;
    let observed = match last {
        Some(hop) => format!("last seen at {} {}", hop.interface, hop.hook),
        None => "seen at no interface of this host".to_owned(),
    };
    Some(cause(
        CauseName::OverlappingSubnets,
        if wrong { Confidence::Certain } else { Confidence::Possible },
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

/// The networks on an interface, but for those of one address.
fn networks(facts: &Facts, link: &Link) -> Vec<IpNet> {
    let all = facts.connected_prefixes(link.index).into_iter();
    all.filter(|network| network.prefix_len() < network.max_prefix_len()).collect()
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
