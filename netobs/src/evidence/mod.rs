//! What packets prove about reachability. Pure.

pub mod changes;
pub mod drops;
pub mod facts;
pub mod icmp;
pub mod neighbours;
pub mod pairs;
pub mod progress;
pub mod reasons;
pub mod verdict;
