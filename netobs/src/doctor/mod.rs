//! Settings → what this host allows, what is missing, and what to do about it.

mod document;
mod judge;
mod read;

pub use document::{Check, CheckStatus, DoctorDocument};
pub use judge::{checks, lacking, may_observe};
pub use read::{Answer, Findings, read};
