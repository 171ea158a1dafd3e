//! What `netobs doctor` says, as it is published.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{Head, SCHEMA};

/// `netobs doctor -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoctorDocument {
    /// The common head; no rates, so the interval is zero.
    #[serde(flatten)]
    pub head: Head,
    /// One for each thing netobs needs or can use, the indispensable ones first.
    pub checks: Vec<Check>,
}

impl DoctorDocument {
    /// Checks with their head.
    #[must_use]
    pub fn new(node: &str, time: Timestamp, checks: Vec<Check>) -> Self {
        let head = Head { schema: SCHEMA.into(), time, node: node.into(), interval_seconds: 0.0 };
        Self { head, checks }
    }

    /// Whether something is missing: then the exit status is 1.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.checks.iter().any(|one| one.status == CheckStatus::Missing)
    }
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at: `kernel`, `btf`, `cap_bpf`, `docker` …
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// What was found.
    pub found: String,
    /// What netobs needs it for.
    pub needed_for: String,
    /// What to do, unless it is ok.
    pub fix: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// It is not there, and what needs it does not work.
    Missing,
    /// It is not there, and something else stands in, or less is told.
    Degraded,
}

impl CheckStatus {
    /// The word in JSON and in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Degraded => "degraded",
        }
    }
}
