//! netobs: who talks to whom on this host, by which way, how much, and why A does not reach B.
//!
//! Modules in the order data flows; imports point to the pure middle (`ARCHITECTURE.md`):
//! the world is read in `kernel` and `host`, judged in `flow`, `identity` and `path`,
//! published as one `report` a tick, and shown by `export`, `api`, `map`, `matrix` and `top`.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent;
pub mod api;
pub mod cli;
pub mod client;
pub mod collector;
pub mod daemon;
pub mod doctor;
pub mod evidence;
pub mod explain;
pub mod export;
pub mod failure;
pub mod flow;
pub mod host;
pub mod identity;
pub mod instance;
pub mod journal;
pub mod kernel;
pub mod map;
pub mod matrix;
pub mod path;
pub mod publication;
pub mod report;
pub mod runtime;
pub mod settings;
pub mod shutdown;
pub mod table;
pub mod top;
