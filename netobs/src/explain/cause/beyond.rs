//! It left this host, and nothing came back: what is wrong is not on this host.

use super::{Case, Words, cause, packets};
use crate::report::{Cause, CauseName, Confidence, EvidenceKind, HookName, Path, RoleName, Verdict};

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    if !matches!(case.verdict, Verdict::Unanswered | Verdict::OneWay | Verdict::Unreachable)
        || !case.drops.is_empty()
    {
        return None;
    }
    let hop = case.last_forward()?;
    if hop.role != RoleName::Uplink || hop.hook != HookName::Egress {
        return None;
    }
    let address = case.destination()?;
    let outer = case.flow.filter(|flow| flow.path == Path::Overlay).and_then(|flow| flow.overlay.as_ref());
    let to = outer.and_then(|one| one.outer_destination);
    let by = to.map_or_else(|| address.to_string(), |node| format!("{address}, inside packets to {node}"));
    let came = match case.evidence(EvidenceKind::IcmpError).and_then(|one| one.detail.as_deref()) {
        Some(error) => format!("an error came back: {error}"),
        None => "nothing came back".to_owned(),
    };
    Some(cause(
        CauseName::BeyondThisHost,
        Confidence::Possible,
        Words {
            observed: format!("{} to {by} left by {}, and {came}", packets(hop.packets), hop.interface),
            configured: format!("the way to {} leads by {}", to.unwrap_or(address), hop.interface),
            advice: to.map_or_else(
                || {
                    format!(
                        "look further on: at the routers behind {}, and at {address} itself",
                        hop.interface
                    )
                },
                |node| format!("ask netobs on the node {node}, and look at the network between the nodes"),
            ),
            check: format!("ip route get {}", to.unwrap_or(address)),
        },
    ))
}
