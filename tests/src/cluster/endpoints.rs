//! Whoever is on a node: a namespace with a process in a cgroup such as a kubelet or Docker would make, so that it is
//! known for what it is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::addresses::Both;
use crate::{
    netns::{self, Netns, Stack},
    process::Background,
};

/// What an endpoint is to be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pod,
    Container,
}

/// An endpoint; fields go in this order: process before cgroup before namespace.
#[derive(Debug)]
pub(super) struct Endpoint {
    _process: Background,
    _cgroup: Cgroup,
    namespace: Netns,
    pub(super) addresses: Both,
}

impl Endpoint {
    pub(super) fn stack(&self) -> Stack {
        self.namespace.stack()
    }
}

/// A pod's UID by its name of one letter.
pub(super) fn uid(name: &str) -> String {
    let letter = name.bytes().next().unwrap_or_default();
    format!("7ab0{letter:04x}-0000-4000-8000-{letter:012x}")
}

/// A container's id: what it is listed by is the first twelve digits.
#[must_use]
pub fn container_id(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0<64}")
}

/// A namespace for an endpoint of this name.
pub(super) fn namespace(name: &str) -> Result<Netns> {
    let made = Netns::named(&netns::unique(name))?;
    made.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
    made.sysctl("net/ipv6/conf/default/router_solicitations", "0")?;
    Ok(made)
}

/// Somebody lives in it from now on.
pub(super) fn inhabit(
    namespace: Netns,
    (name, kind): (&str, Kind),
    addresses: Both,
    directory: &Path,
) -> Result<Endpoint> {
    let log = directory.join(format!("{name}.log"));
    let process = Background::start(&mut namespace.stack().command("sleep", ["100000"]), &log)?;
    let cgroup = Cgroup::new(&match kind {
        Kind::Pod => Path::new("kubepods").join(format!("pod{}", uid(name))),
        Kind::Container => Path::new("docker").join(container_id(name)),
    })?;
    fs::write(cgroup.0.join("cgroup.procs"), process.id().to_string()).context("entering a cgroup")?;
    Ok(Endpoint { _process: process, _cgroup: cgroup, namespace, addresses })
}

/// Removed when dropped, with the one above it if nobody else is there.
#[derive(Debug)]
struct Cgroup(PathBuf);

impl Cgroup {
    /// In the hierarchy that nobody's limits depend on, where there are several.
    fn new(path: &Path) -> Result<Self> {
        let root = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].map(Path::new);
        let root = root.into_iter().find(|root| root.is_dir()).context("no cgroups")?;
        let made = root.join(path);
        fs::create_dir_all(&made).with_context(|| format!("creating {}", made.display()))?;
        Ok(Self(made))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in self.0.ancestors().take(2) {
            fs::remove_dir(directory).ok();
        }
    }
}
