//! Virtual machines: the processes that hold taps, what their command lines say, and what libvirt wrote down.
//! Names, addresses and hardware addresses as plain data; nothing is judged here.

pub mod command_line;
mod file;
pub mod leases;
pub mod libvirt;
pub mod read;
pub mod watch;
