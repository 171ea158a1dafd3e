//! Programs that the tests and the lab start → the Debian packages that bring them, where they are missing.

use std::process::Command;

use anyhow::Result;

use super::apt;
use crate::shell;

/// A program and the package that brings it. By program, not by package: who has Docker from Docker's own
/// packages must not lose it to Debian's.
const PROGRAMS: &[(&str, &str)] = &[
    ("dockerd", "docker.io"),
    ("ctr", "containerd"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("libvirtd", "libvirt-daemon-system"),
    ("virsh", "libvirt-clients"),
    ("virt-qemu-run", "libvirt-daemon-driver-qemu"),
    ("iperf3", "iperf3"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("wg", "wireguard-tools"),
    ("bpftool", "bpftool"),
    ("dot", "graphviz"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("tmux", "tmux"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ping", "iputils-ping"),
    ("ps", "procps"),
    ("socat", "socat"),
    ("nsenter", "util-linux"),
];

/// Installs what is missing. What the distribution does not have is named and left out: the tests that need
/// it say SKIPPED, or fail under `NETOBS_REQUIRE=all`.
pub(crate) fn install() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let (offered, absent) = apt::offered(&missing)?;
    if !absent.is_empty() {
        println!(
            "netobs: this distribution has no package {}; tests that need it will not run",
            absent.join(", ")
        );
    }
    apt::install(&offered, "for the tests")
}

/// The packages whose programs are not here.
pub(crate) fn missing() -> Vec<&'static str> {
    let mut packages: Vec<&str> = Vec::new();
    for (program, package) in PROGRAMS {
        if shell::find(program).is_none() && !packages.contains(package) {
            packages.push(package);
        }
    }
    if !static_busybox() {
        packages.push("busybox-static");
    }
    packages
}

/// The lab's containers and guests hold nothing but busybox, so it must need no libraries.
fn static_busybox() -> bool {
    // `ldd` fails on a program without a dynamic section.
    shell::find("busybox").is_some_and(|busybox| !shell::succeeds(Command::new("ldd").arg(busybox)))
}
