//! Label values as the report has them → label values as the page shows them. Pure.

use std::{collections::BTreeMap, sync::Arc};

use super::families::OTHER;
use crate::{
    identity::text,
    report::{WorkloadAmounts, WorkloadLabels},
};

/// Longest label value from outside, in characters. A name was cleaned where it came in; here its length is
/// bounded once more, for a page is held in memory.
const LIMIT: usize = text::NAME_LIMIT;

/// A value from outside.
pub(super) fn clean(value: &str) -> Arc<str> {
    text::clean_to(value, LIMIT).into()
}

/// A value of a closed set: itself, or `other`.
pub(super) fn closed(value: &str, set: fn() -> Vec<&'static str>) -> &'static str {
    set().into_iter().find(|&one| one == value).unwrap_or(OTHER)
}

/// Workload labels cleaned; what became equal is added up.
pub(super) fn workloads(
    all: &BTreeMap<WorkloadLabels, WorkloadAmounts>,
) -> BTreeMap<WorkloadLabels, WorkloadAmounts> {
    let mut cleaned: BTreeMap<WorkloadLabels, WorkloadAmounts> = BTreeMap::new();
    for (labels, &amounts) in all {
        let key = WorkloadLabels {
            source_namespace: clean(&labels.source_namespace),
            source_workload: clean(&labels.source_workload),
            destination_namespace: clean(&labels.destination_namespace),
            destination_workload: clean(&labels.destination_workload),
            ..labels.clone()
        };
        cleaned.entry(key).or_default().add(amounts);
    }
    cleaned
}

/// The row of what is over the cap: kinds and reporter stay, so that sums by kind stay right. There are
/// 6 × 6 × 3 such rows at most.
pub(super) fn other(labels: &WorkloadLabels) -> WorkloadLabels {
    WorkloadLabels {
        source_namespace: "".into(),
        source_workload: OTHER.into(),
        destination_namespace: "".into(),
        destination_workload: OTHER.into(),
        ..labels.clone()
    }
}
