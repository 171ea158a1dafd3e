//! Netlink sockets: requests out, raw messages in, losses seen. What the bytes mean is decided elsewhere.
//!
//! The family's ready-made connection (`netlink-proto`) queues without bound, drops a message it cannot
//! decode with no more than a log line and does not tell an interrupted dump from a complete one. An observer
//! has to count all three, so the sockets are driven here and only the decoding is left to those crates.

mod dump;
mod message;
mod socket;

pub use self::{
    dump::{Dumped, Limits, PATIENCE, dump, dump_within},
    message::{Message, messages, request},
    socket::{Datagram, NetlinkSocket},
};
