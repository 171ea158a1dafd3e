//! Tap and macvtap interfaces → the processes that hold their other ends, with their command lines.

use std::fs;

use super::{facts::TapDevice, proc};

/// Programs that hold taps: virtual machine monitors. Reading every descriptor of every process would cost a
/// third of a second on a busy host; the kernel cuts names at 15 bytes, hence prefixes.
const MONITORS: [&str; 6] = ["qemu", "kvm", "cloud-hyp", "firecracker", "crosvm", "vhost-user"];
/// Descriptors looked at in one process.
const MOST: usize = 65_536;

/// A process that holds taps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapHolder {
    /// The process.
    pub pid: u32,
    /// When it started, in ticks since boot.
    pub start_time: u64,
    /// Its name, at most 15 bytes of it.
    pub command: String,
    /// Its command line, cut at 256 KiB.
    pub arguments: Vec<String>,
    /// What it holds, by descriptor.
    pub taps: Vec<HeldTap>,
}

/// One descriptor of a tap; several of one process may be of the same interface (one for each queue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTap {
    /// Its number in the process.
    pub descriptor: u32,
    /// The interface behind it.
    pub device: TapDevice,
}

/// What was found, and what was not to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapHolders {
    /// Monitors that hold taps.
    pub holders: Vec<TapHolder>,
    /// Monitors whose descriptors may not be read (`CAP_SYS_PTRACE`).
    pub refused: usize,
}

/// The monitors running now with the taps they hold. Blocking; needs `CAP_SYS_PTRACE` for processes of other
/// users.
#[must_use]
pub fn holders() -> TapHolders {
    let mut found = TapHolders::default();
    for pid in proc::pids() {
        let Some(command) = proc::command(pid).filter(|command| is_monitor(command)) else { continue };
        let refused = fs::read_dir(proc::path(pid, "fdinfo"))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        if refused {
            found.refused += 1;
            continue;
        }
        let holder = proc::same(pid, |start_time| {
            let arguments = proc::arguments(pid).ok()?;
            Some(TapHolder { pid, start_time, command, arguments, taps: taps(pid) })
        });
        found.holders.extend(holder.filter(|holder| !holder.taps.is_empty()));
    }
    found
}

fn is_monitor(command: &str) -> bool {
    MONITORS.iter().any(|monitor| command.starts_with(monitor))
}

fn taps(pid: u32) -> Vec<HeldTap> {
    let directory = fs::read_dir(proc::path(pid, "fd")).into_iter().flatten().flatten();
    directory.take(MOST).filter_map(|entry| held(pid, entry.file_name().to_str()?.parse().ok()?)).collect()
}

fn held(pid: u32, descriptor: u32) -> Option<HeldTap> {
    let target = fs::read_link(proc::path(pid, &format!("fd/{descriptor}"))).ok()?;
    let device = match by_index(target.to_str()?) {
        Some(index) => TapDevice::Index(index),
        None if target.ends_with("tun") => {
            let text = proc::text(pid, &format!("fdinfo/{descriptor}")).ok()?;
            TapDevice::Named(interface(&text)?.to_owned())
        }
        None => return None,
    };
    Some(HeldTap { descriptor, device })
}

/// `/dev/tap12` → 12.
fn by_index(target: &str) -> Option<u32> {
    target.strip_prefix("/dev/tap")?.parse().ok()
}

/// The interface behind a descriptor of `/dev/net/tun`, from `/proc/PID/fdinfo/N`.
fn interface(fdinfo: &str) -> Option<&str> {
    let name = fdinfo.lines().find_map(|line| line.strip_prefix("iff:"))?.trim();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_the_one_named_by_the_descriptor() {
        assert_eq!(interface("pos:\t0\nflags:\t0104002\nmnt_id:\t15\nino:\t5\niff:\ttap1\n"), Some("tap1"));
        assert_eq!(interface("pos:\t0\nflags:\t02\n"), None);
        assert_eq!(interface("iff:\t\n"), None, "opened but attached to nothing");
    }

    #[test]
    fn a_macvtap_is_known_by_its_character_device() {
        assert_eq!(by_index("/dev/tap17"), Some(17));
        assert_eq!(by_index("/dev/tap"), None);
        assert_eq!(by_index("/dev/net/tun"), None);
    }

    #[test]
    fn monitors_are_known_by_what_the_kernel_leaves_of_their_names() {
        for name in ["qemu-system-x86", "cloud-hyperviso", "firecracker", "kvm"] {
            assert!(is_monitor(name), "{name}");
        }
        assert!(!is_monitor("bash"));
    }
}
