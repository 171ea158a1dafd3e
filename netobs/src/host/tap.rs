//! Tap interface → the process that holds its other end, and that process's command line.

use std::{collections::BTreeMap, fs};

use super::proc;

/// Programs that own taps: hypervisors. Reading every descriptor of every process would cost a third of a
/// second on a busy host; the kernel cuts names at 15 bytes, hence prefixes.
const OWNERS: [&str; 6] = ["qemu", "kvm", "cloud-hyp", "firecracker", "crosvm", "vhost-user"];
/// Descriptors looked at in one process.
const MOST: usize = 65_536;

/// The process behind a tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapOwner {
    /// The process.
    pub pid: u32,
    /// When it started, in ticks since boot.
    pub start_time: u64,
    /// Its command line, cut at 256 KiB.
    pub arguments: Vec<String>,
}

/// The hypervisors running now by the taps they hold. Blocking; needs `CAP_SYS_PTRACE` for processes of
/// other users.
#[must_use]
pub fn owners() -> BTreeMap<String, TapOwner> {
    let mut found = BTreeMap::new();
    for pid in proc::pids().into_iter().filter(|pid| may_own_taps(*pid)) {
        let taps_and_owner = proc::same(pid, |start_time| {
            let arguments = proc::arguments(pid).ok()?;
            Some((taps(pid), TapOwner { pid, start_time, arguments }))
        });
        if let Some((taps, owner)) = taps_and_owner {
            found.extend(taps.into_iter().map(|tap| (tap, owner.clone())));
        }
    }
    found
}

fn may_own_taps(pid: u32) -> bool {
    proc::command(pid).is_some_and(|command| OWNERS.iter().any(|owner| command.starts_with(owner)))
}

fn taps(pid: u32) -> Vec<String> {
    let directory = fs::read_dir(proc::path(pid, "fdinfo")).into_iter().flatten().flatten();
    directory
        .take(MOST)
        .filter_map(|entry| {
            let name = entry.file_name();
            let text = proc::text(pid, &format!("fdinfo/{}", name.to_str()?)).ok()?;
            interface(&text).map(str::to_owned)
        })
        .collect()
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
}
