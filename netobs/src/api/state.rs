//! What the handlers share: reports, the pulse, bodies already rendered.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::{
    cache::Cache,
    documents,
    explain::{ExplainQuery, ReadConfiguration, Refused},
    filter::FlowFilter,
    pair_filter::PairFilter,
    probe::{self, ProbeQuery, SendProbe},
    pulse::{Pulse, State},
};
use crate::{
    export::{Exporter, Format, Process, classic},
    publication::Subscription,
    report::Report,
    settings::Settings,
    shutdown::Shutdown,
};

/// Followers at once; each costs some 30 bytes a flow, and a core's share when much changes.
const FOLLOWERS: usize = 16;

/// Answers that are made for one asker alone (filtered flows) at once: the rest waits its turn.
const RENDERERS: usize = 2;

/// Explanations at once: each reads the configuration of three stacks.
const EXPLAINERS: usize = 1;

/// What the faces may have done of the world, when somebody asks.
#[derive(Clone, Copy, Debug)]
pub struct AskedReaders {
    /// Reads what is configured.
    pub configuration: ReadConfiguration,
    /// Sends a probe.
    pub probe: SendProbe,
}

/// Everything the agent's faces show, made of reports alone.
#[derive(Debug)]
pub struct Faces {
    reports: Subscription,
    shutdown: Shutdown,
    pulse: Pulse,
    exporter: Arc<Mutex<Exporter>>,
    endpoints: Cache,
    flows: Cache,
    map: Cache,
    matrix: Cache,
    drops: Cache,
    status: Cache,
    open_metrics: Cache,
    classic: Cache,
    followers: Arc<Semaphore>,
    renderers: Semaphore,
    explainers: Arc<Semaphore>,
    probes: Semaphore,
    readers: AskedReaders,
}

impl Faces {
    /// The faces of the agent that sends these reports and reads what is configured.
    #[must_use]
    pub fn new(
        settings: &Settings,
        reports: Subscription,
        readers: AskedReaders,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            reports,
            shutdown,
            pulse: Pulse::new(Instant::now()),
            exporter: Arc::new(Mutex::new(Exporter::new(settings))),
            endpoints: Cache::default(),
            flows: Cache::default(),
            map: Cache::default(),
            matrix: Cache::default(),
            drops: Cache::default(),
            status: Cache::default(),
            open_metrics: Cache::default(),
            classic: Cache::default(),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            renderers: Semaphore::new(RENDERERS),
            explainers: Arc::new(Semaphore::new(EXPLAINERS)),
            probes: Semaphore::new(probe::PROBES),
            readers,
        }
    }

    /// Notes the arrival of reports, until there are none.
    pub(super) async fn listen(&self) {
        let mut reports = self.reports.clone();
        while let Some(current) = reports.next().await {
            self.pulse.beat(Instant::now());
            let bodies = [&self.endpoints, &self.flows, &self.map, &self.matrix, &self.drops, &self.status];
            for cache in bodies.into_iter().chain([&self.open_metrics, &self.classic]) {
                cache.expire(&current);
            }
        }
    }

    pub(super) fn health(&self) -> State {
        self.pulse.state(Instant::now())
    }

    pub(super) fn is_ready(&self) -> bool {
        self.pulse.is_ready()
    }

    fn report(&self) -> Arc<Report> {
        self.reports.latest()
    }

    pub(super) async fn metrics(&self, format: Format) -> anyhow::Result<Bytes> {
        let report = self.report();
        let exporter = Arc::clone(&self.exporter);
        let open_metrics = self.open_metrics.get(&report, move |report| {
            let mut exporter = exporter.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(exporter.render(report, Process::read())?.into())
        });
        let page = open_metrics.await?;
        match format {
            Format::OpenMetrics => Ok(page),
            Format::Classic => {
                self.classic.get(&report, move |_| Ok(classic(std::str::from_utf8(&page)?).into())).await
            }
        }
    }

    pub(super) async fn endpoints(&self) -> anyhow::Result<Bytes> {
        self.endpoints.get(&self.report(), |report| documents::endpoints(&report)).await
    }

    pub(super) async fn map(&self) -> anyhow::Result<Bytes> {
        self.map.get(&self.reports.with_flows().await?, |report| documents::map(&report)).await
    }

    pub(super) async fn matrix(&self, filter: PairFilter) -> anyhow::Result<Bytes> {
        let report = self.reports.with_flows().await?;
        if filter == PairFilter::default() {
            return self.matrix.get(&report, move |report| documents::matrix(&report, &filter)).await;
        }
        let _turn = self.renderers.acquire().await?;
        tokio::task::spawn_blocking(move || documents::matrix(&report, &filter)).await?
    }

    pub(super) async fn drops(&self) -> anyhow::Result<Bytes> {
        self.drops.get(&self.report(), |report| documents::drops(&report)).await
    }

    /// What changed since a moment; few ask, and all else is asked of the same report.
    pub(super) fn events(&self, since: Option<Timestamp>) -> anyhow::Result<Bytes> {
        documents::events(&self.report(), since)
    }

    pub(super) async fn status(&self) -> anyhow::Result<Bytes> {
        self.status.get(&self.report(), |report| documents::status(&report)).await
    }

    pub(super) async fn flows(&self, filter: FlowFilter) -> anyhow::Result<Bytes> {
        let report = self.reports.with_flows().await?;
        if filter == FlowFilter::default() {
            return self.flows.get(&report, move |report| documents::flows(&report, &filter)).await;
        }
        let _turn = self.renderers.acquire().await?;
        tokio::task::spawn_blocking(move || documents::flows(&report, &filter)).await?
    }

    pub(super) async fn explain(&self, query: ExplainQuery) -> Result<Bytes, Refused> {
        let report = self.reports.with_flows().await.map_err(Refused::Failed)?;
        query.answer(report, self.readers.configuration, &self.explainers).await
    }

    pub(super) async fn probe(&self, query: ProbeQuery) -> Result<Bytes, Refused> {
        let _turn = self
            .probes
            .try_acquire()
            .map_err(|_| Refused::Question("several probes are under way: try again".to_owned()))?;
        query.answer(&self.reports, self.readers, &self.explainers).await
    }

    /// A stream of changes, unless too many are being served.
    pub(super) fn follow(&self, filter: FlowFilter) -> Option<axum::body::Body> {
        let permit = Arc::clone(&self.followers).try_acquire_owned().ok()?;
        let lines = super::follow::lines(self.reports.anew(), self.shutdown.clone(), filter, permit);
        Some(axum::body::Body::from_stream(lines))
    }
}
