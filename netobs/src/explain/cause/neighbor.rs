//! Nobody answers for the destination's address, or for the gateway's, on its link (ARP, RFC 826; neighbour discovery,
//! RFC 4861).

use std::net::IpAddr;

use super::{Case, Words, cause, packets};
use crate::{
    host::facts::{
        NeighbourState, RouteKind,
        stack::{Stack, Way},
    },
    report::{Cause, CauseName, Confidence, EvidenceKind},
};

/// The kernel gave up asking for a hardware address (net/core/neighbour.c, Linux 6.18).
const REASONS: &[&str] = &["neigh_failed", "neigh_queuefull", "neigh_createfail", "neigh_dead"];

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let destination = case.destination()?;
    let drop = case.dropped(REASONS);
    let evidence = case.evidence(EvidenceKind::NeighborUnanswered);
    let on_host =
        |stack| Asker { stack, whose: "this host", iif: case.comes_by().map(|link| link.name.as_str()) };
    let own = |stack| Asker { stack, whose: case.asked.source.selector.as_str(), iif: None };
    // Where the kernel dropped it, that stack asked; the host asks only for what it routes.
    let inside = drop.and_then(|one| one.inside.as_ref()).is_some();
    let host = Some(case.stacks.host).filter(|_| !inside && case.asks_the_hosts_routes());
    let askers = [host.map(on_host), case.stacks.source.map(own).filter(|_| drop.is_none() || inside)];
    let (asker, next, link) = askers.into_iter().flatten().find_map(|asker| {
        let (next, link) = asker.next(case.source(), destination)?;
        asker.failed(next, link).then_some((asker, next, link))
    })?;
    let name = asker.stack.name(link)?;
    let observed = match (drop, evidence) {
        (Some(one), _) => {
            format!(
                "{} dropped for want of the hardware address of {next} ({})",
                packets(one.packets),
                one.reason
            )
        }
        (None, Some(one)) => format!("{} unanswered for {next}", packets(one.count)),
        (None, None) => {
            format!("{} asked for {next} on {name}, and nobody answered (the entry has failed)", asker.whose)
        }
    };
    let holder = case.report.endpoints.iter().find(|one| one.addresses().any(|own| own == next));
    let who = match (holder, next == destination) {
        (Some(one), _) => format!("{} has {next}, and does not answer there", one.id),
        (None, true) => format!("nobody known has {next}"),
        (None, false) => {
            format!("the way to {destination} leads by the gateway {next}, whom nobody known is")
        }
    };
    let advice = match (holder, next == destination) {
        (Some(one), _) => format!("look whether {} is up and on the same segment", one.id),
        (None, true) => {
            format!("ask for the address {} has now: {next} is nobody's", case.asked.destination.selector)
        }
        (None, false) => format!("give {} the right gateway, or start the host that has {next}", asker.whose),
    };
    Some(cause(
        CauseName::NeighborUnanswered,
        if drop.is_some() || evidence.is_some() { Confidence::Certain } else { Confidence::Possible },
        Words {
            observed,
            configured: format!("{next} is on the link of {name} by {}'s routes; {who}", asker.whose),
            advice,
            check: format!("ip neigh show to {next}; ip route get {destination}"),
        },
    ))
}

/// A stack that has to find out a hardware address.
struct Asker<'a> {
    stack: &'a Stack,
    whose: &'a str,
    iif: Option<&'a str>,
}

impl Asker<'_> {
    /// Whose hardware address it needs, and on which interface.
    fn next(&self, source: Option<IpAddr>, destination: IpAddr) -> Option<(IpAddr, u32)> {
        let route = self.stack.route(Way { source, destination, iif: self.iif })?;
        if route.kind == RouteKind::Local {
            return None;
        }
        Some((route.gateway.unwrap_or(destination), route.link?))
    }

    fn failed(&self, next: IpAddr, link: u32) -> bool {
        let entry = self.stack.facts.neighbours.get(&(link, next));
        entry.is_some_and(|one| matches!(one.state, NeighbourState::Failed | NeighbourState::Incomplete))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::explain::made_up::World;
    use crate::host::facts::{Neighbour, NeighbourState};
    use crate::report::{CauseName, Confidence};

    fn asked_in_vain(world: &mut World, link: u32, address: &str) {
        let one =
            Neighbour { link, address: address.parse().unwrap(), mac: None, state: NeighbourState::Failed };
        Arc::make_mut(&mut world.host.facts.neighbours).insert(one.key(), one);
    }

    #[test]
    fn an_address_nobody_has_is_named() {
        let mut world = World::routed();
        world.stops_at("br1", 3).dropped("neigh_failed", "br1");
        assert!(
            world.causes().iter().all(|one| one.cause != CauseName::NeighborUnanswered),
            "the entry is well"
        );
        world.endpoints.retain(|one| &*one.id != "container/db");
        asked_in_vain(&mut world, 4, "10.2.0.3");
        assert_eq!(world.first(), (CauseName::NeighborUnanswered, Confidence::Certain));
        assert!(world.causes()[0].configured.contains("nobody known has 10.2.0.3"), "{:?}", world.causes());
    }
}
