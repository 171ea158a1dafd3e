//! One report → one page of metrics in OpenMetrics text.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use netobs_common::counters::Counters;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};

use super::{cap::Cap, itself, labels, process::Process, rows::Rows, traffic};
use crate::{
    report::{Report, WorkloadAmounts, WorkloadLabels},
    settings::{Detail, Settings},
};

/// Writes pages. Between pages it keeps only who has a row of its own.
#[derive(Debug)]
pub struct Exporter {
    detail: Detail,
    workloads: Cap<WorkloadLabels, WorkloadAmounts>,
    endpoints: Cap<Arc<str>, Counters>,
    previous: Duration,
}

impl Exporter {
    /// One that follows the settings' detail and cap.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let limit = usize::try_from(settings.max_series).unwrap_or(usize::MAX);
        Self {
            detail: settings.detail,
            workloads: Cap::new(limit),
            endpoints: Cap::new(limit),
            previous: Duration::ZERO,
        }
    }

    /// The page of one report.
    ///
    /// # Errors
    /// If the encoder fails, which a string never makes it do.
    pub fn render(&mut self, report: Arc<Report>, process: Process) -> Result<String, fmt::Error> {
        let begun = Instant::now();
        let page = Page {
            workloads: (self.detail >= Detail::Workload).then(|| {
                self.workloads
                    .fold(&labels::workloads(&report.totals.workloads), |key| Some(labels::other(key)))
            }),
            endpoints: (self.detail >= Detail::Endpoint).then(|| {
                let ids = report.endpoints.iter().map(|one| (Arc::clone(&one.id), Counters::ZERO)).collect();
                self.endpoints.fold(&ids, |_| None)
            }),
            overflow: [self.endpoints.overflow(), self.workloads.overflow()],
            previous: self.previous,
            process,
            report,
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(page));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        self.previous = begun.elapsed();
        Ok(text)
    }
}

/// Everything one page is made of.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) report: Arc<Report>,
    pub(super) process: Process,
    /// Absent where `--detail` leaves them out.
    pub(super) workloads: Option<BTreeMap<WorkloadLabels, WorkloadAmounts>>,
    pub(super) endpoints: Option<BTreeMap<Arc<str>, Counters>>,
    /// Label sets without a row: endpoints, workloads.
    pub(super) overflow: [u64; 2],
    pub(super) previous: Duration,
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut rows = Rows::new(encoder);
        traffic::encode(self, &mut rows)?;
        itself::encode(self, &mut rows)
    }
}
