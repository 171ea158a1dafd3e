//! `/proc/self/mounts` → where the file systems of interest are.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

/// Mount points, the first of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Pinned BPF objects.
    pub bpf: Option<PathBuf>,
    /// The version 2 hierarchy of control groups; beside version 1 it is often below `/sys/fs/cgroup/unified`.
    pub cgroup2: Option<PathBuf>,
    /// Whether version 1 hierarchies are mounted, which is where the runtimes then keep their groups.
    pub cgroup1: bool,
    /// The tracing file system.
    pub tracing: Option<PathBuf>,
}

impl Mounts {
    /// From lines of device, mount point, kind, options.
    #[must_use]
    pub fn parse(table: &str) -> Self {
        let mut mounts = Self::default();
        for line in table.lines() {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (Some(point), Some(kind)) = (fields.next(), fields.next()) else { continue };
            match kind {
                "bpf" => mounts.bpf = mounts.bpf.or_else(|| Some(unescape(point))),
                "cgroup2" => mounts.cgroup2 = mounts.cgroup2.or_else(|| Some(unescape(point))),
                "cgroup" => mounts.cgroup1 = true,
                "tracefs" => mounts.tracing = mounts.tracing.or_else(|| Some(unescape(point))),
                _ => {}
            }
        }
        mounts
    }
}

/// The kernel writes blanks, tabs, line ends and backslashes as a backslash and three octal digits.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_found_beside_version_1() {
        let found = Mounts::parse(
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
             cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
             cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
             bpf /sys/fs/bpf bpf rw 0 0\n\
             tracefs /sys/kernel/tracing tracefs rw 0 0\n",
        );
        assert_eq!(found.cgroup2, Some("/sys/fs/cgroup/unified".into()));
        assert!(found.cgroup1);
        assert_eq!(found.bpf, Some("/sys/fs/bpf".into()));
        assert_eq!(found.tracing, Some("/sys/kernel/tracing".into()));
    }

    #[test]
    fn what_is_not_mounted_is_none() {
        assert_eq!(Mounts::parse("proc /proc proc rw 0 0\nbroken\n"), Mounts::default());
    }

    #[test]
    fn blanks_in_a_path_are_written_in_octal() {
        let found = Mounts::parse("none /a\\040b\\134c cgroup2 rw 0 0\n");
        assert_eq!(found.cgroup2, Some("/a b\\c".into()));
        assert_eq!(unescape("tail\\04"), PathBuf::from("tail\\04"));
    }

    proptest::proptest! {
        #[test]
        fn any_table_is_read_without_panic(text in "[a-z0-9 \\\\\n]{0,80}") {
            let mounts = Mounts::parse(&text);
            proptest::prop_assert!(!mounts.cgroup1 || text.contains("cgroup"));
        }
    }
}
