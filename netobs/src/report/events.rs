//! What changed, as it is published.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Head, names::words};

words! {
    /// What an event is about.
    EventKind {
        /// A pair's verdict.
        Verdict = "verdict",
        /// The kernel began, or stopped, dropping many packets on one way.
        Drops = "drops",
        /// An interface.
        Link = "link",
        /// An address of an interface.
        Address = "address",
        /// A route.
        Route = "route",
        /// A kernel setting.
        Sysctl = "sysctl",
        /// A rule of the firewall.
        Firewall = "firewall",
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventRow {
    /// When it was noticed.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// What it is about.
    pub kind: EventKind,
    /// Whose it is: a pair, an interface, a destination, a setting.
    pub subject: Arc<str>,
    /// As it was; `null` where there was none.
    pub before: Option<Arc<str>>,
    /// As it is; `null` where there is none any more.
    pub after: Option<Arc<str>>,
    /// What else there is to say.
    pub detail: Option<Arc<str>>,
}

/// What changed lately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventsDocument {
    /// The common head.
    #[serde(flatten)]
    pub head: Head,
    /// In order of time.
    pub events: Vec<EventRow>,
    /// Events that are gone because there were too many, since the agent's start, by kind.
    pub forgotten: std::collections::BTreeMap<EventKind, u64>,
}
