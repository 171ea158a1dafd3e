//! Nobody knows the way to the destination: the host, or the source's own stack.

use super::{Case, Words, cause, packets};
use crate::{
    host::facts::{RouteKind, stack::Stack, stack::Way},
    report::{Cause, CauseName, Confidence, Verdict},
};

/// The kernel found no route for what came in, for what is made here.
const REASONS: &[&str] = &["ip_innoroutes", "ip_outnoroutes", "ip6_outnoroutes"];

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let destination = case.destination()?;
    let drop = case.dropped(REASONS);
    let dropped_inside = drop.and_then(|one| one.inside.as_ref());
    if drop.is_none() && !case.asks_the_hosts_routes() {
        return None;
    }
    let iif = case.comes_by().map(|link| link.name.as_str());
    let own = case.stacks.source.filter(|_| dropped_inside.is_some() || drop.is_none());
    let of_source = own.filter(|stack| is_lost(stack, Way { source: case.source(), destination, iif: None }));
    let (whose, stack) = match of_source {
        Some(stack) => (case.asked.source.selector.as_str(), stack),
        None => ("this host", case.stacks.host),
    };
    let iif = iif.filter(|_| of_source.is_none());
    let way = Way { source: case.source(), destination, iif };
    // What an endpoint's own stack dropped says nothing of the host's routes.
    let others = dropped_inside.is_some() && of_source.is_none();
    if others || !is_lost(stack, way) || case.is_read_in_part(stack) {
        return None;
    }
    let observed = match drop {
        Some(one) => {
            format!("{} to {destination} dropped for want of a route ({})", packets(one.packets), one.reason)
        }
        None => match case.last_forward() {
            Some(hop) => format!("last seen at {} {}", hop.interface, hop.hook),
            None if case.asked.told == Some(Verdict::Unreachable) => {
                "nothing could be sent: the stack it was to be sent from says that there is no way".to_owned()
            }
            None => return None,
        },
    };
    let configured = match stack.route(way) {
        Some(route) => format!("the route {} of {whose} refuses it ({:?})", route.destination, route.kind),
        None => format!("no route of {whose} leads to {destination}"),
    };
    let confidence = if drop.is_some() { Confidence::Certain } else { Confidence::Likely };
    let get = format!("ip route get {destination}");
    let from = match (case.source(), iif) {
        (Some(source), Some(name)) => format!(" from {source} iif {name}"),
        _ => String::new(),
    };
    Some(cause(
        CauseName::NoRoute,
        confidence,
        Words {
            observed,
            configured: configured.to_lowercase(),
            advice: format!("add a route to {destination} on {whose}, or a default route"),
            check: format!("{get}{from}"),
        },
    ))
}

fn is_lost(stack: &Stack, way: Way<'_>) -> bool {
    // Without any route nothing was read.
    !stack.facts.routes.is_empty()
        && stack.route(way).is_none_or(|route| {
            matches!(route.kind, RouteKind::Unreachable | RouteKind::Blackhole | RouteKind::Prohibit)
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::explain::made_up::World;
    use crate::report::{CauseName, Confidence};

    #[test]
    fn the_host_without_a_route_is_named() {
        let mut world = World::routed();
        Arc::make_mut(&mut world.host.facts.routes).retain(|route| route.destination.prefix_len() != 24);
        Arc::make_mut(&mut world.host.facts.routes).retain(|route| route.destination.prefix_len() != 0);
        let other = World::routed().host.facts.routes[0].clone();
        Arc::make_mut(&mut world.host.facts.routes)
            .push(crate::host::facts::Route { destination: "192.0.2.0/24".parse().unwrap(), ..other });
        world.stops_at("br1", 3).dropped("ip_innoroutes", "br1");
        assert_eq!(world.first(), (CauseName::NoRoute, Confidence::Certain));
        assert!(world.causes()[0].configured.contains("no route of this host"), "{:?}", world.causes());
    }
}
