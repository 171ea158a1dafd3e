//! Where this kernel keeps the namespaces of processes and devices, for the programs that record socket owners and
//! for those inside endpoints.

use netobs_common::{inner::DeviceLayout, owner::TaskLayout};

use super::btf::Btf;

/// The layout by the kernel's description of itself; all zero where it has none or lacks a member, and owners
/// are then known by process number alone.
pub(super) fn task(own_network: u32) -> TaskLayout {
    let described = std::fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    let found = Btf::parse(&described).and_then(|btf| judge(&btf, own_network));
    if found.is_none() {
        tracing::warn!(
            "this kernel does not say where it keeps a process's namespaces: connections of containers on the host's network are shown as the host's"
        );
    }
    found.unwrap_or_default()
}

/// Where a packet's device says its namespace; `None` where the kernel does not describe itself.
pub(super) fn device() -> Option<DeviceLayout> {
    let described = std::fs::read("/sys/kernel/btf/vmlinux").ok()?;
    let btf = Btf::parse(&described)?;
    Some(DeviceLayout {
        device: btf.offset("sk_buff", &["dev"])?,
        network: btf.offset("net_device", &["nd_net", "net"])?,
        inode: btf.offset("net", &["ns", "inum"])?,
    })
}

fn judge(btf: &Btf<'_>, own_network: u32) -> Option<TaskLayout> {
    Some(TaskLayout {
        nsproxy: btf.offset("task_struct", &["nsproxy"])?,
        mount: btf.offset("nsproxy", &["mnt_ns"])?,
        network: btf.offset("nsproxy", &["net_ns"])?,
        mount_inode: btf.offset("mnt_namespace", &["ns", "inum"])?,
        network_inode: btf.offset("net", &["ns", "inum"])?,
        own_network,
    })
}
