//! The channel between the observer and the faces: a report a tick one way; whether anybody looks at flows the other.
//!
//! A row for each conversation costs more than all the rest of a tick, so rows are made while somebody looks: metrics
//! alone, as most nodes are asked for most of the time, need none.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{sync::watch, time::timeout};

use crate::report::Report;

/// How long after they were last asked for flows are still listed: whoever asks again and again finds them there.
const LOOKS_FOR: Duration = Duration::from_secs(15);
/// How long an answer may take: a tick, and one that takes long.
const WITHIN: Duration = Duration::from_secs(10);

type Asked = Arc<Mutex<Option<Instant>>>;

/// Where the observer sends reports.
#[derive(Debug)]
pub struct Publisher {
    reports: watch::Sender<Arc<Report>>,
    asked: Asked,
}

/// Where the faces have them from.
#[derive(Clone, Debug)]
pub struct Subscription {
    reports: watch::Receiver<Arc<Report>>,
    asked: Asked,
}

/// A channel that begins with a report of nothing, which counts as no report.
#[must_use]
pub fn channel(first: Report) -> (Publisher, Subscription) {
    let (sender, mut receiver) = watch::channel(Arc::new(first));
    receiver.mark_unchanged();
    let asked = Asked::default();
    (Publisher { reports: sender, asked: Arc::clone(&asked) }, Subscription { reports: receiver, asked })
}

impl Publisher {
    /// Makes it the latest report.
    pub fn send(&self, report: Report) {
        self.reports.send_replace(Arc::new(report));
    }

    /// Whether the next report is to list flows.
    #[must_use]
    pub fn is_looked_at(&self, now: Instant) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.is_some_and(|at| now.saturating_duration_since(at) < LOOKS_FOR)
    }
}

impl Subscription {
    /// The latest report, which may list no flows.
    #[must_use]
    pub fn latest(&self) -> Arc<Report> {
        Arc::clone(&self.reports.borrow())
    }

    /// The next report that was not taken yet; `None` once there will be none. Safe to cancel.
    pub async fn next(&mut self) -> Option<Arc<Report>> {
        self.reports.changed().await.ok()?;
        Some(Arc::clone(&self.reports.borrow_and_update()))
    }

    /// The next one that lists flows, beginning with the latest. Safe to cancel.
    pub async fn next_with_flows(&mut self) -> Option<Arc<Report>> {
        loop {
            self.ask();
            let report = self.next().await?;
            if report.lists_flows {
                return Some(report);
            }
        }
    }

    /// The latest report if it lists flows, else the first one that does.
    ///
    /// # Errors
    /// The observer has stopped, or takes too long.
    pub async fn with_flows(&self) -> anyhow::Result<Arc<Report>> {
        self.ask();
        let mut latest = self.clone();
        latest.reports.mark_changed();
        let found = timeout(WITHIN, latest.next_with_flows()).await;
        found.context("no report within ten seconds")?.context("the observer has stopped")
    }

    /// A subscription that has taken no report yet, not even the latest.
    #[must_use]
    pub fn anew(&self) -> Self {
        let mut anew = self.clone();
        anew.reports.mark_changed();
        anew
    }

    fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(node: &str, lists_flows: bool) -> Report {
        Report { lists_flows, ..Report::empty(node.into(), jiff::Timestamp::UNIX_EPOCH) }
    }

    #[tokio::test]
    async fn flows_are_listed_while_somebody_looks() {
        let (publisher, subscription) = channel(report("", true));
        let now = Instant::now();
        assert!(!publisher.is_looked_at(now));
        drop(subscription.latest());
        assert!(!publisher.is_looked_at(now), "who takes metrics looks at no flows");
        subscription.with_flows().await.unwrap();
        assert!(publisher.is_looked_at(Instant::now()));
        assert!(!publisher.is_looked_at(Instant::now() + LOOKS_FOR));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_looks_first_waits_for_a_report_with_flows() {
        let (publisher, subscription) = channel(report("", true));
        publisher.send(report("without", false));
        let asking = subscription.clone();
        let answer = tokio::spawn(async move { asking.with_flows().await });
        tokio::task::yield_now().await;
        publisher.send(report("under way", false));
        tokio::task::yield_now().await;
        assert!(publisher.is_looked_at(Instant::now()) && !answer.is_finished());
        publisher.send(report("with", true));
        assert_eq!(&*answer.await.unwrap().unwrap().node, "with");
        assert_eq!(&*subscription.with_flows().await.unwrap().node, "with", "the next one has it at once");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_good() {
        let (publisher, subscription) = channel(report("", true));
        publisher.send(report("without", false));
        let error = subscription.with_flows().await.unwrap_err();
        assert_eq!(error.to_string(), "no report within ten seconds");
        drop(publisher);
        let error = subscription.with_flows().await.unwrap_err();
        assert_eq!(error.to_string(), "the observer has stopped");
    }

    #[tokio::test]
    async fn a_follower_takes_the_latest_and_then_what_is_new() {
        let (publisher, subscription) = channel(report("", true));
        publisher.send(report("one", true));
        let mut follower = subscription.anew();
        assert_eq!(&*follower.next_with_flows().await.unwrap().node, "one");
        publisher.send(report("two", true));
        assert_eq!(&*follower.next_with_flows().await.unwrap().node, "two");
    }
}
