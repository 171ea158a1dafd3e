//! Documents → text tables for a terminal, a file or a pipe. Pure but for [`Look::stdout`].
//!
//! Every text is cleaned once more here: a document may come from another agent, or from a file.

pub mod columns;
pub mod drops;
pub mod endpoints;
pub mod events;
pub mod explain;
pub mod flows;
pub mod grid;
pub mod hops;
pub mod look;
pub mod markdown;
pub mod matrix;
pub mod names;
pub mod plan;
pub mod text;
pub mod ticket;
pub mod tone;
pub mod units;
pub mod ways;

pub use drops::drops;
pub use endpoints::endpoints;
pub use events::events;
pub use explain::explain;
pub use flows::flows;
pub use look::Look;
pub use markdown::matrix_markdown;
pub use matrix::matrix;
pub use ticket::ticket;
pub use ways::{flow_and_hops, flows_and_hops};
