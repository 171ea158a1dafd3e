//! The interfaces and addresses inside another network namespace.

use std::{fs::File, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
};
use tokio::sync::oneshot;

use super::super::{
    decode,
    facts::{Address, Link},
    netlink::dump,
};

/// Longer than the dumps inside may take, so that the thread ends before we stop waiting for it.
const PATIENCE: Duration = Duration::from_secs(25);

/// What a network namespace consists of, seen from inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerFacts {
    /// Inode of the namespace: compare it with the one that was meant.
    pub inode: u64,
    /// Its interfaces. [`Link::lower`] of a veth is an index in the namespace of the other end.
    pub links: Vec<Link>,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// The number it has for the namespace of whoever looked, if it has one ([`Link::peer_namespace`]).
    pub outside: Option<i32>,
}

/// Why the inside of a namespace is not known.
#[derive(Debug)]
pub enum InnerError {
    /// The namespace or its process is gone.
    Gone,
    /// Opening needs `CAP_SYS_PTRACE`, entering `CAP_SYS_ADMIN`.
    NotPermitted,
    /// Anything else: the kernel's words.
    Failed(anyhow::Error),
}

impl std::fmt::Display for InnerError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => formatter.write_str("the network namespace is gone"),
            Self::NotPermitted => {
                formatter.write_str("looking into network namespaces needs CAP_SYS_PTRACE and CAP_SYS_ADMIN")
            }
            Self::Failed(error) => write!(formatter, "cannot look into a network namespace: {error:#}"),
        }
    }
}

impl std::error::Error for InnerError {}

impl From<Errno> for InnerError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::EPERM | Errno::EACCES => Self::NotPermitted,
            Errno::ENOENT | Errno::ESRCH => Self::Gone,
            other => Self::Failed(other.into()),
        }
    }
}

impl From<std::io::Error> for InnerError {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Self::Failed(error.into()), |raw| Errno::from_raw(raw).into())
    }
}

/// Reads a namespace by its file: `/proc/PID/ns/net`, or the one that keeps it ([`super::named`]).
///
/// # Errors
/// See [`InnerError`].
pub async fn inner_facts(namespace: &Path) -> Result<InnerFacts, InnerError> {
    within(namespace, async |inode, own| {
        let links = dump(NETLINK_ROUTE, libc::RTM_GETLINK, &[0; 16], decode::dumped_link).await;
        let addresses = dump(NETLINK_ROUTE, libc::RTM_GETADDR, &[0; 8], decode::dumped_address).await;
        Ok(InnerFacts {
            inode,
            outside: super::identifier(&own).map_err(InnerError::Failed)?,
            links: links.map_err(InnerError::Failed)?.entries,
            addresses: addresses.map_err(InnerError::Failed)?.entries,
        })
    })
    .await
}

/// Runs a reader in a namespace, given by its file. A thread of its own enters it and ends there; no other thread ever
/// leaves its namespace. The reader is given the namespace's inode and the file of ours.
///
/// # Errors
/// See [`InnerError`].
pub async fn within<T: Send + 'static>(
    namespace: &Path,
    read: impl AsyncFnOnce(u64, File) -> Result<T, InnerError> + Send + 'static,
) -> Result<T, InnerError> {
    let file = File::open(namespace)?;
    let own = File::open("/proc/thread-self/ns/net")?;
    let (answer, answered) = oneshot::channel();
    let reader = std::thread::Builder::new().name("netobs-netns".into()).spawn(move || {
        // The asker may have stopped waiting; then there is nobody to tell.
        drop(answer.send(enter(&file, own, read)));
    })?;
    match tokio::time::timeout(PATIENCE, answered).await {
        // It has answered and only ends now: after this no thread of ours is left in there.
        Ok(Ok(found)) if reader.join().is_ok() => found,
        Ok(Ok(_)) => Err(InnerError::Failed(anyhow::anyhow!("the reader failed"))),
        Ok(Err(_)) => Err(InnerError::Failed(anyhow::anyhow!("the reader ended without an answer"))),
        Err(_) => Err(InnerError::Failed(anyhow::anyhow!("no answer in time"))),
    }
}

fn enter<T>(
    file: &File,
    own: File,
    read: impl AsyncFnOnce(u64, File) -> Result<T, InnerError>,
) -> Result<T, InnerError> {
    let inode = file.metadata()?.ino();
    setns(file, CloneFlags::CLONE_NEWNET)?;
    // Sockets keep the namespace they are made in; a runtime of one thread makes them on this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(read(inode, own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart() {
        let kind = |raw| InnerError::from(std::io::Error::from_raw_os_error(raw));
        assert!(matches!(kind(libc::EACCES), InnerError::NotPermitted));
        assert!(matches!(kind(libc::EPERM), InnerError::NotPermitted));
        assert!(matches!(kind(libc::ENOENT), InnerError::Gone));
        assert!(matches!(kind(libc::EINVAL), InnerError::Failed(_)));
    }

    #[tokio::test]
    async fn a_namespace_that_is_gone_is_said_to_be_gone() {
        let found = inner_facts(Path::new("/proc/4294967295/ns/net")).await;
        assert!(matches!(found, Err(InnerError::Gone)), "{found:?}");
    }
}
