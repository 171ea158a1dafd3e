//! Reports → JSON bodies, without copying rows first.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::{filter::FlowFilter, pair_filter::PairFilter};
use crate::{
    matrix,
    report::{EndpointRow, FlowRow, Head, Report},
};

/// As [`crate::report::FlowsDocument`], borrowed.
#[derive(Serialize)]
struct Flows<'r> {
    #[serde(flatten)]
    head: Head,
    flows: Vec<&'r FlowRow>,
}

/// As [`crate::report::EndpointsDocument`], borrowed.
#[derive(Serialize)]
struct Endpoints<'r> {
    #[serde(flatten)]
    head: Head,
    endpoints: &'r [EndpointRow],
}

/// `/api/v1/flows`.
pub(super) fn flows(report: &Report, filter: &FlowFilter) -> anyhow::Result<Bytes> {
    json(&Flows { head: report.head(), flows: filter.rows(report) })
}

/// `/api/v1/endpoints`.
pub(super) fn endpoints(report: &Report) -> anyhow::Result<Bytes> {
    json(&Endpoints { head: report.head(), endpoints: &report.endpoints })
}

/// `/api/v1/drops`.
pub(super) fn drops(report: &Report) -> anyhow::Result<Bytes> {
    json(&report.drops_document())
}

/// `/api/v1/events`.
pub(super) fn events(report: &Report, since: Option<Timestamp>) -> anyhow::Result<Bytes> {
    json(&report.events_document(since))
}

/// `/api/v1/matrix`.
pub(super) fn matrix(report: &Report, filter: &PairFilter) -> anyhow::Result<Bytes> {
    let (pairs, flows) = filter.rows(report);
    json(&matrix::build(report.head(), pairs, flows))
}

/// `/api/v1/status`.
pub(super) fn status(report: &Report) -> anyhow::Result<Bytes> {
    json(&report.status_document())
}

/// `/api/v1/map`.
pub(super) fn map(report: &Report) -> anyhow::Result<Bytes> {
    json(&crate::map::build(report))
}

pub(super) fn json(document: &impl Serialize) -> anyhow::Result<Bytes> {
    let mut text = serde_json::to_vec(document)?;
    text.push(b'\n');
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};
    use crate::{
        matrix::MatrixDocument,
        report::{EndpointsDocument, FlowsDocument, KindName},
    };

    #[test]
    fn bodies_are_the_documents_of_the_schema() {
        let report = made_up::report();
        let body = flows(&report, &FlowFilter::default()).unwrap();
        assert_eq!(serde_json::from_slice::<FlowsDocument>(&body).unwrap(), report.flows_document(|_| true));
        let body = endpoints(&report).unwrap();
        assert_eq!(serde_json::from_slice::<EndpointsDocument>(&body).unwrap(), report.endpoints_document());
    }

    #[test]
    fn the_matrix_is_that_of_what_passes() {
        let report = made_up::report();
        let whole: MatrixDocument =
            serde_json::from_slice(&matrix(&report, &PairFilter::default()).unwrap()).unwrap();
        assert_eq!((&whole.head, whole.cells.len()), (&report.head(), 5));
        let filter = PairFilter { kind: Some(KindName::Pod), ..PairFilter::default() };
        let part: MatrixDocument = serde_json::from_slice(&matrix(&report, &filter).unwrap()).unwrap();
        let pods = |cell: &&crate::matrix::MatrixCell| cell.source_kind == KindName::Pod;
        assert_eq!(part.cells, whole.cells.iter().filter(pods).cloned().collect::<Vec<_>>());
    }
}
