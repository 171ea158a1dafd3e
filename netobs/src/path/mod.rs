//! The way of a conversation: which class it is, in what order its hops come, which of them counts. Pure.

pub mod class;
pub mod counting;
pub mod entry;
pub mod ledger;
pub mod loss;
pub mod order;
pub mod overflow;
pub mod reporter;
pub mod spill;
pub mod translated;
pub mod via;
