//! Nobody waits at the port: the destination itself answers so.

use super::{Case, Words, cause};
use crate::report::{Cause, CauseName, Confidence, Evidence, EvidenceKind, Verdict};

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    if case.verdict != Verdict::Refused {
        return None;
    }
    let (proto, port, address) = (case.proto()?, case.port()?, case.destination()?);
    // Who rejects drops what was sent, and answers in the destination's name; an ICMP error says who sent it.
    let rejected = case.dropped_here(&["netfilter_drop"]).is_some()
        || case.flow.is_some_and(|flow| {
            let is_rule = |fact: &Evidence| fact.detail.as_deref() == Some("netfilter_drop");
            flow.evidence.iter().any(|fact| fact.kind == EvidenceKind::Drop && is_rule(fact))
        });
    let own = format!(" from {address}");
    let by_itself = |error: &Evidence| {
        error
            .detail
            .as_deref()
            .is_none_or(|text| text.split(',').next().is_some_and(|text| text.ends_with(&own)))
    };
    if rejected || case.evidence(EvidenceKind::IcmpError).is_some_and(|error| !by_itself(error)) {
        return None;
    }
    let on_host = case.stacks.host.facts.is_local(address);
    let stack = if on_host { Some(case.stacks.host) } else { case.stacks.destination };
    let answer = case.evidence(EvidenceKind::Rst).or_else(|| case.evidence(EvidenceKind::IcmpError));
    let by_other =
        answer.and_then(|one| one.detail.as_deref()).is_some_and(|text| text.contains("neither side"));
    let whose = &case.asked.destination.selector;
    let word = case.protocol()?;
    let observed = match (answer, case.dropped(&["no_socket"])) {
        (Some(one), _) => format!(
            "{} answered with {}",
            whose,
            if one.kind == EvidenceKind::Rst { "a reset (RST)" } else { "an ICMP error" }
        ),
        (None, Some(drop)) => format!("{} found no socket at {whose}", super::packets(drop.packets)),
        (None, None) => return None,
    };
    let check = format!(
        "{}ss -H -l -n -{} 'sport = :{port}'",
        if on_host { "" } else { "nsenter --net=/proc/PID/ns/net " },
        if proto == netobs_common::wire::Proto::TCP { "t" } else { "u" },
    );
    // Of a stack that was not read at all there are no sockets either; that some rules were not read is no matter here.
    let was_read = |stack: &&crate::host::facts::stack::Stack| {
        !stack.unread.iter().any(|line| line.starts_with("everything"))
    };
    let Some(stack) = stack.filter(was_read) else {
        return (!by_other).then(|| {
            let configured = format!("which sockets {whose} has cannot be seen from here");
            let advice = format!("see whether somebody waits at {word} port {port} there");
            cause(CauseName::NoListener, Confidence::Likely, Words { observed, configured, advice, check })
        });
    };
    if stack.listeners.iter().any(|one| one.hears(proto, address, port)) {
        return None;
    }
    let others: Vec<String> = stack
        .listeners
        .iter()
        .filter(|one| one.proto == proto && one.port == port)
        .map(|one| one.address.to_string())
        .collect();
    let (name, configured, advice) = if others.is_empty() {
        let configured = format!("no socket of {whose} waits at {word} port {port}");
        (
            CauseName::NoListener,
            configured,
            format!("start the service at {whose}, or ask for the port it waits at"),
        )
    } else {
        let configured =
            format!("{whose} waits at {word} port {port} of {} only, not of {address}", others.join(", "));
        let advice = format!("let the service listen at {address}, or at every address (0.0.0.0 or ::)");
        (CauseName::ListensElsewhere, configured, advice)
    };
    Some(cause(name, Confidence::Certain, Words { observed, configured, advice, check }))
}

#[cfg(test)]
mod tests {
    use netobs_common::wire::Proto;

    use crate::explain::made_up::World;
    use crate::host::facts::stack::Listener;
    use crate::report::{CauseName, Confidence};

    #[test]
    fn a_reset_where_nobody_waits_is_no_listener() {
        let mut world = World::bridged();
        world.refused();
        assert_eq!(world.first(), (CauseName::NoListener, Confidence::Certain));
    }

    #[test]
    fn a_service_at_loopback_alone_listens_elsewhere() {
        let mut world = World::bridged();
        world.refused();
        let own =
            Listener { proto: Proto::TCP, address: "127.0.0.1".parse().unwrap(), port: 80, both: false };
        world.destination.listeners.push(own);
        assert_eq!(world.first(), (CauseName::ListensElsewhere, Confidence::Certain));
        assert!(world.causes()[0].configured.contains("127.0.0.1 only"), "{:?}", world.causes());
        world.destination.listeners.push(Listener { address: "0.0.0.0".parse().unwrap(), ..own });
        assert!(world.causes().is_empty(), "somebody waits there; who refused did so for another reason");
    }
}
