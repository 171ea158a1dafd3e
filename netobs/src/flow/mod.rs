//! Sightings of packets at hooks → conversations, each once, with both directions. Pure: no I/O, and time
//! is an argument.

pub mod conversation;
pub mod errors;
pub mod interfaces;
pub mod lifetime;
pub mod neighbours;
pub mod progress;
pub mod translation;
pub mod tuple;
mod zones;

mod key;
mod orientation;
mod owners;
mod parties;
mod store;
pub mod table;

#[cfg(test)]
pub(crate) mod made_up;
