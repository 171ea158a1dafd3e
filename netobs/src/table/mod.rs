//! Documents → text tables for a terminal, a file or a pipe. Pure but for [`Look::stdout`].
//!
//! Every text is cleaned once more here: a document may come from another agent, or from a file.

pub mod columns;
pub mod endpoints;
pub mod flows;
pub mod grid;
pub mod look;
pub mod names;
pub mod plan;
pub mod text;
pub mod tone;
pub mod units;

pub use endpoints::endpoints;
pub use flows::flows;
pub use look::Look;
