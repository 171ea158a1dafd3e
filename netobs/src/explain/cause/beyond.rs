//! It left this host, and nothing came back: what is wrong is not on this host.

use super::{Case, Words, cause, packets, underlay};
use crate::report::{
    Cause, CauseName, Confidence, EvidenceKind, HookName, HopDirection, Path, RoleName, Verdict,
};

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    if !matches!(case.verdict, Verdict::Unanswered | Verdict::OneWay | Verdict::Unreachable) {
        return None;
    }
    let hop = case.lost_at()?;
    let of_answer = hop.direction == HopDirection::Reply;
    // Drops of the other direction are no reason: a SYN that comes again is dropped by who has answered it.
    let is_dropped = case.drops.iter().any(|one| case.is_of_answer(one) == of_answer);
    if hop.role != RoleName::Uplink || hop.hook != HookName::Egress || is_dropped {
        return None;
    }
    let address = if of_answer { case.source()? } else { case.destination()? };
    let outer = match case.flow.filter(|flow| flow.path == Path::Overlay).map(|_| underlay::nodes(case)) {
        Some((here, there)) if of_answer => (there, here),
        outer => outer.unwrap_or_default(),
    };
    let by = match outer {
        (Some(from), Some(to)) => format!("{address}, inside packets from {from} to {to},"),
        (None, Some(to)) => format!("{address}, inside packets to {to},"),
        (_, None) => address.to_string(),
    };
    let came = match case.evidence(EvidenceKind::IcmpError).and_then(|one| one.detail.as_deref()) {
        Some(error) => format!("an error came back: {error}"),
        None if of_answer => "nothing says that they arrived".to_owned(),
        None if case.evidence(EvidenceKind::ReplyPacket).is_some() => "nothing more came back".to_owned(),
        None => "nothing came back".to_owned(),
    };
    let what = if of_answer { " of the answer" } else { "" };
    let to = outer.1.unwrap_or(address);
    Some(cause(
        CauseName::BeyondThisHost,
        Confidence::Possible,
        Words {
            observed: format!("{}{what} to {by} left by {}, and {came}", packets(hop.packets), hop.interface),
            configured: format!("the way to {to} leads by {}", hop.interface),
            advice: outer.1.map_or_else(
                || {
                    format!(
                        "look further on: at the routers behind {}, and at {address} itself",
                        hop.interface
                    )
                },
                |node| format!("ask netobs on the node {node}, and look at the network between the nodes"),
            ),
            check: format!("ip route get {to}"),
        },
    ))
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::World;
    use crate::report::{CauseName, Confidence};

    #[test]
    fn what_leaves_by_the_uplink_unanswered_is_looked_for_beyond() {
        let mut world = World::outward();
        world.translated().unanswered("up0", 9);
        assert_eq!(world.first(), (CauseName::BeyondThisHost, Confidence::Possible));
        let cause = &world.causes()[0];
        assert!(cause.observed.contains("3 packets to 203.0.113.9 left by up0, and nothing came back"));
        assert!(cause.advice.contains("routers behind up0"), "{cause:?}");
    }

    #[test]
    fn what_stops_before_the_uplink_is_not_beyond() {
        let mut world = World::outward();
        world.translated().stops_at("br1", 3);
        assert!(world.causes().iter().all(|one| one.cause != CauseName::BeyondThisHost));
    }

    #[test]
    fn inside_an_overlay_both_nodes_are_named() {
        let mut world = World::overlaid();
        world.unanswered("up0", 9);
        assert_eq!(world.first(), (CauseName::BeyondThisHost, Confidence::Possible));
        let cause = &world.causes()[0];
        let inside = "to 10.9.0.3, inside packets from 198.51.100.2 to 198.51.100.3, left by up0";
        assert!(cause.observed.contains(inside), "{cause:?}");
        assert!(cause.advice.contains("on the node 198.51.100.3"), "{cause:?}");
        assert_eq!(&*cause.check, "ip route get 198.51.100.3");
    }

    #[test]
    fn an_answer_that_leaves_and_does_not_arrive_is_beyond_as_well() {
        let mut world = World::called_upon();
        world.answer_unheard().dropped("not_specified", "va").inside();
        world.flow.verdict = crate::report::Verdict::OneWay;
        let cause = world.causes().remove(0);
        assert_eq!(cause.cause, CauseName::BeyondThisHost, "{cause:?}");
        let inside =
            "of the answer to 10.9.0.3, inside packets from 198.51.100.2 to 198.51.100.3, left by up0";
        assert!(cause.observed.contains(inside), "{cause:?}");
        assert_eq!(world.explained().last_hop.map(|hop| hop.interface), Some("up0".into()));
    }
}
