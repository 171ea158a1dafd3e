//! Reports → HTTP on loopback, on the metrics port and on the local socket. Reads reports and, for an explanation, what is configured; nothing else.

mod cache;
mod condition;
mod documents;
mod explain;
mod filter;
mod follow;
mod listen;
#[cfg(test)]
pub(crate) mod made_up;
mod pair_filter;
mod probe;
mod pulse;
mod routes;
mod selected;
mod server;
mod socket;
mod stall;
mod state;
#[cfg(test)]
mod tests;

pub use condition::{Condition, Conditions};
pub use explain::{Configuration, ExplainQuery, ReadConfiguration};
pub use filter::{AddressFilter, FlowFilter};
pub use listen::Listeners;
pub use pair_filter::PairFilter;
pub use probe::{AskedProbe, ProbeKind, ProbeQuery, SendProbe};
pub use pulse::{Pulse, State};
pub use socket::{Occupant, occupant, remove_stale};
pub use state::{AskedReaders, Faces};
