//! What the kernel dropped: who is to be listened to, what is taken out of its tables, and the kernel's functions.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Result;
use netobs_common::endpoint::EndpointId;

use super::{conntrack::Tracker, observer::Observer};
use crate::{
    collector::{Collector, Names},
    evidence::reasons::{self, Reasons},
    failure,
    host::kallsyms,
    kernel::{Drain, Kernel},
};

/// Whether drops are seen, and what was asked of the kernel about them.
pub(super) struct Watch {
    /// Why they are not.
    pub(super) seen: Result<(), Arc<str>>,
    /// Addresses whose functions were asked for.
    asked: BTreeSet<u64>,
}

impl Watch {
    /// Begins to count drops.
    pub(super) fn start(kernel: &mut Kernel, collector: &mut Collector, own_namespace: u64) -> Self {
        let places = kallsyms::places(&reasons::TAKERS).unwrap_or_else(|error| {
            tracing::debug!(%error, "functions of the kernel stay unknown");
            Vec::new()
        });
        let seen = kernel
            .watch_drops(reasons::is_benign, reasons::is_benign_in_takers, &places)
            .map_err(|error| failure::one_line(&error).into());
        if let Err(why) = &seen {
            tracing::warn!(%why, "packets that the kernel drops are not seen");
        }
        collector.drops.reasons = Reasons::of(kernel.drop_reasons());
        collector.drops.own = u32::try_from(own_namespace).unwrap_or(0);
        Self { seen, asked: BTreeSet::new() }
    }

    /// Asks in which functions packets were dropped, where that is not known yet.
    pub(super) async fn ask(&mut self, collector: &mut Collector) {
        let symbols = &mut collector.drops.rows.symbols;
        let new: Vec<u64> = symbols.keys().filter(|address| !self.asked.contains(address)).copied().collect();
        if new.is_empty() {
            return;
        }
        self.asked.extend(&new);
        match tokio::task::spawn_blocking(move || kallsyms::functions(&new)).await {
            Ok(Ok(found)) => symbols.extend(found.into_iter().map(|(address, name)| (address, Some(name)))),
            Ok(Err(error)) => tracing::debug!(%error, "functions of the kernel stay unknown"),
            Err(error) => tracing::debug!(%error, "functions of the kernel stay unknown"),
        }
    }
}

impl Observer {
    /// Tells the kernel side whose drops are ours: the host's own and those of endpoints that have a stack here. The
    /// tracepoint tells of the whole machine.
    pub(super) fn watch_namespaces(&mut self) {
        let endpoints = self.registry.endpoints();
        let stacks: std::collections::HashMap<u32, EndpointId> = endpoints
            .iter()
            .filter(|one| !one.number.is_elsewhere())
            .filter_map(|one| Some((u32::try_from(one.netns?).ok()?, one.number)))
            .collect();
        let own = self.collector.drops.own;
        let unwritten = self.kernel.set_drop_namespaces(stacks.keys().copied().chain([own]));
        if unwritten > 0 {
            tracing::debug!(unwritten, "namespaces whose drops are not seen");
        }
        self.collector.drops.stacks = stacks;
    }
}

/// Takes what has not moved for a while out of the kernel's tables, booked to the last packet.
pub(super) fn make_room(
    collector: &mut Collector,
    kernel: &mut Kernel,
    drain: &Drain,
    names: &Names<'_>,
    tracker: &Tracker,
    now: u64,
) -> Result<()> {
    let crowded = drain.fill.iter().any(|fill| fill.table == "drops" && fill.entries * 4 > fill.capacity * 3);
    for key in collector.drops.idle(now, crowded) {
        let last = kernel.take_drop(&key)?;
        collector.drop_taken(&key, last, names, tracker.translations());
    }
    for key in collector.drops.idle_rest(now) {
        let last = kernel.take_drop_rest(&key)?;
        collector.drop_rest_taken(&key, last, names, tracker.translations());
    }
    Ok(())
}
