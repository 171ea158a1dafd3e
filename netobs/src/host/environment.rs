//! What this kernel and these privileges allow, as data: `netobs doctor` judges it.

mod capabilities;
mod kernel;
mod mounts;

use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};

pub use self::{
    capabilities::Capabilities,
    kernel::{KernelVersion, possible_cpus},
    mounts::Mounts,
};
use super::sysctl;

/// Everything read at once; nothing of it is an error, what is absent is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `uname -r`.
    pub kernel_release: String,
    /// The release as numbers, if it starts with such.
    pub kernel_version: Option<KernelVersion>,
    /// Whether the kernel describes its own types (`/sys/kernel/btf/vmlinux`).
    pub btf: bool,
    /// Where file systems of interest are mounted.
    pub mounts: Mounts,
    /// Effective capabilities of this process.
    pub capabilities: Capabilities,
    /// Effective user.
    pub uid: u32,
    /// Memory that may be locked, in bytes; `None` for no limit. Kernels before 5.11 charge maps to it.
    pub memlock: Option<u64>,
    /// Processors that may ever be present: the number of values of a per-CPU map.
    pub possible_cpus: Option<u32>,
    /// Kernel settings.
    pub settings: Settings,
}

/// Kernel settings of the calling thread's network namespace; `None` where the kernel has no such setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `net.netfilter.nf_conntrack_max`.
    pub conntrack_max: Option<u64>,
    /// `net.netfilter.nf_conntrack_count`.
    pub conntrack_count: Option<u64>,
    /// `net.netfilter.nf_conntrack_acct`: connections are counted.
    pub conntrack_acct: Option<bool>,
    /// `net.netfilter.nf_conntrack_events`: changes of connections are announced.
    pub conntrack_events: Option<bool>,
    /// `net.ipv4.ip_forward`.
    pub ip_forward: Option<bool>,
    /// `net.ipv6.conf.all.forwarding`.
    pub ipv6_forwarding: Option<bool>,
    /// `net.bridge.bridge-nf-call-iptables`: bridged packets pass the firewall.
    pub bridge_nf_call_iptables: Option<bool>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u64>,
}

/// Reads the environment. Blocking, some twenty small files.
#[must_use]
pub fn read() -> Environment {
    let kernel_release = sysctl::read("kernel.osrelease").unwrap_or_default();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mount_table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    Environment {
        kernel_version: KernelVersion::parse(&kernel_release),
        kernel_release,
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        mounts: Mounts::parse(&mount_table),
        capabilities: Capabilities::parse(&status).unwrap_or_default(),
        uid: nix::unistd::geteuid().as_raw(),
        memlock: memlock(),
        possible_cpus: read_possible_cpus(),
        settings: settings(),
    }
}

/// Reads the settings alone: the conntrack count changes all the time.
#[must_use]
pub fn settings() -> Settings {
    let switch = |name| sysctl::read_u64(name).map(|value| value != 0);
    Settings {
        conntrack_max: sysctl::read_u64("net.netfilter.nf_conntrack_max"),
        conntrack_count: sysctl::read_u64("net.netfilter.nf_conntrack_count"),
        conntrack_acct: switch("net.netfilter.nf_conntrack_acct"),
        conntrack_events: switch("net.netfilter.nf_conntrack_events"),
        ip_forward: switch("net.ipv4.ip_forward"),
        ipv6_forwarding: switch("net.ipv6.conf.all.forwarding"),
        bridge_nf_call_iptables: switch("net.bridge.bridge-nf-call-iptables"),
        unprivileged_bpf_disabled: sysctl::read_u64("kernel.unprivileged_bpf_disabled"),
    }
}

/// The root of the version 2 hierarchy, beside or instead of version 1.
#[must_use]
pub fn cgroup2() -> Option<PathBuf> {
    Mounts::parse(&std::fs::read_to_string("/proc/self/mounts").ok()?).cgroup2
}

fn read_possible_cpus() -> Option<u32> {
    possible_cpus(&std::fs::read_to_string("/sys/devices/system/cpu/possible").ok()?)
}

fn memlock() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK).ok()?;
    (soft != nix::sys::resource::RLIM_INFINITY).then_some(soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let environment = read();
        assert!(environment.kernel_version.is_some(), "{}", environment.kernel_release);
        assert!(environment.possible_cpus.is_some_and(|cpus| cpus > 0));
        assert_eq!(environment.settings.ip_forward, settings().ip_forward);
    }
}
