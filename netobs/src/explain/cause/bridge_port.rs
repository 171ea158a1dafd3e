//! A bridge lets nothing through at the source's or the destination's port, or their interface is down.

use super::{Case, Words, cause, packets};
use crate::{
    host::facts::{Link, stack::PortState},
    report::{Cause, CauseName, Confidence, HookName},
};

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let at_source = case.entry().and_then(|(link, bridge)| of(case, link, bridge, true));
    at_source.or_else(|| case.exit().and_then(|(link, bridge)| of(case, link, bridge, false)))
}

fn of(case: &Case<'_>, link: &Link, bridge: Option<&Link>, at_source: bool) -> Option<Cause> {
    let side = if at_source { &case.asked.source } else { &case.asked.destination };
    let state = case.stacks.host.ports.get(&link.index).copied();
    if !at_source && case.passed(link.index, HookName::Egress) {
        return None;
    }
    let drop = case.dropped(&["bridge_ingress_stp_state"]);
    let (name, configured, advice, check) = if !link.up || !link.carrier {
        let what = if link.up { "has no carrier" } else { "is down" };
        let advice = format!("set it up (ip link set {} up), and look at who set it down", link.name);
        (CauseName::LinkDown, format!("{} {what}", link.name), advice, format!("ip link show {}", link.name))
    } else if let (Some(bridge), Some(state)) = (bridge, state.filter(|one| *one != PortState::Forwarding)) {
        let configured = format!("port {} of {} is {}", link.name, bridge.name, state.name());
        let advice = format!(
            "let the port forward (bridge link set dev {} state 3), or wait for the spanning tree if it is in use",
            link.name
        );
        (CauseName::BridgePortDown, configured, advice, format!("bridge -d link show dev {}", link.name))
    } else {
        return None;
    };
    let (confidence, observed) = match (drop, case.last_hop()) {
        (Some(drop), _) if at_source => (
            Confidence::Certain,
            format!("{} dropped at the bridge's port (bridge_ingress_stp_state)", packets(drop.packets)),
        ),
        (_, Some(hop)) => (
            Confidence::Certain,
            format!(
                "last seen at {} {}, nothing passed {}, where {} is",
                hop.interface, hop.hook, link.name, side.selector
            ),
        ),
        (_, None) if let Some(drop) = case.dropped(&["neigh_failed"]) => (
            Confidence::Certain,
            format!(
                "{} dropped for want of a hardware address: nothing passes {}",
                packets(drop.packets),
                link.name
            ),
        ),
        (_, None) => {
            (Confidence::Likely, format!("nothing passed {}, where {} is", link.name, side.selector))
        }
    };
    Some(cause(name, confidence, Words { observed, configured, advice, check }))
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::World;
    use crate::host::facts::stack::PortState;
    use crate::report::{CauseName, Confidence};

    #[test]
    fn a_port_that_lets_nothing_in_is_named() {
        let mut world = World::bridged();
        world.host.ports.insert(2, PortState::Disabled);
        world.stops_at("va", 2).dropped("bridge_ingress_stp_state", "va");
        assert_eq!(world.first(), (CauseName::BridgePortDown, Confidence::Certain));
        assert!(world.causes()[0].configured.contains("va"), "{:?}", world.causes());
    }

    #[test]
    fn a_port_that_lets_nothing_out_is_named() {
        let mut world = World::bridged();
        world.host.ports.insert(5, PortState::Blocking);
        world.stops_at("va", 2);
        assert_eq!(world.first(), (CauseName::BridgePortDown, Confidence::Certain));
        assert!(world.causes()[0].configured.contains("vb of br1 is blocking"), "{:?}", world.causes());
    }

    #[test]
    fn an_interface_that_is_down_is_named() {
        let mut world = World::bridged();
        world.host.facts.links.get_mut(&5).unwrap().up = false;
        world.stops_at("va", 2);
        assert_eq!(world.first(), (CauseName::LinkDown, Confidence::Certain));
    }

    #[test]
    fn what_passed_the_port_did_not_stop_there() {
        let mut world = World::bridged();
        world.host.ports.insert(5, PortState::Disabled);
        world.refused();
        assert!(
            world.causes().iter().all(|one| one.cause != CauseName::BridgePortDown),
            "{:?}",
            world.causes()
        );
    }
}
