//! This host does not forward packets (`net.ipv4.ip_forward`, Documentation/networking/ip-sysctl.rst).

use super::{Case, Words, cause, packets};
use crate::report::{Cause, CauseName, Confidence, HookName};

/// What the kernel says of a packet that it would have to forward and may not (`ip_error`, net/ipv4/route.c,
/// Linux 6.18).
const REASONS: &[&str] = &["ip_inaddrerrors", "ip_innoroutes"];

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    if !case.is_routed() {
        return None;
    }
    let (by, to) = (case.comes_by()?, case.goes_by()?);
    let host = case.stacks.host;
    let is_off = |name: &String| host.sysctl(name) == Some(0);
    // The interface it came in by decides (`IN_DEV_FORWARD`, net/ipv4/route.c), which the setting of the whole stack
    // sets on all; of IPv6 the whole stack's alone (`ip6_forward`, net/ipv6/ip6_output.c, Linux 6.18).
    let off = if case.destination()?.is_ipv4() {
        let own = Some(format!("net.ipv4.conf.{}.forwarding", by.name)).filter(is_off)?;
        Some("net.ipv4.ip_forward".to_owned()).filter(is_off).unwrap_or(own)
    } else {
        Some("net.ipv6.conf.all.forwarding".to_owned()).filter(is_off)?
    };
    let dropped = case.dropped_here(REASONS);
    let last = case.last_forward();
    let stopped = last.is_some() && !case.passed(to.index, HookName::Egress);
    let (confidence, observed) = match (dropped, last) {
        (Some(drop), _) => (
            Confidence::Certain,
            format!(
                "{} from {} dropped where they would have been forwarded ({})",
                packets(drop.packets),
                by.name,
                drop.reason
            ),
        ),
        (None, Some(hop)) if stopped => {
            (Confidence::Likely, format!("last seen at {} {}, never at {}", hop.interface, hop.hook, to.name))
        }
        _ => return None,
    };
    Some(cause(
        CauseName::ForwardingOff,
        confidence,
        Words {
            observed,
            configured: format!("{off} = 0, and the way leads from {} to {}", by.name, to.name),
            advice: format!("let this host forward packets: set {off} to 1, and find out who set it to 0"),
            check: format!("sysctl {off}"),
        },
    ))
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::World;
    use crate::report::{CauseName, Confidence};

    #[test]
    fn a_drop_where_it_would_be_forwarded_proves_it() {
        let mut world = World::routed();
        world.host.sysctls.insert("net.ipv4.ip_forward".into(), "0".into());
        world.host.sysctls.insert("net.ipv4.conf.br1.forwarding".into(), "0".into());
        assert!(world.causes().is_empty(), "nothing is wrong as long as packets arrive");
        world.stops_at("br1", 3).dropped("ip_inaddrerrors", "br1");
        assert_eq!(world.first(), (CauseName::ForwardingOff, Confidence::Certain));
    }

    #[test]
    fn what_stops_before_the_other_interface_makes_it_likely() {
        let mut world = World::routed();
        world.stops_at("br1", 3);
        assert!(world.causes().iter().all(|one| one.cause != CauseName::ForwardingOff), "it forwards");
        world.host.sysctls.insert("net.ipv4.ip_forward".into(), "0".into());
        assert!(world.causes().iter().all(|one| one.cause != CauseName::ForwardingOff), "br1 still does");
        world.host.sysctls.insert("net.ipv4.conf.br1.forwarding".into(), "0".into());
        assert_eq!(world.first(), (CauseName::ForwardingOff, Confidence::Likely));
    }
}
