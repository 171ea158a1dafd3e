//! Pairs of endpoints as the documents that sum them up take them: each as [`Totals::pairs`] counts it.
//!
//! [`Totals::pairs`]: super::Totals::pairs

use std::sync::Arc;

use jiff::Timestamp;

use super::{FlowRow, PairLabels, Verdict};

/// Two endpoints and a way between them.
#[derive(Clone, Debug, PartialEq)]
pub struct PairRow {
    /// The ids of initiator and other side; `None` where one of them is not to be shown.
    pub ends: Option<[Arc<str>; 2]>,
    /// Their kinds, and the way.
    pub labels: PairLabels,
    /// What is said of them.
    pub verdict: Verdict,
    /// The latest evidence for any verdict on them.
    pub last_seen: Timestamp,
    /// Packets between them that were dropped and that are no flow's evidence.
    pub dropped: Option<PairDrops>,
}

/// Packets that the kernel dropped and that no flow tells of: what the host's own firewall keeps in passes no hook.
#[derive(Clone, Debug, PartialEq)]
pub struct PairDrops {
    /// How many.
    pub packets: u64,
    /// Why, where it is one reason.
    pub reason: Option<Arc<str>>,
    /// First packet.
    pub first_seen: Timestamp,
    /// Latest packet.
    pub last_seen: Timestamp,
}

impl FlowRow {
    /// The kinds of its sides, and its way.
    #[must_use]
    pub fn pair_labels(&self) -> PairLabels {
        PairLabels { source_kind: self.source.kind, destination_kind: self.destination.kind, path: self.path }
    }
}
