//! The control groups of a process, as the kernel writes them; `identity` reads container ids out of them.

use super::proc;

/// `/proc/PID/cgroup`: a line `number:controllers:path` for each hierarchy, `0::path` for version 2. `None`
/// where the process is gone, was replaced while it was read, or is not ours to look at.
#[must_use]
pub fn read(pid: u32) -> Option<String> {
    proc::same(pid, |_| proc::text(pid, "cgroup").ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn our_own_control_groups_are_readable() {
        assert!(super::read(std::process::id()).is_some_and(|text| text.contains(":")));
        assert_eq!(super::read(u32::MAX), None);
    }
}
