//! Health → the status document: what the agent looked for, what it found, and what it cannot see.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Head, HookName, InterfaceCounts, InterfaceState, Report};

/// What the agent can say about itself; the head of `netobs top` is made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusDocument {
    /// The common head.
    #[serde(flatten)]
    pub head: Head,
    /// Where identity comes from, and whether it works.
    pub sources: Vec<SourceStatus>,
    /// What was looked for and not found.
    pub not_found: Vec<NotFound>,
    /// How many interfaces are in each state.
    pub interfaces: InterfaceStates,
    /// How programs are attached: `tcx`, `clsact`, or both.
    pub attach: Vec<Arc<str>>,
    /// Bytes waiting up to 2 s for identity, NAT or direction to settle.
    pub pending_bytes: u64,
    /// Bytes booked with an unknown endpoint kind on either side, since the agent's start.
    pub unattributed_bytes: u64,
    /// Packets counted whose flow has no detail because the flow table was full, since the agent's start.
    pub overflow_packets: u64,
    /// Packets without a flow, by reason, since the agent's start.
    pub skipped_packets: BTreeMap<Arc<str>, u64>,
    /// The same by interface and hook, where there are any.
    pub skipped_at: Vec<SkippedAt>,
    /// Events a source could not deliver, by source, since the agent's start.
    pub lost_events: BTreeMap<Arc<str>, u64>,
    /// How full the kernel tables are.
    pub tables: Vec<TableUse>,
    /// How long the last tick took, seconds.
    pub tick_seconds: f64,
}

/// Packets without a flow at one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedAt {
    /// The interface's name.
    pub interface: Arc<str>,
    /// Its index.
    pub ifindex: u32,
    /// Which hook.
    pub hook: HookName,
    /// Socket buffers, since the interface appeared.
    pub packets: u64,
    /// Sum of `skb->len`.
    pub bytes: u64,
}

/// A source of identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceStatus {
    /// `docker`, `netlink`, `conntrack`, `socket_owners` …
    pub source: Arc<str>,
    /// `ready`, `absent`, `failing`.
    pub state: Arc<str>,
    /// What it said.
    pub detail: Option<Arc<str>>,
}

/// Something looked for and not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotFound {
    /// What, for example `containers`.
    pub what: Arc<str>,
    /// Where it was looked for.
    pub looked: Arc<str>,
}

/// Interfaces of the host, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceStates {
    /// Programs are on both hooks.
    pub attached: u64,
    /// Not of a kind that is observed.
    pub skipped: u64,
    /// Attaching failed.
    pub failed: u64,
    /// Attached, but another program takes the packets before.
    pub blind: u64,
}

/// How full a kernel table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableUse {
    /// Its name, lower case.
    pub table: Arc<str>,
    /// Entries now.
    pub entries: u64,
    /// Entries it can hold.
    pub capacity: u64,
}

impl StatusDocument {
    /// The status of one report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let health = &report.health;
        Self {
            head: report.head(),
            sources: health
                .sources
                .iter()
                .map(|one| SourceStatus {
                    source: one.source.into(),
                    state: one.state.into(),
                    detail: one.detail.clone(),
                })
                .collect(),
            not_found: health
                .not_found
                .iter()
                .map(|one| NotFound { what: Arc::clone(&one.what), looked: Arc::clone(&one.looked) })
                .collect(),
            interfaces: InterfaceStates::count(health.interfaces.iter().map(|one| one.state)),
            attach: health.attach.clone(),
            pending_bytes: report.totals.pending_bytes,
            unattributed_bytes: report.totals.unattributed_bytes,
            overflow_packets: report.totals.overflow_packets,
            skipped_packets: health
                .skipped
                .iter()
                .map(|(reason, counters)| (reason.name().into(), counters.packets))
                .collect(),
            skipped_at: health.interfaces.iter().flat_map(skipped_at).collect(),
            lost_events: health.lost_events.iter().map(|(&source, &lost)| (source.into(), lost)).collect(),
            tables: health
                .maps
                .iter()
                .map(|one| TableUse { table: one.map.into(), entries: one.entries, capacity: one.capacity })
                .collect(),
            tick_seconds: health.tick_seconds,
        }
    }
}

fn skipped_at(interface: &InterfaceCounts) -> impl Iterator<Item = SkippedAt> {
    let hooks = [HookName::Ingress, HookName::Egress].into_iter().zip(interface.skipped);
    hooks.filter(|(_, counters)| counters.packets > 0).map(|(hook, counters)| SkippedAt {
        interface: Arc::clone(&interface.name),
        ifindex: interface.ifindex,
        hook,
        packets: counters.packets,
        bytes: counters.bytes,
    })
}

impl InterfaceStates {
    fn count(states: impl Iterator<Item = InterfaceState>) -> Self {
        let mut counts = Self::default();
        for state in states {
            match state {
                InterfaceState::Attached => counts.attached += 1,
                InterfaceState::Skipped => counts.skipped += 1,
                InterfaceState::Failed => counts.failed += 1,
                InterfaceState::Blind => counts.blind += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Health, SourceState, Unseen};

    #[test]
    fn interfaces_are_counted_by_state() {
        let states = [InterfaceState::Attached, InterfaceState::Blind, InterfaceState::Attached];
        let counts = InterfaceStates::count(states.into_iter());
        assert_eq!((counts.attached, counts.blind, counts.failed), (2, 1, 0));
    }

    #[test]
    fn a_status_survives_json_and_keeps_what_was_not_found() {
        let mut report = Report::empty("alpha".into(), "2026-01-02T03:04:05Z".parse().unwrap());
        report.health = Health {
            sources: vec![SourceState {
                source: "docker",
                state: "absent",
                detail: Some("no socket".into()),
            }],
            not_found: vec![Unseen { what: "containers".into(), looked: "/var/run/docker.sock".into() }],
            ..Health::default()
        };
        let status = report.status_document();
        let text = serde_json::to_string(&status).unwrap();
        assert!(text.starts_with(r#"{"schema":"netobs/v1""#), "{text}");
        assert_eq!(serde_json::from_str::<StatusDocument>(&text).unwrap(), status);
        assert_eq!(&*status.not_found[0].what, "containers");
    }
}
