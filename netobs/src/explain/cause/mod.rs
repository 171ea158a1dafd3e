//! The causes that are looked for, one file each: a case → a cause, if what was seen and what is configured say so.

mod beyond;
mod bridge_port;
mod firewall;
mod forwarding;
mod listener;
mod masquerade;
mod neighbor;
mod overlapping;
mod overlay_mtu;
mod places;
mod reverse_path;
mod route;
mod underlay;

use std::sync::Arc;

use super::case::Case;
use crate::report::{Cause, CauseName, Confidence};

/// In the order in which a packet meets them: of equally proven ones the first is named first.
const ALL: [fn(&Case<'_>) -> Option<Cause>; 11] = [
    bridge_port::find,
    overlapping::find,
    reverse_path::find,
    forwarding::find,
    route::find,
    firewall::find,
    neighbor::find,
    overlay_mtu::find,
    listener::find,
    masquerade::find,
    beyond::find,
];

/// The causes of a bad verdict, the best proven first. None where nothing is wrong: what is configured is no fault as
/// long as packets arrive.
pub(super) fn ranked(case: &Case<'_>) -> Vec<Cause> {
    if !case.is_bad() {
        return Vec::new();
    }
    let mut causes: Vec<Cause> = ALL.iter().filter_map(|find| find(case)).collect();
    causes.sort_by_key(|one| one.confidence);
    causes
}

/// A cause in words.
struct Words {
    observed: String,
    configured: String,
    advice: String,
    check: String,
}

fn cause(cause: CauseName, confidence: Confidence, words: Words) -> Cause {
    let text = |text: String| -> Arc<str> { text.into() };
    Cause {
        cause,
        confidence,
        observed: text(words.observed),
        configured: text(words.configured),
        advice: text(words.advice),
        check: text(words.check),
    }
}

/// `3 packets`, `1 packet`.
fn packets(count: u64) -> String {
    format!("{count} packet{}", if count == 1 { "" } else { "s" })
}
