//! Connections and their address translation as the kernel tracks them: dump and live events.

mod barrier;
mod connection;
mod decode;
mod table;
mod watch;

pub use self::{
    barrier::Barrier,
    connection::{Connection, ConnectionKey, Count, Icmp, Status, Tuple},
    decode::{Decoded, Malformed, decode},
    table::{ConntrackEvent, Table},
    watch::{dump, watch},
};
