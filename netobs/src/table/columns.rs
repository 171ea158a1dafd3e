//! The eight columns of `netobs top`: their names, what each says about a flow, and how that is to be read. Pure.

use std::borrow::Cow;

use super::{text::cells, tone::Tone, units};
use crate::report::{FlowRow, ProtocolName};

/// A column of `netobs top`, in the order shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The initiator.
    Source,
    /// The other side.
    Destination,
    /// Transport protocol.
    Proto,
    /// How it travels.
    Path,
    /// Bits per second from the source.
    Tx,
    /// Bits per second to the source.
    Rx,
    /// Segments sent again.
    Retx,
    /// What can be said about reachability.
    Verdict,
}

impl Column {
    /// In the order shown.
    pub const ALL: [Self; 8] = [
        Self::Source,
        Self::Destination,
        Self::Proto,
        Self::Path,
        Self::Tx,
        Self::Rx,
        Self::Retx,
        Self::Verdict,
    ];

    /// What stands above it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Source => "SOURCE",
            Self::Destination => "DESTINATION",
            Self::Proto => "PROTO",
            Self::Path => "PATH",
            Self::Tx => "TX/s",
            Self::Rx => "RX/s",
            Self::Retx => "RETX",
            Self::Verdict => "VERDICT",
        }
    }

    /// Whether it holds numbers.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Tx | Self::Rx | Self::Retx)
    }

    /// Whether it holds names of endpoints, which can be shortened.
    #[must_use]
    pub const fn is_name(self) -> bool {
        matches!(self, Self::Source | Self::Destination)
    }

    /// Cells its words need, given the flows; rates have a fixed width, since they change every second.
    pub(super) fn room<'a>(self, flows: impl Iterator<Item = &'a FlowRow>) -> usize {
        if matches!(self, Self::Tx | Self::Rx) {
            return 5;
        }
        let widest = flows.map(|flow| cells(&word(self, flow))).max().unwrap_or(0);
        widest.max(self.title().len())
    }
}

/// What a column says about a flow, names apart.
pub(super) fn word(column: Column, flow: &FlowRow) -> Cow<'static, str> {
    match column {
        Column::Source | Column::Destination => "".into(),
        Column::Proto => flow.protocol.name().into(),
        Column::Path => flow.path.name().into(),
        Column::Tx => units::short(flow.forward.bits_per_second).into(),
        Column::Rx => units::short(flow.reply.bits_per_second).into(),
        // Nothing can be known of protocols that do not send again by themselves.
        Column::Retx => flow
            .tcp
            .as_ref()
            .and_then(|tcp| tcp.retransmits)
            .map_or("-".into(), |count| units::count(count).into()),
        Column::Verdict => flow.verdict.name().into(),
    }
}

/// How a column of a flow is to be read.
pub(super) fn tone(column: Column, flow: &FlowRow) -> Tone {
    match column {
        Column::Verdict => Tone::of(flow.verdict),
        Column::Retx if flow.tcp.as_ref().is_some_and(|tcp| tcp.retransmits.unwrap_or(0) > 0) => Tone::Warn,
        Column::Proto if flow.protocol == ProtocolName::Other => Tone::Faint,
        _ => Tone::Plain,
    }
}
