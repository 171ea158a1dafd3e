//! The matrix as it is published.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{EvidenceKind, Head, KindName, Path, Verdict};

/// Who talks to whom, by kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MatrixDocument {
    /// The common head.
    #[serde(flatten)]
    pub head: Head,
    /// Sorted by kinds and way; only those in which there is something.
    pub cells: Vec<MatrixCell>,
}

/// Everybody of one kind with everybody of another, by one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MatrixCell {
    /// The initiators' kind.
    pub source_kind: KindName,
    /// The other sides' kind.
    pub destination_kind: KindName,
    /// How it travels.
    pub path: Path,
    /// How many pairs of endpoints are in which verdict, as `netobs_path_pairs` has them; verdicts without a pair are
    /// left out. Empty where there are flows of no pair alone: to a group, or not settled yet.
    #[schemars(extend("propertyNames" = {"enum": Verdict::ALL}))]
    pub verdicts: BTreeMap<Verdict, u64>,
    /// How many flows are listed: alive, or ended less than 30 s ago.
    pub flows: u64,
    /// What these flows carried, both directions, at their counting interfaces.
    pub bytes: u64,
    /// What was observed of these flows, and of packets that were dropped and are no flow's; each kind once.
    pub evidence: Vec<CellEvidence>,
    /// The latest packet of these flows, or the latest evidence of a pair without one.
    #[schemars(with = "String")]
    pub last_seen: Timestamp,
}

impl MatrixCell {
    /// Its pairs by verdict, in the order in which they are shown: first who is well, as most are.
    pub fn pairs(&self) -> impl Iterator<Item = (Verdict, u64)> {
        let is_well = |verdict: Verdict| verdict == Verdict::Reachable;
        let of = move |well| {
            let all = self.verdicts.iter().map(|(verdict, count)| (*verdict, *count));
            all.filter(move |(verdict, _)| is_well(*verdict) == well)
        };
        of(true).chain(of(false))
    }
}

/// One kind of observed fact, of all flows of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CellEvidence {
    /// What.
    pub kind: EvidenceKind,
    /// In how many flows; 0 where no flow tells of it.
    pub flows: u64,
    /// How often, in all of them.
    pub count: u64,
    /// First time.
    #[schemars(with = "String")]
    pub first_seen: Timestamp,
    /// Latest time.
    #[schemars(with = "String")]
    pub last_seen: Timestamp,
    /// Interface and hook, where it was the same each time.
    pub hop: Option<Arc<str>>,
    /// What else is known, where it is the same each time.
    pub detail: Option<Arc<str>>,
}
