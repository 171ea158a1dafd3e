//! What a tier needs of the machine: all there → run; something missing → one SKIPPED line, or a failure
//! where `NETOBS_REQUIRE` demands the tier.

use std::{env, io::Write, path::Path};

/// A group of cases with the same needs.
#[derive(Clone, Copy, Debug)]
pub struct Tier {
    /// Its name, as `NETOBS_REQUIRE` takes it.
    pub name: &'static str,
    /// Programs that must be installed.
    pub programs: &'static [&'static str],
    /// What else is missing, in words.
    pub also: fn() -> Option<String>,
}

/// Namespaces and packets.
pub const TRAFFIC: Tier = Tier {
    name: "traffic",
    programs: &["ip", "tc", "nsenter", "iptables", "nft", "iperf3", "ping", "bpftool"],
    also: nothing,
};
/// A real dockerd.
pub const DOCKER: Tier = Tier {
    name: "docker",
    programs: &[
        "ip",
        "nsenter",
        "iptables",
        "iperf3",
        "ping",
        "docker",
        "dockerd",
        "containerd",
        "docker-proxy",
        "busybox",
    ],
    also: nothing,
};
/// Pods of a real containerd.
pub const PODS: Tier = Tier {
    name: "pods",
    programs: &["ip", "nsenter", "iptables", "containerd", "ctr", "runc", "busybox", "/usr/lib/cni/bridge"],
    also: nothing,
};
/// Virtual machines, by hand and by libvirt.
pub const MACHINES: Tier = Tier {
    name: "machines",
    programs: &["ip", "nsenter", "iptables", "busybox", "qemu-system-x86_64", "libvirtd", "virsh", "unshare"],
    also: no_kernel,
};
/// Virtual machines with a newer kernel.
pub const NEWER_MACHINES: Tier = Tier {
    name: "newer machines",
    programs: &["ip", "busybox", "qemu-system-x86_64", "wg"],
    also: no_newer_kernel,
};
/// Two nodes that translate by either kind of rules.
pub const CLUSTER: Tier = Tier {
    name: "cluster",
    programs: &[
        "ip",
        "bridge",
        "nsenter",
        "iptables-restore",
        "ip6tables-restore",
        "nft",
        "conntrack",
        "ping",
    ],
    also: nothing,
};
/// A real Prometheus.
pub const PROMETHEUS: Tier =
    Tier { name: "prometheus", programs: &["prometheus", "promtool", "ip", "nsenter"], also: nothing };
/// The parsers of the pictures of `netobs map`: Graphviz, and Mermaid under Node.
pub const PICTURES: Tier =
    Tier { name: "pictures", programs: &["dot", "node", "ip", "nsenter"], also: no_mermaid };
/// A real terminal.
pub const TERMINAL: Tier =
    Tier { name: "terminal", programs: &["tmux", "ip", "nsenter", "iperf3"], also: nothing };

/// Nothing else is needed.
#[must_use]
pub const fn nothing() -> Option<String> {
    None
}

fn no_kernel() -> Option<String> {
    (!crate::machine_image::is_fetched()).then(|| "no kernel for machines was fetched".into())
}

fn no_newer_kernel() -> Option<String> {
    (!crate::machine_image::newer_is_fetched()).then(|| "no kernel of the backports was fetched".into())
}

fn no_mermaid() -> Option<String> {
    let found = crate::pictures::mermaid();
    found.is_none().then(|| "Mermaid was not fetched: run `cargo xtask setup --test`".into())
}

/// Whether the tiers can run here. Says SKIPPED and why where not.
///
/// # Panics
/// When a tier cannot run and `NETOBS_REQUIRE` is `all` or lists its name.
#[must_use]
pub fn met(tiers: &[Tier]) -> bool {
    let required = env::var("NETOBS_REQUIRE").unwrap_or_default();
    let root = nix::unistd::geteuid().is_root();
    for tier in tiers {
        let Some(reason) = missing(*tier, root, &installed) else { continue };
        assert!(!demanded(&required, tier.name), "tier {} is required and cannot run: {reason}", tier.name);
        // Past libtest's capture, which would swallow the line of a test that passes.
        writeln!(std::io::stderr(), "SKIPPED: tier {}: {reason}", tier.name).ok();
        return false;
    }
    true
}

fn missing(tier: Tier, root: bool, installed: &dyn Fn(&str) -> bool) -> Option<String> {
    if !root {
        return Some("needs root".into());
    }
    let absent: Vec<_> = tier.programs.iter().copied().filter(|name| !installed(name)).collect();
    if absent.is_empty() { (tier.also)() } else { Some(format!("not installed: {}", absent.join(", "))) }
}

fn demanded(required: &str, tier: &str) -> bool {
    required.split(',').map(str::trim).any(|word| word == "all" || word == tier)
}

/// Whether a program is on the path. System directories are searched even where the path lacks them.
#[must_use]
pub fn installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is.
#[must_use]
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_root_nothing_privileged_runs() {
        assert_eq!(missing(TRAFFIC, false, &|_| true).as_deref(), Some("needs root"));
    }

    #[test]
    fn every_absent_program_is_named() {
        let reason = missing(PROMETHEUS, true, &|name| name == "ip").unwrap();
        assert_eq!(reason, "not installed: prometheus, promtool, nsenter");
    }

    #[test]
    fn a_tier_is_demanded_by_name_or_by_all() {
        assert!(demanded("all", "docker"));
        assert!(demanded("traffic, docker", "docker"));
        assert!(!demanded("traffic", "docker"));
        assert!(!demanded("", "docker"));
    }
}
