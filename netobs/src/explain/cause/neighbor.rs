//! Nobody answers for the destination's address, or for the gateway's, on its link (ARP, RFC 826; neighbour discovery,
//! RFC 4861).

use std::net::IpAddr;

use super::{Case, Words, cause, packets};
use crate::{
    host::facts::{
        NeighbourState, RouteKind,
        stack::{Stack, Way},
    },
    report::{
        Cause, CauseName, Confidence, EndpointRow, Evidence, EvidenceKind, FlowRow, HopDirection, KindName,
    },
};

/// The kernel gave up asking for a hardware address (net/core/neighbour.c, Linux 6.18).
const REASONS: &[&str] = &["neigh_failed", "neigh_queuefull", "neigh_createfail", "neigh_dead"];

/// Begins a command that is to be run in the network stack of an endpoint, by any process of it.
const INSIDE: &str = "nsenter --net=/proc/PID/ns/net ";

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    if let Some(question) = case.flow.filter(|flow| flow.is_vain_question()) {
        return asked_in_vain(case, question);
    }
    let destination = case.destination()?;
    let drop = case.dropped(REASONS);
    let evidence = case.evidence(EvidenceKind::NeighborUnanswered);
    let on_host = |stack| Asker {
        stack,
        whose: "this host",
        iif: case.comes_by().map(|link| link.name.as_str()),
        at: "",
    };
    let own = |stack| Asker { stack, whose: case.asked.source.selector.as_str(), iif: None, at: INSIDE };
    // Where the kernel dropped it, that stack asked; the host asks only for what it routes.
    let inside = drop.and_then(|one| one.inside.as_ref()).is_some();
    let host = Some(case.stacks.host).filter(|_| !inside && case.asks_the_hosts_routes());
    let askers = [host.map(on_host), case.stacks.source.map(own).filter(|_| drop.is_none() || inside)];
    let (asker, next, link) = askers.into_iter().flatten().find_map(|asker| {
        let (next, link) = asker.next(case.source(), destination)?;
        let is_it = |one: &Evidence| one.detail.as_deref().is_some_and(|detail| is_about(detail, next));
        (evidence.is_some_and(is_it) || asker.failed(next, link)).then_some((asker, next, link))
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
        (None, Some(one)) => format!("{next} did not answer, given up {}", times(one.count)),
        (None, None) => {
            format!("{} asked for {next} on {name}, and nobody answered (the entry has failed)", asker.whose)
        }
    };
    let holder = holder(case, next);
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
            check: format!("{0}ip neigh show to {next}; {0}ip route get {destination}", asker.at),
        },
    ))
}

/// The question itself is all there was: whoever asks it takes the address for a neighbour's.
fn asked_in_vain(case: &Case<'_>, question: &FlowRow) -> Option<Cause> {
    let evidence = case.evidence(EvidenceKind::NeighborUnanswered)?;
    let (asker, address) = (&case.asked.source.selector, question.destination.address);
    let facts = &case.stacks.host.facts;
    let first = question.hops.iter().find(|hop| hop.direction == HopDirection::Forward)?;
    let bridge = facts.bridge_of(first.ifindex).and_then(|index| facts.links.get(&index));
    let link = bridge.map_or(&*first.interface, |link| link.name.as_str());
    let (who, advice) = match holder(case, address) {
        Some(one) => (
            format!("{} has {address}, and does not answer there", one.id),
            format!("look whether {} is up and on the same segment", one.id),
        ),
        None => (
            format!("nobody known has {address}"),
            format!("ask for the address {} has now: {address} is nobody's", case.asked.destination.selector),
        ),
    };
    let table = match question.source.kind {
        // A guest's table is in the guest.
        KindName::Vm => String::new(),
        KindName::Host => format!("; ip neigh show to {address}"),
        _ => format!("; {INSIDE}ip neigh show to {address}"),
    };
    Some(cause(
        CauseName::NeighborUnanswered,
        Confidence::Certain,
        Words {
            observed: format!(
                "{asker} asked for {address}, and nobody answered, given up {}",
                times(evidence.count)
            ),
            configured: format!("{asker} takes {address} for a neighbour on {link}; {who}"),
            advice,
            check: format!("netobs flows --address {address}{table}"),
        },
    ))
}

