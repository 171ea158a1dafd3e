//! Bookings → the counters of the metrics. A counter only grows, and nothing is ever moved.

use std::{collections::BTreeMap, sync::Arc};

use netobs_common::{
    counters::Counters,
    endpoint::{EndpointId, Kind},
};

use super::{class, reporter};
use crate::{
    flow::{
        conversation::Conversation,
        interfaces::Interfaces,
        table::{Booking, Directory},
    },
    report::{Close, Direction, HopDirection, KindName, PathFlowLabels, PathLabels, Totals, WorkloadLabels},
};

/// The name a workload goes by in the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadName {
    /// Namespace, empty where there is none.
    pub namespace: Arc<str>,
    /// Workload, else the endpoint's name; `host`, `external`.
    pub workload: Arc<str>,
}

/// Names workloads.
pub trait Workloads {
    /// The workload of an endpoint.
    fn workload(&self, endpoint: EndpointId) -> WorkloadName;
}

/// The counters.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Everything booked.
    pub totals: Totals,
}

impl Ledger {
    /// Books bytes of a conversation.
    pub fn book<D: Directory + Workloads>(
        &mut self,
        conversation: &Conversation,
        booking: Booking,
        interfaces: &Interfaces,
        directory: &D,
    ) {
        let flow = flow_labels(conversation, interfaces, directory);
        let (forward, reply) = locality(conversation, directory);
        let (direction, reporter) = match booking.direction {
            HopDirection::Forward => (Direction::Forward, reporter::of(forward, reply)),
            HopDirection::Reply => (Direction::Reply, reporter::of(reply, forward)),
        };
        let labels = PathLabels {
            source_kind: flow.source_kind,
            destination_kind: flow.destination_kind,
            path: flow.path,
            nat: conversation.nat(),
            protocol: flow.protocol,
            direction,
            reporter,
        };
        self.add(labels, [conversation.source, conversation.destination], booking.counters, directory);
    }

    /// Books packets without flow detail.
    pub fn book_overflow<W: Workloads>(
        &mut self,
        labels: PathLabels,
        parties: [EndpointId; 2],
        counters: Counters,
        workloads: &W,
    ) {
        self.totals.overflow_packets += counters.packets;
        self.add(labels, parties, counters, workloads);
    }

    fn add<W: Workloads>(
        &mut self,
        labels: PathLabels,
        [source, destination]: [EndpointId; 2],
        counters: Counters,
        workloads: &W,
    ) {
        self.totals.paths.entry(labels).or_default().add(counters);
        if labels.source_kind == KindName::Unknown
            || (labels.destination_kind == KindName::Unknown && destination != EndpointId::GROUP)
        {
            self.totals.unattributed_bytes += counters.bytes;
        }
        let (from, to) = (workloads.workload(source), workloads.workload(destination));
        let workload = WorkloadLabels {
            source_kind: labels.source_kind,
            source_namespace: from.namespace,
            source_workload: from.workload,
            destination_kind: labels.destination_kind,
            destination_namespace: to.namespace,
            destination_workload: to.workload,
            reporter: labels.reporter,
        };
        self.totals.workloads.entry(workload).or_default().add(counters);
    }

    /// A conversation is settled: its beginning counts.
    pub fn opened(&mut self, labels: PathFlowLabels) {
        *self.totals.opened.entry(labels).or_default() += 1;
    }

    /// A conversation is over.
    pub fn closed(&mut self, labels: PathFlowLabels, close: Close) {
        *self.totals.closed.entry((labels, close)).or_default() += 1;
    }

    /// Sets the gauge of flows alive.
    pub fn flows(&mut self, flows: BTreeMap<PathFlowLabels, u64>) {
        // A combination that had flows stays, at zero: a series that vanishes is not a zero to a query.
        for count in self.totals.flows.values_mut() {
            *count = 0;
        }
        self.totals.flows.extend(flows);
    }
}

/// The labels of a conversation as a flow.
#[must_use]
pub fn flow_labels<D: Directory>(
    conversation: &Conversation,
    interfaces: &Interfaces,
    directory: &D,
) -> PathFlowLabels {
    PathFlowLabels {
        source_kind: directory.kind(conversation.source).into(),
        destination_kind: directory.kind(conversation.destination).into(),
        path: class::of(conversation, interfaces, directory),
        protocol: conversation.protocol().into(),
    }
}

/// Whether source and destination are on this host.
#[must_use]
pub fn locality(conversation: &Conversation, directory: &impl Directory) -> (bool, bool) {
    let local = |endpoint: EndpointId| {
        let kind: Kind = directory.kind(endpoint);
        reporter::is_local(endpoint, kind)
    };
    (local(conversation.source), local(conversation.destination))
}
