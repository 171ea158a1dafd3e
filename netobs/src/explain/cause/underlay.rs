//! What carries a pair's packets to another node and back: by which device, between which addresses, and what was dropped
//! of that. Pure.

use std::net::IpAddr;

use super::Case;
use crate::{
    host::facts::{Link, LinkKind, Vxlan, stack::Way},
    report::{DropRow, Path, ProtocolName, Verdict},
};

/// The device of this host that the pair's packets were seen at.
pub(super) fn device<'a>(case: &Case<'a>) -> Option<(&'a Link, &'a Vxlan)> {
    let flow = case.flow.filter(|flow| flow.path == Path::Overlay)?;
    let used = |link: &&Link| flow.hops.iter().any(|hop| hop.ifindex == link.index);
    case.stacks.host.facts.links.values().filter(used).find_map(|link| match &link.kind {
        LinkKind::Vxlan(vxlan) => Some((link, vxlan)),
        _ => None,
    })
}

/// The interface below a device, by which its packets to a node leave.
pub(super) fn lower<'a>(case: &Case<'a>, vxlan: &Vxlan, node: Option<IpAddr>) -> Option<&'a Link> {
    let host = case.stacks.host;
    let by_route = || host.route(Way { source: vxlan.local, destination: node?, iif: None })?.link;
    host.facts.links.get(&vxlan.lower.or_else(by_route)?)
}

/// The addresses of this pair's nodes, the sender's first, as far as a packet between them was seen. A device that
/// was told everything beforehand says where it sends what is for a neighbour.
pub(super) fn nodes(case: &Case<'_>) -> (Option<IpAddr>, Option<IpAddr>) {
    let seen = case.flow.and_then(|flow| flow.overlay.as_ref());
    match seen.map(|one| (one.outer_source, one.outer_destination)) {
        Some((source, destination)) if source.is_some() || destination.is_some() => (source, destination),
        _ => (device(case).and_then(|(_, vxlan)| vxlan.local), told(case)),
    }
}

/// Where the device sends what is for the destination, by its neighbours and its forwarding entries.
fn told(case: &Case<'_>) -> Option<IpAddr> {
    let (link, vxlan) = device(case)?;
    let (host, destination) = (case.stacks.host, case.destination()?);
    let route = host.route(Way { source: case.source(), destination, iif: None })?;
    let next = route.gateway.unwrap_or(destination);
    let mac = host.facts.neighbours.get(&(link.index, next))?.mac?;
    let entry =
        host.facts.fdb.values().find(|one| one.link == link.index && one.mac == mac && one.remote.is_some());
    entry.map_or(vxlan.group, |one| one.remote)
}

