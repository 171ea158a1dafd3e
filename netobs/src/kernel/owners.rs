//! Programs on the cgroup root that record who connects a socket, and always allow it.

use std::{fs::File, path::Path};

use super::load::refused;
use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSockAddr},
};

pub(super) fn attach(ebpf: &mut Ebpf, cgroup_root: &Path) -> Result<()> {
    let root = File::open(cgroup_root)
        .with_context(|| format!("opening the cgroup root {}", cgroup_root.display()))?;
    for name in ["netobs_connect4", "netobs_connect6"] {
        let program: &mut CgroupSockAddr = ebpf
            .program_mut(name)
            .with_context(|| format!("the kernel side has no program {name}"))?
            .try_into()?;
        program.load().map_err(|error| refused(name, &error))?;
        // A link (5.7) always stands beside others' programs and takes no flag that says so
        // (`cgroup_bpf_link_attach`, Linux 6.18: EINVAL).
        program
            .attach(&root, CgroupAttachMode::Single)
            .with_context(|| format!("attaching {name} to {}", cgroup_root.display()))?;
    }
    Ok(())
}
