//! The agent about itself: coverage, losses, sources.

use std::{collections::BTreeMap, sync::Arc};

use netobs_common::{counters::Counters, hook::Hook, skip::Skip};

/// What the agent sees of the host, and what it does not.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Interfaces by state.
    pub interfaces: Vec<InterfaceCounts>,
    /// Packets without a flow, by reason, all interfaces.
    pub skipped: BTreeMap<Skip, Counters>,
    /// Packets counted where neither flow nor path could be kept, of those that would have counted.
    pub spilled: Counters,
    /// Kernel tables: how full they are.
    pub maps: Vec<MapUse>,
    /// Events a source could not deliver, by source.
    pub lost_events: BTreeMap<&'static str, u64>,
    /// Where identity comes from, and whether it works.
    pub sources: Vec<SourceState>,
    /// How full the table of tracked connections is; `None` where the kernel does not track any.
    pub conntrack: Option<ConntrackUse>,
    /// What was looked for and not found, for the head of `top`.
    pub not_found: Vec<Unseen>,
    /// How programs are attached: `tcx`, `clsact`, or both.
    pub attach: Vec<Arc<str>>,
    /// How long the last tick took, seconds.
    pub tick_seconds: f64,
}

/// One interface, as the kernel counts it and as netobs does.
#[derive(Clone, Debug)]
pub struct InterfaceCounts {
    /// Its name.
    pub name: Arc<str>,
    /// Its index.
    pub ifindex: u32,
    /// Whether it is observed.
    pub state: InterfaceState,
    /// Why it is not, or what went wrong.
    pub reason: Option<Arc<str>>,
    /// What netobs saw, by hook, since it attached; skipped packets included.
    pub seen: [Counters; 2],
    /// What of it belongs to no flow, since it appeared.
    pub skipped: [Counters; 2],
    /// What the kernel counted on the interface since then, in the same bytes: received, sent.
    pub counted: [Counters; 2],
}

impl InterfaceCounts {
    /// What netobs saw at a hook.
    #[must_use]
    pub fn seen_at(&self, hook: Hook) -> Counters {
        if hook == Hook::INGRESS { self.seen[0] } else { self.seen[1] }
    }
}

/// Whether an interface is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InterfaceState {
    /// Programs are on both hooks.
    Attached,
    /// Not of a kind that is observed.
    Skipped,
    /// Attaching failed.
    Failed,
    /// Attached, but another program takes the packets before.
    Blind,
}

impl InterfaceState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Attached, Self::Skipped, Self::Failed, Self::Blind];

    /// The word in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Blind => "blind",
        }
    }
}

/// How full a kernel table is.
#[derive(Clone, Debug)]
pub struct MapUse {
    /// Its name, lower case.
    pub map: &'static str,
    /// Entries now.
    pub entries: u64,
    /// Entries it can hold.
    pub capacity: u64,
}

/// How full the kernel's table of tracked connections is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConntrackUse {
    /// Connections tracked now.
    pub entries: u64,
    /// Connections it can track.
    pub limit: u64,
}

impl ConntrackUse {
    /// Whether there is no room for a new connection, so that its packets are dropped (`nf_conntrack_alloc`, Linux
    /// 6.18).
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.limit > 0 && self.entries >= self.limit
    }
}

/// A source of identity.
#[derive(Clone, Debug)]
pub struct SourceState {
    /// `docker`, `netlink`, `conntrack`, `socket_owners` …
    pub source: &'static str,
    /// `ready`, `absent`, `failing`.
    pub state: &'static str,
    /// What it said.
    pub detail: Option<Arc<str>>,
}

/// Something looked for and not found.
#[derive(Clone, Debug)]
pub struct Unseen {
    /// What, for example `containers`.
    pub what: Arc<str>,
    /// Where it was looked for.
    pub looked: Arc<str>,
}
