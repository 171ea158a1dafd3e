//! The agent's documents of one moment → what `top` shows.

use std::sync::Arc;

use crate::report::{EndpointsDocument, FlowsDocument, Report, StatusDocument};

/// The three documents of one report.
#[derive(Clone, Debug, PartialEq)]
pub struct TopInput {
    /// `/api/v1/flows`, unfiltered: `top` counts what it hides.
    pub flows: FlowsDocument,
    /// `/api/v1/endpoints`.
    pub endpoints: EndpointsDocument,
    /// `/api/v1/status`.
    pub status: StatusDocument,
}

impl TopInput {
    /// What an agent inside this process shows.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        Self {
            flows: report.flows_document(|_| true),
            endpoints: report.endpoints_document(),
            status: report.status_document(),
        }
    }
}

/// What a source of documents has to say; a newer one replaces an older one that was not looked at.
#[derive(Clone, Debug)]
pub enum Update {
    /// No document yet: what is being waited for.
    Waiting(Arc<str>),
    /// The newest documents.
    Documents(Arc<TopInput>),
    /// No newer documents can be had, and why; the last ones stay on the screen.
    Trouble(Arc<str>),
}