/// What was dropped for that reason of the packets between the two nodes, since the pair talks: those that carry what
/// the source sends, or else the answer.
pub(super) fn dropped<'a>(case: &Case<'a>, reason: &str) -> Option<&'a DropRow> {
    let flow = case.flow.filter(|flow| flow.path == Path::Overlay)?;
    // Who refuses was reached.
    if !matches!(
        case.verdict,
        Verdict::Unanswered | Verdict::OneWay | Verdict::Dropped | Verdict::Unreachable | Verdict::Degraded
    ) {
        return None;
    }
    let links = || case.stacks.host.facts.links.values();
    let carries = |port: u16| {
        links().any(|link| match &link.kind {
            LinkKind::Vxlan(vxlan) => vxlan.port == port,
            LinkKind::Geneve { port: own } => *own == port,
            _ => false,
        })
    };
    let (here, there) = nodes(case);
    // Of a pair whose nodes are not known it is not known what carries it.
    if here.is_none() && there.is_none() {
        return None;
    }
    let is = |party: IpAddr, node: Option<IpAddr>| node.is_none_or(|node| node == party);
    let between = |one: &DropRow, (from, to): (Option<IpAddr>, Option<IpAddr>)| {
        one.protocol == ProtocolName::Udp
            && one.inside.is_none()
            && *one.reason == *reason
            && carries(one.destination.port)
            && one.last_seen >= flow.first_seen
            && case.is_fresh(one.last_seen)
            && is(one.source.address, from)
            && is(one.destination.address, to)
    };
    let all = || case.report.drops.iter();
    all().find(|one| between(one, (here, there))).or_else(|| all().find(|one| between(one, (there, here))))
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::{
        World,
        overlay::{HERE, THERE},
    };
    use crate::host::facts::firewall::{
        Counter, Rule, Step, Table, Verdict as Does, connection, family,
        made_up::{chain, rule, ruleset},
        operator,
    };
    use crate::report::{CauseName, Confidence};

    const INPUT: u32 = 1;
    const OUTPUT: u32 = 3;

    /// Answers are accepted, everything else is dropped.
    fn closed(world: &mut World, hook: u32) {
        let table = Table { family: family::IPV4, name: "filter".into() };
        let name = if hook == INPUT { "INPUT" } else { "OUTPUT" };
        let states = vec![6, 0, 0, 0];
        let established = vec![
            Step::Connection { to: 1, key: connection::STATE, direction: None },
            Step::Mask { from: 1, to: 1, mask: states, flip: vec![0; 4] },
            Step::Compare { of: 1, operator: operator::UNEQUAL, with: vec![0; 4] },
            Step::Verdict(Does::Accept),
        ];
        let drop = Rule {
            counter: Some(Counter { packets: 3, bytes: 330 }),
            ..rule(&table, name, vec![Step::Counter, Step::Verdict(Does::Drop)])
        };
        let chains = vec![chain(&table, name, Some(("filter", (hook, 0))))];
        world.host.firewall = Some(ruleset(chains, vec![rule(&table, name, established), drop]));
    }

    #[test]
    fn what_a_rule_keeps_in_is_found_by_what_the_device_was_told() {
        let mut world = World::overlaid();
        closed(&mut world, OUTPUT);
        world.never_left().carriers_dropped(HERE, THERE);
        assert_eq!(world.first(), (CauseName::UnderlayBlocked, Confidence::Certain));
        let cause = &world.causes()[0];
        assert!(
            cause.observed.contains("from 198.51.100.2 to 198.51.100.3, which carry others"),
            "{cause:?}"
        );
        assert!(cause.configured.contains("chain OUTPUT"), "{cause:?}");
        assert_eq!(world.explained().last_hop.map(|hop| hop.interface), Some("vx1".into()));
    }

    #[test]
    fn what_goes_to_another_node_or_went_before_is_not_the_pairs() {
        let mut world = World::overlaid();
        closed(&mut world, OUTPUT);
        world.never_left().carriers_dropped(HERE, "198.51.100.4");
        assert!(world.causes().is_empty(), "{:?}", world.causes());
        let mut world = World::overlaid();
        closed(&mut world, OUTPUT);
        world.never_left().carriers_dropped(HERE, THERE).before_all();
        assert!(world.causes().is_empty(), "{:?}", world.causes());
    }

    #[test]
    fn what_a_rule_keeps_out_is_the_answer_and_never_an_answer_of_conntracks() {
        let mut world = World::overlaid();
        closed(&mut world, INPUT);
        // The answer is seen as it comes in, and never at the device.
        world.flow.hops.truncate(5);
        world.answer_unheard().carriers_dropped(THERE, HERE);
        assert_eq!(world.first(), (CauseName::UnderlayBlocked, Confidence::Certain));
        assert!(world.causes()[0].configured.contains("chain INPUT"), "{:?}", world.causes());
        assert_eq!(world.causes().len(), 1, "it is not beyond this host: {:?}", world.causes());
        assert_eq!(world.explained().last_hop.map(|hop| hop.interface), Some("up0".into()));
    }

    #[test]
    fn on_the_other_node_the_device_was_never_reached() {
        let mut world = World::called_upon();
        closed(&mut world, INPUT);
        world.stops_at("up0", 9).carriers_dropped(THERE, HERE);
        assert_eq!(world.first(), (CauseName::UnderlayBlocked, Confidence::Certain));
    }
}
