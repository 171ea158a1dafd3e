//! Judging who is behind an interface, an address or a socket: facts in, endpoints out. No I/O.

pub mod cgroup;
pub mod claim;
pub mod elsewhere;
pub mod endpoint;
pub mod observed;
pub mod registry;
pub mod services;
pub mod sockets;
pub mod text;
