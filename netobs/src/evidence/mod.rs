//! What packets prove about reachability. Pure.

pub mod facts;
pub mod pairs;
pub mod progress;
pub mod verdict;
