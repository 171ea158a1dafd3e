//! Filters of pairs: what was asked for → the pairs that pass, and the flows between them. Pure.

use std::{collections::HashSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{filter::FlowFilter, selected::Selected};
use crate::report::{FlowRow, KindName, PairLabels, PairRow, Path, Report, Verdict};

/// What a pair must be to pass: all of it. The query of `/api/v1/matrix` and the flags of `netobs matrix`; a part of
/// [`FlowFilter`], with the same meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairFilter {
    /// Either side is this endpoint; of an address or a Service, whoever has a flow with it.
    pub endpoint: Option<String>,
    /// Either side is of this kind.
    pub kind: Option<KindName>,
    /// This way is between them.
    pub path: Option<Path>,
    /// This is said about the pair.
    pub verdict: Option<Verdict>,
}

/// A pair as its flows have it.
type Key<'r> = (&'r Arc<str>, &'r Arc<str>, PairLabels);

impl PairFilter {
    /// The query of a URL that asks for it, with its question mark; empty if everything passes.
    #[must_use]
    pub fn query(&self) -> String {
        FlowFilter { verdict: self.verdict, ..self.of_flows() }.query()
    }

    /// The pairs of a report that pass, and the flows between them. Without a filter by verdict also those flows that
    /// are of no pair: what is sent to a group, and what is not settled.
    #[must_use]
    pub fn rows<'r>(&self, report: &'r Report) -> (Vec<&'r PairRow>, Vec<&'r FlowRow>) {
        let mut flows = self.of_flows().rows(report);
        let pairs = report.pairs.iter().filter(|pair| {
            self.kind
                .is_none_or(|kind| pair.labels.source_kind == kind || pair.labels.destination_kind == kind)
                && self.path.is_none_or(|path| pair.labels.path == path)
                && self.verdict.is_none_or(|verdict| pair.verdict == verdict)
        });
        let pairs: Vec<&PairRow> = match &self.endpoint {
            None => pairs.collect(),
            Some(selector) => {
                let endpoints = Selected::of(selector, &report.endpoints);
                let theirs: HashSet<Key<'_>> = flows.iter().map(|flow| of_flow(flow)).collect();
                let is_theirs = |pair: &&PairRow| {
                    of_pair(pair)
                        .is_some_and(|key| endpoints.is_either([key.0, key.1]) || theirs.contains(&key))
                };
                pairs.filter(is_theirs).collect()
            }
        };
        if self.verdict.is_some() {
            let theirs: HashSet<Key<'_>> = pairs.iter().filter_map(|pair| of_pair(pair)).collect();
            flows.retain(|flow| theirs.contains(&of_flow(flow)));
        }
        (pairs, flows)
    }

    /// A pair's verdict is not that of each of its flows.
    fn of_flows(&self) -> FlowFilter {
        FlowFilter {
            endpoint: self.endpoint.clone(),
            kind: self.kind,
            path: self.path,
            ..FlowFilter::default()
        }
    }
}

fn of_flow(flow: &FlowRow) -> Key<'_> {
    (&flow.source.endpoint, &flow.destination.endpoint, flow.pair_labels())
}

fn of_pair(pair: &PairRow) -> Option<Key<'_>> {
    let [source, destination] = pair.ends.as_ref()?;
    Some((source, destination, pair.labels))
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};

    /// Pairs by source, verdict and whether anybody is named, and ids of flows.
    fn passing(filter: &PairFilter) -> (Vec<String>, Vec<String>) {
        let report = made_up::report();
        let (pairs, flows) = filter.rows(&report);
        let named = |pair: &PairRow| {
            let [source, destination] = pair.ends.clone().unwrap_or_else(|| ["-".into(), "-".into()]);
            format!("{source} {destination} {}", pair.verdict)
        };
        let mut pairs: Vec<_> = pairs.into_iter().map(named).collect();
        pairs.sort();
        (pairs, flows.iter().map(|flow| flow.id.to_string()).collect())
    }

    #[test]
    fn everything_passes_an_empty_filter() {
        let (pairs, flows) = passing(&PairFilter::default());
        assert_eq!((pairs.len(), flows), (5, vec!["f1".to_owned(), "f2".into(), "f3".into()]));
        assert_eq!(PairFilter::default().query(), "");
    }

    #[test]
    fn a_verdict_is_the_pairs_and_takes_all_its_flows_along() {
        let filter = |verdict| PairFilter { verdict: Some(verdict), ..PairFilter::default() };
        let (pairs, flows) = passing(&filter(Verdict::Refused));
        assert_eq!(pairs, ["host external refused"]);
        assert_eq!(flows, ["f3"]);
        let (pairs, flows) = passing(&filter(Verdict::Dropped));
        assert_eq!(pairs, ["host container/web dropped"], "no flow tells of it");
        assert_eq!(flows, ["f1"], "the pair has one that is well");
        assert_eq!(passing(&filter(Verdict::Degraded)), (vec![], vec![]));
    }

    #[test]
    fn an_endpoint_has_the_pairs_of_its_id_and_those_of_its_flows() {
        let filter = |endpoint: &str| PairFilter { endpoint: Some(endpoint.into()), ..PairFilter::default() };
        for selector in ["container/web", "web", "container/0123abcd"] {
            let (pairs, flows) = passing(&filter(selector));
            assert_eq!(
                pairs,
                ["external container/web reachable", "host container/web dropped"],
                "{selector}"
            );
            assert_eq!(flows, ["f1", "f2"], "{selector}");
        }
        // An address outside is nobody's id: the pair is that of its flow.
        let (pairs, flows) = passing(&filter("2001:db8::7"));
        assert_eq!((pairs, flows), (vec!["host external refused".to_owned()], vec!["f3".to_owned()]));
        assert_eq!(passing(&filter("container/nobody")), (vec![], vec![]));
    }

    #[test]
    fn who_is_not_to_be_shown_is_counted_and_not_selected() {
        let kind = PairFilter { kind: Some(KindName::Pod), ..PairFilter::default() };
        assert_eq!(passing(&kind).0, ["- - reachable"]);
        let both = PairFilter { endpoint: Some("pod/shop/secret".into()), ..kind };
        assert_eq!(passing(&both).0, [""; 0]);
    }

    #[test]
    fn a_way_and_a_kind_hold_for_pairs_and_flows_alike() {
        let filter =
            PairFilter { path: Some(Path::Uplink), kind: Some(KindName::Container), ..PairFilter::default() };
        let (pairs, flows) = passing(&filter);
        assert_eq!(
            (pairs, flows),
            (vec!["external container/web reachable".to_owned()], vec!["f2".to_owned()])
        );
        assert_eq!(filter.query(), "?kind=container&path=uplink");
    }

    #[test]
    fn what_means_nothing_for_pairs_is_refused() {
        let read = |query: &str| {
            let uri: axum::http::Uri = format!("/?{query}").parse().unwrap();
            axum::extract::Query::<PairFilter>::try_from_uri(&uri).map(|one| one.0)
        };
        let all = PairFilter {
            endpoint: Some("pod/a/b".into()),
            kind: Some(KindName::Pod),
            path: Some(Path::Overlay),
            verdict: Some(Verdict::OneWay),
        };
        assert_eq!(read(all.query().trim_start_matches('?')).unwrap(), all);
        for query in ["port=80", "limit=3", "address=10.0.0.1", "verdict=fine"] {
            assert!(read(query).is_err(), "{query}");
        }
    }
}
