//! What was observed of a pair, and what is configured on its way → a verdict with its evidence and ranked causes. Pure.
//!
//! A cause is never a guess: each cites what was seen and what was read, and a command that shows the latter.

mod asked;
mod case;
mod cause;
#[cfg(test)]
mod made_up;

pub use asked::{Asked, Side};
pub use case::Stacks;

use self::case::Case;
use crate::{
    host::facts::stack::Stack,
    report::{Evidence, Explanation, Report, Verdict},
};

/// Explains why, or that, the source reaches the destination.
#[must_use]
pub fn explain(asked: &Asked, report: &Report, stacks: Stacks<'_>) -> Explanation {
    let case = Case::of(asked, report, stacks);
    let endpoints = &report.endpoints;
    let (seen, port) = (case.flow, case.port());
    let unread = [Some(stacks.host), stacks.source, stacks.destination];
    Explanation {
        head: report.head(),
        source: asked.source.row(endpoints, case.sender(), None),
        destination: asked.destination.row(endpoints, seen.map(|flow| &flow.destination), port),
        protocol: case.protocol(),
        path: seen.map(|flow| flow.path),
        verdict: case.verdict,
        last_hop: case.last_hop(),
        expected_next_hop: case.expected_next_hop(),
        evidence: evidence(&case),
        causes: cause::ranked(&case),
        hops: seen.map(|flow| flow.hops.clone()).unwrap_or_default(),
        probe: None,
        unread: unread.into_iter().flatten().flat_map(|stack| stack.unread.iter().cloned()).collect(),
    }
}

/// What can be said of reachability alone.
#[must_use]
pub fn verdict(asked: &Asked, report: &Report) -> Verdict {
    let nothing = Stack::default();
    Case::of(asked, report, Stacks { host: &nothing, source: None, destination: None }).verdict
}

/// What was observed, in order of time.
fn evidence(case: &Case<'_>) -> Vec<Evidence> {
    let mut all = case.flow.map(|flow| flow.evidence.clone()).unwrap_or_default();
    if !all.iter().any(|one| one.kind == crate::report::EvidenceKind::Drop) {
        all.extend(case.drops.iter().map(|one| Evidence {
            kind: crate::report::EvidenceKind::Drop,
            count: one.packets,
            first_seen: one.first_seen,
            last_seen: one.last_seen,
            hop: one.last_hop.as_ref().map(|hop| format!("{} {}", hop.interface, hop.hook).into()),
            detail: Some(one.reason.clone()),
        }));
    }
    all.sort_by_key(|one| one.first_seen);
    all
}
