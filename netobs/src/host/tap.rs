//! Tap and macvtap interfaces → the processes that hold their other ends, with their command lines.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use super::{facts::TapDevice, namespaces, proc};

/// Programs that hold taps: virtual machine monitors. Reading every descriptor of every process would cost a
/// third of a second on a busy host; the kernel cuts names at 15 bytes, hence prefixes.
const MONITORS: [&str; 6] = ["qemu", "kvm", "cloud-hyp", "firecracker", "crosvm", "vhost-user"];
/// Descriptors looked at in one process.
const DESCRIPTORS: usize = 16_384;
/// What one look may cost, for any user may start processes of such names: a host has hundreds of guests, with some
/// hundred descriptors each.
const MOST: Budget = Budget { monitors: 1_024, descriptors: 131_072 };

/// What is left of a look.
#[derive(Clone, Copy, Debug)]
struct Budget {
    monitors: usize,
    descriptors: usize,
}

impl Budget {
    /// Whether one more monitor may be looked at.
    const fn begin(&mut self) -> bool {
        if self.monitors == 0 || self.descriptors == 0 {
            return false;
        }
        self.monitors -= 1;
        true
    }

    /// Whether one more of its descriptors may be.
    const fn take(&mut self) -> bool {
        let any = self.descriptors > 0;
        self.descriptors = self.descriptors.saturating_sub(1);
        any
    }
}

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
    /// Monitors left out because there were too many, of them or of their descriptors.
    pub left_out: usize,
}

/// The monitors of our network namespace running now with the taps they hold. Blocking; needs `CAP_SYS_PTRACE` for
/// processes of other users.
///
/// The name of a tap and the index of a macvtap mean something in the namespace of the device only, and that is
/// practically always the monitor's: what a monitor elsewhere holds (of a pod, of a jail) is another device of an equal
/// name. Which namespace a tap is in says `TUNGETDEVNETNS`, on a duplicate of the descriptor, that is by two system
/// calls with room for mistakes; so a tap of ours in the hands of a monitor elsewhere, and one of elsewhere in those of
/// a monitor here, are not told.
#[must_use]
pub fn holders() -> TapHolders {
    let own = namespaces::own_namespace().ok();
    let mut found = TapHolders::default();
    let mut left = MOST;
    for pid in proc::pids() {
        let Some(command) = proc::command(pid).filter(|command| is_monitor(command)) else { continue };
        let refused = fs::read_dir(proc::path(pid, "fdinfo"))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        if refused {
            found.refused += 1;
            continue;
        }
        let holder = proc::same(pid, |start_time| {
            if namespaces::inode(&namespaces::file_of(pid)).ok() != own {
                return None;
            }
            if !left.begin() {
                found.left_out += 1;
                return None;
            }
            let (whole, taps) = taps(pid, &mut left);
            found.left_out += usize::from(!whole);
            if taps.is_empty() {
                return None;
            }
            let arguments = proc::arguments(pid).ok()?;
            Some(TapHolder { pid, start_time, command, arguments, taps })
        });
        found.holders.extend(holder);
    }
    found
}

fn is_monitor(command: &str) -> bool {
    MONITORS.iter().any(|monitor| command.starts_with(monitor))
}

/// The taps of a process, and whether all of its descriptors were looked at.
fn taps(pid: u32, left: &mut Budget) -> (bool, Vec<HeldTap>) {
    let mut taps = Vec::new();
    let directory = fs::read_dir(proc::path(pid, "fd")).into_iter().flatten().flatten();
    for (looked_at, entry) in directory.enumerate() {
        if looked_at == DESCRIPTORS || !left.take() {
            return (false, taps);
        }
        let descriptor = entry.file_name().to_str().and_then(|name| name.parse().ok());
        taps.extend(descriptor.and_then(|descriptor| held(pid, descriptor)));
    }
    (true, taps)
}

fn held(pid: u32, descriptor: u32) -> Option<HeldTap> {
    let path = proc::path(pid, &format!("fd/{descriptor}"));
    let target = fs::read_link(&path).ok()?;
    let device = match by_index(target.to_str()?) {
        Some(index) => {
            let device = fs::read_to_string(format!("/sys/class/macvtap/tap{index}/dev")).ok()?;
            is_device(&path, &device).then_some(TapDevice::Index(index))?
        }
        None if target.ends_with("tun") => {
            let text = proc::text(pid, &format!("fdinfo/{descriptor}")).ok()?;
            TapDevice::Named(interface(&text)?.to_owned())
        }
        None => return None,
    };
    Some(HeldTap { descriptor, device })
}

/// Whether a file is the character device of these numbers (`MAJOR:MINOR`): anybody may give any file any name.
fn is_device(file: &Path, numbers: &str) -> bool {
    fs::metadata(file).is_ok_and(|data| {
        let (major, minor) = (libc::major(data.rdev()), libc::minor(data.rdev()));
        data.file_type().is_char_device() && numbers.trim() == format!("{major}:{minor}")
    })
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
    fn a_file_with_a_devices_name_is_no_device() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tap12");
        fs::write(&file, "").unwrap();
        assert!(!is_device(&file, "0:0\n"));
        assert!(is_device(Path::new("/dev/null"), "1:3\n"));
        assert!(!is_device(Path::new("/dev/null"), "1:5\n"));
        assert!(!is_device(&directory.path().join("absent"), "1:3\n"));
    }

    #[test]
    fn a_look_costs_no_more_than_its_budget_whoever_has_such_a_name() {
        let mut left = Budget { monitors: 2, descriptors: 3 };
        assert!(left.begin() && left.begin() && !left.begin());
        let mut left = Budget { monitors: 9, descriptors: 3 };
        assert!(left.begin());
        let (whole, taps) = super::taps(std::process::id(), &mut left);
        assert!(!whole && taps.is_empty(), "a test has more than three descriptors");
        assert!(!left.begin());
        let (whole, _) = super::taps(std::process::id(), &mut { MOST });
        assert!(whole);
    }

    #[test]
    fn monitors_are_known_by_what_the_kernel_leaves_of_their_names() {
        for name in ["qemu-system-x86", "cloud-hyperviso", "firecracker", "kvm"] {
            assert!(is_monitor(name), "{name}");
        }
        assert!(!is_monitor("bash"));
    }
}
