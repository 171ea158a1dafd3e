//! `/api/v1/explain`: a question → reports, configuration read for it, an answer.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};

use super::documents::json;
use crate::{
    explain::{Asked, Stacks, explain},
    host::facts::stack::Stack,
    report::{EndpointRow, Explanation, Report},
};

/// What is configured in the stacks a question is about.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The host's.
    pub host: Stack,
    /// The source's own, where it has one that could be read.
    pub source: Option<Stack>,
    /// The destination's own, likewise.
    pub destination: Option<Stack>,
}

/// Reads the host's stack and those of both ends, given by their namespaces' inodes. The faces know the host by this
/// alone.
pub type ReadConfiguration = fn([Option<u64>; 2]) -> BoxFuture<'static, Configuration>;

/// The query of `/api/v1/explain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// Who wants to reach somebody, by selector.
    pub source: String,
    /// Whom, by selector, with a port if one is meant.
    pub destination: String,
}

/// Longest selector: names of pods and namespaces have 253 and 63 characters at most.
const LONGEST: usize = 512;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Refused {
    /// The question cannot be answered as it stands.
    Question(String),
    /// The answer could not be made.
    Failed(anyhow::Error),
}

impl ExplainQuery {
    /// The query of a URL that asks this, with its question mark.
    #[must_use]
    pub fn query(&self) -> String {
        let mut query = "?source=".to_owned();
        super::filter::escape(&mut query, &self.source);
        query.push_str("&destination=");
        super::filter::escape(&mut query, &self.destination);
        query
    }

    pub(super) async fn answer(
        &self,
        report: Arc<Report>,
        read: ReadConfiguration,
        turns: &Arc<Semaphore>,
    ) -> Result<Bytes, Refused> {
        let asked = self.asked(&report)?;
        let answer = explanation(report, asked, read, turns).await.map_err(Refused::Failed)?;
        json(&answer).map_err(Refused::Failed)
    }

    /// Who is meant.
    pub(super) fn asked(&self, report: &Report) -> Result<Asked, Refused> {
        if self.source.len().max(self.destination.len()) > LONGEST {
            return Err(Refused::Question(format!("a selector has at most {LONGEST} characters")));
        }
        Asked::of(&self.source, &self.destination, report).map_err(Refused::Question)
    }
}

/// What is known of who is meant. It is found on a thread of its own, for rules are anybody's and the thread that answers
/// is the one that says the agent is alive; neither does the agent's end wait for it. Nobody else has a turn until it is
/// found, asker or not.
pub(super) async fn explanation(
    report: Arc<Report>,
    asked: Asked,
    read: ReadConfiguration,
    turns: &Arc<Semaphore>,
) -> anyhow::Result<Explanation> {
    let turn = Arc::clone(turns).acquire_owned().await?;
    let namespace = |endpoint: Option<&EndpointRow>| endpoint?.netns;
    let ends = [&asked.source, &asked.destination].map(|side| namespace(side.endpoint(&report.endpoints)));
    let configuration = read(ends).await;
    let (found, finding) = oneshot::channel();
    std::thread::Builder::new()
        .name("explain".to_owned())
        .spawn(move || {
            let Configuration { host, source, destination } = &configuration;
            let stacks = Stacks { host, source: source.as_ref(), destination: destination.as_ref() };
            let explanation = explain(&asked, &report, stacks);
            drop((configuration, turn));
            // Whoever asked may have gone.
            drop(found.send(explanation));
        })
        .context("no thread to explain")?;
    finding.await.context("the part that explains failed")
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};
    use crate::report::Verdict;

    fn nothing(_: [Option<u64>; 2]) -> BoxFuture<'static, Configuration> {
        Box::pin(async { Configuration::default() })
    }

    fn ask(source: &str, destination: &str) -> ExplainQuery {
        ExplainQuery { source: source.into(), destination: destination.into() }
    }

    #[tokio::test]
    async fn a_pair_that_talks_is_explained_by_its_proof() {
        let (report, turns) = (Arc::new(made_up::report()), Arc::new(Semaphore::new(1)));
        let body = ask("host", "container/web:80").answer(report, nothing, &turns).await.unwrap();
        let found: Explanation = serde_json::from_slice(&body).unwrap();
        assert_eq!((found.verdict, found.causes.len()), (Verdict::Reachable, 0));
        assert_eq!(&*found.destination.endpoint, "container/web");
    }

    #[tokio::test]
    async fn who_is_nowhere_is_a_wrong_question() {
        let (report, turns) = (Arc::new(made_up::report()), Arc::new(Semaphore::new(1)));
        for (source, destination) in [("container/nobody", "host"), ("host", "nobody:80"), ("", "host")] {
            let answer = ask(source, destination).answer(Arc::clone(&report), nothing, &turns).await;
            assert!(matches!(answer, Err(Refused::Question(_))), "{source} {destination}");
        }
        let long = "x".repeat(LONGEST + 1);
        let answer = ask(&long, "host").answer(report, nothing, &turns).await;
        assert!(matches!(answer, Err(Refused::Question(_))));
        assert_eq!(turns.available_permits(), 1);
    }

    #[test]
    fn a_query_says_what_was_asked_whatever_the_name() {
        let query = ask("pod/a&b/ä", "[2001:db8::1]:80");
        let uri: axum::http::Uri = format!("/{}", query.query()).parse().unwrap();
        assert_eq!(axum::extract::Query::<ExplainQuery>::try_from_uri(&uri).unwrap().0, query);
    }
}
