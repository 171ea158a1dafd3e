//! What the kernel side and the collector must agree on, written once: keys, counters, wire numbers,
//! the packet parser and the rule that says which sighting of a packet counts. No allocation, no I/O.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod counters;
pub mod drop;
pub mod endpoint;
pub mod entry;
pub mod hook;
pub mod icmp_error;
pub mod inner;
pub mod interface;
pub mod key;
pub mod maps;
pub mod owner;
pub mod packet;
pub mod parse;
pub mod pod;
pub mod progress;
pub mod segments;
pub mod skip;
pub mod tunnel;
pub mod wire;
