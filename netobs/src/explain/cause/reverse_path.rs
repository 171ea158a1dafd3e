//! The answer to the source would leave by another interface than the one it came in by (`rp_filter`, RFC 3704,
//! Documentation/networking/ip-sysctl.rst).

use super::{Case, Words, cause, packets};
use crate::{
    host::facts::stack::Way,
    report::{Cause, CauseName, Confidence},
};

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let drop = case.dropped_here(&["ip_rpfilter"])?;
    let host = case.stacks.host;
    let source = drop.source.address;
    // Where the kernel dropped it: the interface of the last hop, and its bridge where it is a port.
    let seen = drop.last_hop.as_ref().and_then(|hop| host.facts.link_named(&hop.interface));
    let bridge = seen.and_then(|link| host.facts.links.get(&host.facts.bridge_of(link.index)?));
    let by = bridge.or(seen).or_else(|| case.comes_by())?;
    let all = host.sysctl("net.ipv4.conf.all.rp_filter");
    let name = format!("net.ipv4.conf.{}.rp_filter", by.name);
    let (setting, value) = match (all, host.sysctl(&name)) {
        // The larger one holds.
        (Some(all), own) if Some(all) >= own => ("net.ipv4.conf.all.rp_filter".to_owned(), Some(all)),
        (_, own) => (name, own),
    };
    let is_on = value.is_none_or(|value| value != 0);
    let value = value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
    // As the kernel asks: the way back to the source, of a packet that comes in by this interface.
    let back = host.route(Way { source: None, destination: source, iif: Some(&by.name) });
    let elsewhere = back.is_none_or(|route| route.link != Some(by.index));
    let back = match back {
        Some(route) => match route.link.and_then(|link| host.name(link)) {
            Some(name) => format!("the way back to {source} is {} by {name}", route.destination),
            None => format!("the way back to {source} is {}, which leads nowhere", route.destination),
        },
        None => format!("there is no way back to {source}"),
    };
    let from = if case.is_of_answer(drop) { "of the answer from" } else { "from" };
    Some(cause(
        CauseName::ReversePathFilter,
        // It may have been repaired since.
        if is_on && elsewhere { Confidence::Certain } else { Confidence::Possible },
        Words {
            observed: format!(
                "{} {from} {source} dropped at {} (ip_rpfilter)",
                packets(drop.packets),
                by.name
            ),
            configured: format!("{setting} = {value}, and {back}"),
            advice: format!(
                "route {source} back by {}, or let the filter be loose there (2) if both ways are meant",
                by.name
            ),
            check: format!("ip route get {source} iif {}; sysctl {setting}", by.name),
        },
    ))
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::World;
    use crate::report::{CauseName, Confidence};

    #[test]
    fn the_way_back_is_named() {
        let mut world = World::routed();
        world.host.sysctls.insert("net.ipv4.conf.all.rp_filter".into(), "0".into());
        world.host.sysctls.insert("net.ipv4.conf.br1.rp_filter".into(), "1".into());
        world.stops_at("br1", 3).dropped("ip_rpfilter", "br1");
        assert_eq!(
            world.first(),
            (CauseName::ReversePathFilter, Confidence::Possible),
            "the way back is that one"
        );
        world.first_route("10.1.0.2/32", 4);
        let causes = world.causes();
        assert_eq!(
            (causes[0].cause, causes[0].confidence),
            (CauseName::ReversePathFilter, Confidence::Certain)
        );
        assert!(causes[0].configured.contains("net.ipv4.conf.br1.rp_filter = 1"), "{}", causes[0].configured);
        assert!(causes[0].configured.contains("10.1.0.2/32 by br2"), "{}", causes[0].configured);
    }
}
