//! Programs on the cgroup root that record who opens, connects and binds a socket, and always allow it.

use std::{fs::File, path::Path};

use super::{Kernel, load::refused};
use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSock, CgroupSockAddr, Program},
};
use netobs_common::{
    owner::{BoundPort, SocketOwner},
    pod,
};

/// A link (5.7) always stands beside others' programs and takes no flag that says so
/// (`cgroup_bpf_link_attach`, Linux 6.18: EINVAL).
const BESIDE_OTHERS: CgroupAttachMode = CgroupAttachMode::Single;

/// Attaches every program it can: one that an older kernel refuses takes nothing from the others.
fn attach(ebpf: &mut Ebpf, cgroup_root: &Path) -> Result<()> {
    let root = File::open(cgroup_root)
        .with_context(|| format!("opening the cgroup root {}", cgroup_root.display()))?;
    let sockets = ["netobs_create", "netobs_bind4", "netobs_bind6"].map(|name| socket(ebpf, name, &root));
    let connects = ["netobs_connect4", "netobs_connect6"].map(|name| connect(ebpf, name, &root));
    sockets.into_iter().chain(connects).collect()
}

fn socket(ebpf: &mut Ebpf, name: &str, root: &File) -> Result<()> {
    let program: &mut CgroupSock = program(ebpf, name)?.try_into()?;
    program.load().map_err(|error| refused(name, &error))?;
    program.attach(root, BESIDE_OTHERS).with_context(|| format!("attaching {name} to the cgroup root"))?;
    Ok(())
}

fn connect(ebpf: &mut Ebpf, name: &str, root: &File) -> Result<()> {
    let program: &mut CgroupSockAddr = program(ebpf, name)?.try_into()?;
    program.load().map_err(|error| refused(name, &error))?;
    program.attach(root, BESIDE_OTHERS).with_context(|| format!("attaching {name} to the cgroup root"))?;
    Ok(())
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    ebpf.program_mut(name).with_context(|| format!("the kernel side has no program {name}"))
}

impl Kernel {
    /// Puts the programs that record socket owners on the root of the cgroup hierarchy.
    ///
    /// # Errors
    /// The first program that the kernel or the hierarchy has no place for; what it would have recorded stays
    /// unknown, and flows are shown without it.
    pub fn record_owners(&mut self, cgroup_root: &Path) -> Result<()> {
        attach(&mut self.ebpf, cgroup_root)
    }

    /// Who opened the socket of that cookie, if it was opened while the agent ran.
    #[must_use]
    pub fn owner(&self, cookie: u64) -> Option<SocketOwner> {
        self.owners.get(&cookie, 0).ok().and_then(|bytes| pod::read(&bytes))
    }

    /// Who bound that port last, if it was bound while the agent ran.
    #[must_use]
    pub fn port_owner(&self, port: &BoundPort) -> Option<SocketOwner> {
        let key = pod::bytes(port).try_into().ok()?;
        self.ports.get(&key, 0).ok().and_then(|bytes| pod::read(&bytes))
    }
}