fn holder<'a>(case: &Case<'a>, address: IpAddr) -> Option<&'a EndpointRow> {
    case.report.endpoints.iter().find(|one| one.addresses().any(|own| own == address))
}

/// Whether the evidence is of that neighbour, and not of the one that answers would have gone to.
fn is_about(detail: &str, neighbour: IpAddr) -> bool {
    detail.strip_prefix(&neighbour.to_string()).is_some_and(|rest| rest == " did not answer")
}

/// `twice`.
fn times(count: u64) -> String {
    match count {
        1 => "once".into(),
        2 => "twice".into(),
        _ => format!("{count} times"),
    }
}

/// A stack that has to find out a hardware address.
struct Asker<'a> {
    stack: &'a Stack,
    whose: &'a str,
    iif: Option<&'a str>,
    /// What a command is begun with to be run in it.
    at: &'static str,
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
    use crate::report::{CauseName, Confidence, KindName, Verdict};

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

    #[test]
    fn what_an_endpoint_asked_for_is_looked_up_in_its_own_table() {
        let mut world = World::bridged();
        world.own_route("10.1.0.0/24").stops_at("va", 2).neighbour_unanswered("10.1.0.3 did not answer");
        let causes = world.causes();
        assert_eq!(
            (causes[0].cause, causes[0].confidence),
            (CauseName::NeighborUnanswered, Confidence::Certain)
        );
        let inside = "nsenter --net=/proc/PID/ns/net";
        let wanted = format!("{inside} ip neigh show to 10.1.0.3; {inside} ip route get 10.1.0.3");
        assert_eq!(&*causes[0].check, wanted);
        let mut world = World::routed();
        world.stops_at("br1", 3).neighbour_unanswered("10.2.0.3 did not answer");
        assert_eq!(
            &*world.causes()[0].check,
            "ip neigh show to 10.2.0.3; ip route get 10.2.0.3",
            "the host asked"
        );
    }

    #[test]
    fn a_question_is_looked_up_where_it_was_asked() {
        let mut world = World::bridged();
        world.asked_in_vain(2);
        let inside = "nsenter --net=/proc/PID/ns/net ip neigh show to 10.1.0.3";
        assert_eq!(&*world.causes()[0].check, format!("netobs flows --address 10.1.0.3; {inside}"));
        world.flow.source.kind = KindName::Vm;
        assert_eq!(&*world.causes()[0].check, "netobs flows --address 10.1.0.3", "its table is in the guest");
        world.flow.source.kind = KindName::Host;
        let here = "netobs flows --address 10.1.0.3; ip neigh show to 10.1.0.3";
        assert_eq!(&*world.causes()[0].check, here);
    }

    #[test]
    fn a_question_without_an_answer_is_enough_whatever_port_is_asked_for() {
        let mut world = World::bridged();
        world.asked_in_vain(2);
        assert_eq!(world.first(), (CauseName::NeighborUnanswered, Confidence::Certain));
        let answer = world.explained();
        assert_eq!(answer.verdict, Verdict::Unreachable);
        assert_eq!(answer.last_hop.map(|hop| hop.interface), Some("va".into()), "the bridge floods it");
        let cause = &answer.causes[0];
        assert_eq!(&*cause.observed, "container/web asked for 10.1.0.3, and nobody answered, given up twice");
        assert!(cause.configured.contains("on br1; container/db has 10.1.0.3"), "{}", cause.configured);
    }

    #[test]
    fn what_the_host_asked_for_in_vain_is_named_though_the_entry_is_gone() {
        let mut world = World::routed();
        world.stops_at("br1", 3).neighbour_unanswered("10.2.0.3 did not answer");
        assert_eq!(world.first(), (CauseName::NeighborUnanswered, Confidence::Certain));
        assert!(world.causes()[0].observed.contains("10.2.0.3 did not answer, given up once"));
        let mut world = World::routed();
        world.stops_at("br1", 3).neighbour_unanswered("10.1.0.2 did not answer, asked for an answer's sake");
        assert!(world.causes().iter().all(|one| one.cause != CauseName::NeighborUnanswered), "another one");
    }
}
