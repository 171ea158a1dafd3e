//! What became of a probe, as it is published.

use std::{net::IpAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{ProtocolName, words};

words! {
    /// How a probe ended.
    ProbeOutcome {
        /// The connection was opened, or the echo or the datagram was answered.
        Answered = "answered",
        /// RST, or ICMP port unreachable.
        Refused = "refused",
        /// The stack it was sent from says that there is no way, or was told so by an ICMP error.
        Unreachable = "unreachable",
        /// Nothing came back in time. Of a datagram that says nothing.
        Silence = "silence",
        /// It could not be sent.
        Failed = "failed",
    }
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeRow {
    /// By which protocol.
    pub protocol: ProtocolName,
    /// To which address.
    pub address: IpAddr,
    /// To which port; `null` for an echo.
    pub port: Option<u16>,
    /// From which port; of an echo its identifier. `null` where it did not come to that.
    pub from_port: Option<u16>,
    /// How it ended.
    pub outcome: ProbeOutcome,
    /// How long it took, seconds.
    pub seconds: f64,
    /// The kernel's words, where it failed.
    pub error: Option<Arc<str>>,
}
