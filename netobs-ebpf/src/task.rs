//! The calling process → its namespaces, by the layout the collector read from the kernel's BTF.

use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_task, bpf_probe_read_kernel},
};
use netobs_common::owner::TaskLayout;

/// All zero where the kernel does not describe itself; then nothing is known of the process but its number.
#[unsafe(no_mangle)]
static TASK_LAYOUT: Global<TaskLayout> = Global::new(TaskLayout {
    nsproxy: 0,
    mount: 0,
    network: 0,
    mount_inode: 0,
    network_inode: 0,
    own_network: 0,
});

/// Namespaces of a process, by inode.
pub(crate) struct Namespaces {
    pub(crate) mount: u32,
    /// Whether its network namespace is the agent's.
    pub(crate) on_own_network: bool,
}

/// Of the process that makes this system call; `None` where it cannot be told.
#[inline(always)]
pub(crate) fn namespaces() -> Option<Namespaces> {
    let layout = TASK_LAYOUT.load();
    if layout.nsproxy == 0 {
        return None;
    }
    // SAFETY: the helper has no arguments and no effect.
    let task = unsafe { bpf_get_current_task() };
    let nsproxy = read::<u64>(task, layout.nsproxy)?;
    let mount = read::<u32>(read::<u64>(nsproxy, layout.mount)?, layout.mount_inode)?;
    let network = read::<u32>(read::<u64>(nsproxy, layout.network)?, layout.network_inode)?;
    Some(Namespaces { mount, on_own_network: network == layout.own_network })
}

#[inline(always)]
fn read<T>(structure: u64, offset: u32) -> Option<T> {
    let field = structure.wrapping_add(u64::from(offset)) as *const T;
    // SAFETY: the helper checks the address; one that cannot be read is an error, not a fault.
    unsafe { bpf_probe_read_kernel(field) }.ok()
}
