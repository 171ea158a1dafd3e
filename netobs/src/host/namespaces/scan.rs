//! `/proc`, `/run/netns`, `/run/docker/netns` → the network namespaces that are not ours.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{super::proc, file_of, inode, own_namespace};

/// Where namespaces without a process are kept by a mount: `ip netns` and CNI, Docker, podman.
const KEPT: [&str; 2] = ["/run/netns", "/run/docker/netns"];
/// A directory with more entries than this is not read further.
const MOST: usize = 16_384;

/// A network namespace other than ours and one process in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceProcess {
    /// The process with the lowest id in it, mostly the first one.
    pub pid: u32,
    /// Inode of the namespace.
    pub inode: u64,
    /// When the process started, in ticks since boot.
    pub start_time: u64,
}

/// A network namespace other than ours that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedNamespace {
    /// The name given to it: that of `ip netns`, or a runtime's key.
    pub name: String,
    /// The file that keeps it.
    pub path: PathBuf,
    /// Inode of the namespace.
    pub inode: u64,
}

/// One process for each network namespace that is not ours, by inode. Blocking: one `stat` per process.
/// Processes whose namespace we may not look at (`CAP_SYS_PTRACE`) are left out and counted.
#[must_use]
pub fn scan() -> (Vec<NamespaceProcess>, usize) {
    let own = own_namespace().ok();
    let mut found: BTreeMap<u64, NamespaceProcess> = BTreeMap::new();
    let mut hidden = 0;
    for pid in proc::pids() {
        match inode(&file_of(pid)) {
            Ok(inode) if Some(inode) == own || found.contains_key(&inode) => {}
            Ok(_) => {
                let process = proc::same(pid, |start_time| {
                    let inode = inode(&file_of(pid)).ok()?;
                    Some(NamespaceProcess { pid, inode, start_time })
                });
                if let Some(process) = process.filter(|process| Some(process.inode) != own) {
                    found.entry(process.inode).or_insert(process);
                }
            }
            // A zombie has no namespace any more, which the kernel says with the same error.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                hidden += usize::from(proc::is_alive(pid));
            }
            // Gone since it was listed.
            Err(_) => {}
        }
    }
    (found.into_values().collect(), hidden)
}

/// Namespaces kept by a mount, by name.
#[must_use]
pub fn named() -> Vec<NamedNamespace> {
    let own = own_namespace().ok();
    let mut found: Vec<_> = KEPT.iter().flat_map(|directory| kept(Path::new(directory))).collect();
    found.retain(|namespace| Some(namespace.inode) != own);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn kept(directory: &Path) -> Vec<NamedNamespace> {
    // A name whose mount is gone is an ordinary file of the directory's own file system.
    let Ok(file_system) = fs::metadata(directory).map(|metadata| metadata.dev()) else { return Vec::new() };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().take(MOST);
    entries
        .filter_map(|entry| {
            let path = entry.path();
            let metadata = fs::metadata(&path).ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            (metadata.dev() != file_system).then(|| NamedNamespace { name, path, inode: metadata.ino() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespace_is_not_foreign() {
        let own = own_namespace().unwrap();
        assert!(scan().0.iter().all(|process| process.inode != own));
        assert!(named().iter().all(|namespace| namespace.inode != own));
    }

    #[test]
    fn a_name_without_a_mount_is_no_namespace() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("stale"), "").unwrap();
        assert_eq!(kept(directory.path()), []);
        assert_eq!(kept(&directory.path().join("absent")), []);
    }
}
