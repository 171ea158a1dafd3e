//! The network namespace → the right to be its one agent, or who has it.

use std::{
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

use anyhow::Context;
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, UnixAddr, getsockopt, sockopt::PeerCredentials,
};

use crate::failure::Failure;

/// An abstract name belongs to one network namespace, and goes with the process that bound it: a lock that a
/// killed agent cannot leave behind.
const NAME: &[u8] = b"netobs/agent";

/// Held by the one agent of a network namespace for as long as it runs.
#[derive(Debug)]
pub struct Instance {
    _listener: UnixListener,
}

impl Instance {
    /// Takes the lock of the current network namespace.
    ///
    /// # Errors
    /// A [`Failure`] that names the other agent's process if there is one.
    pub fn acquire() -> anyhow::Result<Self> {
        Self::acquire_as(NAME)
    }

    fn acquire_as(name: &[u8]) -> anyhow::Result<Self> {
        let address = SocketAddr::from_abstract_name(name).context("the lock has no valid name")?;
        match UnixListener::bind_addr(&address) {
            Ok(listener) => Ok(Self { _listener: listener }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let holder = connect(name).ok().and_then(|stream| peer_pid(&stream));
                Err(Failure::access(format!(
                    "an agent already runs in this network namespace ({}); stop it first",
                    holder.map_or("its process is not visible here".to_owned(), |pid| format!("pid {pid}"))
                ))
                .into())
            }
            Err(error) => Err(error).context("the lock of this network namespace cannot be taken"),
        }
    }
}

/// Never waits: nobody accepts on the lock, so its queue may be full (`EAGAIN`).
fn connect(name: &[u8]) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let stream = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    socket::connect(stream.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
    Ok(stream)
}

/// The process that listens at the other end, if it is visible from this process's pid namespace.
#[must_use]
pub fn peer_pid(stream: &impl std::os::fd::AsFd) -> Option<i32> {
    getsockopt(stream, PeerCredentials).ok().map(|peer| peer.pid()).filter(|&pid| pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_agent_is_told_the_first_ones_pid_and_the_lock_goes_with_its_holder() {
        let name = format!("netobs/test/{}", std::process::id());
        let first = Instance::acquire_as(name.as_bytes()).unwrap();
        let error = Instance::acquire_as(name.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
        assert_eq!(crate::failure::status(&error).code(), 3);
        drop(first);
        assert!(Instance::acquire_as(name.as_bytes()).is_ok());
    }
}
