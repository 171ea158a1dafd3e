//! Network namespaces: which there are, who lives in them, what interfaces they have.
//!
//! A namespace is known by the inode of its file: unique while it lives, the same for everybody who looks.
//! The identifiers netlink uses are reused at once and differ with the one who asks.

mod identifier;
mod inside;
mod scan;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

pub use self::{
    identifier::identifier,
    inside::{InnerError, InnerFacts, inner_facts, within},
    scan::{NamedNamespace, NamespaceProcess, named, scan},
};

/// Inode of the network namespace of this process.
///
/// # Errors
/// `/proc` is not there.
pub fn own_namespace() -> io::Result<u64> {
    inode(Path::new("/proc/self/ns/net"))
}

/// Inode of the network namespace a file stands for.
///
/// # Errors
/// The file or the process is gone, or looking at it needs `CAP_SYS_PTRACE`.
pub fn inode(file: &Path) -> io::Result<u64> {
    fs::metadata(file).map(|metadata| metadata.ino())
}

/// The file of a process's network namespace.
#[must_use]
pub fn file_of(pid: u32) -> PathBuf {
    super::proc::path(pid, "ns/net")
}
