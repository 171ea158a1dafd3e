//! Reports as they come → one JSON line for each flow that changed.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    vec,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::filter::FlowFilter;
use crate::{publication::Subscription, report::FlowRow, shutdown::Shutdown};

/// A body is handed over in parts of about this size: what a reader that stands still can keep in memory.
const CHUNK: usize = 64 * 1024;

/// What one follower has been told.
#[derive(Debug, Default)]
pub(super) struct Told {
    marks: HashMap<Arc<str>, u64>,
}

impl Told {
    /// The rows that are new or differ from what was told, as lines in parts.
    fn news(&mut self, rows: &[&FlowRow]) -> Vec<Bytes> {
        let mut marks = HashMap::with_capacity(rows.len());
        let (mut parts, mut part) = (Vec::new(), Vec::new());
        for row in rows {
            let mark = mark(row);
            marks.insert(Arc::clone(&row.id), mark);
            if self.marks.get(&row.id) == Some(&mark) {
                continue;
            }
            if let Err(error) = serde_json::to_writer(&mut part, row) {
                tracing::warn!(flow = %row.id, "a flow cannot be written as JSON: {error}");
                continue;
            }
            part.push(b'\n');
            if part.len() >= CHUNK {
                parts.push(Bytes::from(std::mem::take(&mut part)));
            }
        }
        if !part.is_empty() {
            parts.push(Bytes::from(part));
        }
        self.marks = marks;
        parts
    }
}

/// What makes a row worth telling again: counters, judgement, identity; and once more when it falls silent.
fn mark(row: &FlowRow) -> u64 {
    let mut hasher = DefaultHasher::new();
    (row.forward.packets, row.forward.bytes, row.reply.packets, row.reply.bytes).hash(&mut hasher);
    (row.bits_per_second() > 0.0, row.path, row.nat, row.via, row.verdict).hash(&mut hasher);
    (&row.source.endpoint, &row.destination.endpoint, &row.proxied_by).hash(&mut hasher);
    row.tcp
        .as_ref()
        .map(|tcp| (std::mem::discriminant(&tcp.state), tcp.retransmits, tcp.resets))
        .hash(&mut hasher);
    row.evidence.iter().for_each(|one| (one.kind, one.count).hash(&mut hasher));
    hasher.finish()
}

struct Follower {
    reports: Subscription,
    shutdown: Shutdown,
    filter: FlowFilter,
    told: Told,
    parts: vec::IntoIter<Bytes>,
    /// Held for as long as the stream lives: followers are few.
    _permit: OwnedSemaphorePermit,
}

/// Lines until the agent stops or the reader goes. A slow reader misses reports, not the latest state.
pub(super) fn lines(
    reports: Subscription,
    shutdown: Shutdown,
    filter: FlowFilter,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let follower = Follower {
        reports,
        shutdown,
        filter,
        told: Told::default(),
        parts: Vec::new().into_iter(),
        _permit: permit,
    };
    stream::unfold(follower, |mut follower| async move {
        loop {
            if let Some(part) = follower.parts.next() {
                return Some((Ok(part), follower));
            }
            let report = tokio::select! {
                () = follower.shutdown.wait() => return None,
                report = follower.reports.next_with_flows() => report?,
            };
            follower.parts = follower.told.news(&follower.filter.rows(&report)).into_iter();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};
    use crate::report::{Report, Verdict};

    fn told(told: &mut Told, report: &Report) -> Vec<String> {
        let parts = told.news(&FlowFilter::default().rows(report));
        let text = String::from_utf8(parts.concat()).unwrap();
        text.lines().map(|line| serde_json::from_str::<FlowRow>(line).unwrap().id.to_string()).collect()
    }

    #[test]
    fn a_flow_is_told_when_it_is_new_when_it_changes_and_not_otherwise() {
        let mut report = made_up::report();
        let mut memory = Told::default();
        assert_eq!(told(&mut memory, &report), ["f1", "f2", "f3"]);
        assert_eq!(told(&mut memory, &report), [""; 0]);
        std::sync::Arc::make_mut(&mut report.flows[0]).forward.packets += 1;
        std::sync::Arc::make_mut(&mut report.flows[2]).verdict = Verdict::Unanswered;
        assert_eq!(told(&mut memory, &report), ["f1", "f3"]);
    }

    #[test]
    fn a_flow_that_falls_silent_is_told_once_more() {
        let mut report = made_up::report();
        let mut memory = Told::default();
        told(&mut memory, &report);
        std::sync::Arc::make_mut(&mut report.flows[1]).forward.bits_per_second = 0.0;
        std::sync::Arc::make_mut(&mut report.flows[1]).reply.bits_per_second = 0.0;
        assert_eq!(told(&mut memory, &report), ["f2"]);
        assert_eq!(told(&mut memory, &report), [""; 0]);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut report = made_up::report();
        let mut memory = Told::default();
        told(&mut memory, &report);
        report.flows.clear();
        told(&mut memory, &report);
        assert!(memory.marks.is_empty());
    }

    #[test]
    fn many_flows_come_in_parts_of_whole_lines() {
        let mut report = made_up::report();
        let row = report.flows[0].clone();
        report.flows = (0..2_000)
            .map(|one| FlowRow { id: format!("f{one}").into(), ..FlowRow::clone(&row) }.into())
            .collect();
        let parts = Told::default().news(&FlowFilter::default().rows(&report));
        assert!(parts.len() > 10);
        assert!(parts.iter().all(|part| part.ends_with(b"\n") && part.len() < CHUNK + 4_096));
    }
}
