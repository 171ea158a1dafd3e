//! Containers → the network namespaces that matter here, with processes, numbers and what is inside.
//!
//! The host's readers each answer one question; asked together for one moment, their answers are what
//! [`crate::identity::registry`] judges. Nothing is judged here.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    host::{
        cgroup,
        namespaces::{self, InnerError, InnerFacts},
        proc,
    },
    identity::observed::{Namespace, Process},
};

/// How long what was seen inside a namespace is believed: addresses seldom change without the links that
/// announce it.
const INSIDE_LASTS: Duration = Duration::from_secs(30);
/// Most namespaces entered in one round; the rest follows in the next.
const ENTERED_LIMIT: usize = 256;
/// Longest name of a mount that is kept, as a path.
const PATH_LIMIT: usize = 512;

/// Reads namespaces again and again, and enters each only once in a while.
#[derive(Debug, Default)]
pub struct NamespaceReader {
    inside: HashMap<u64, Inside>,
    hidden: usize,
    refused: Option<Arc<str>>,
}

#[derive(Debug)]
struct Inside {
    read: Instant,
    /// The first process then: another one means another namespace with a reused inode.
    first: Option<Process>,
    facts: Option<InnerFacts>,
}

impl NamespaceReader {
    /// Every network namespace but our own, each with a process in it and those of `pids` that are. Those that interfaces of ours lead to are entered, if that is
    /// allowed; [`NamespaceReader::refused`] says if it is not.
    ///
    /// # Errors
    /// The thread that reads `/proc` could not be started or did not survive.
    pub async fn read(&mut self, pids: Vec<u32>) -> Result<Vec<Namespace>> {
        let outside = tokio::task::spawn_blocking(move || outside(&pids));
        let (mut found, hidden) = outside.await.context("reading network namespaces")?;
        self.hidden = hidden;
        let now = Instant::now();
        self.inside.retain(|inode, one| {
            let living = found.iter().find(|namespace| namespace.inode == *inode);
            living.is_some_and(|namespace| namespace.processes.first() == one.first.as_ref())
        });
        self.enter(&found, now).await;
        for namespace in &mut found {
            if let Some(facts) = self.inside.get(&namespace.inode).and_then(|one| one.facts.as_ref()) {
                namespace.links.clone_from(&facts.links);
                namespace.addresses.clone_from(&facts.addresses);
                namespace.host = facts.outside;
            }
        }
        Ok(found)
    }

    async fn enter(&mut self, found: &[Namespace], now: Instant) {
        let due = found.iter().filter(|namespace| {
            self.inside.get(&namespace.inode).is_none_or(|one| now - one.read >= INSIDE_LASTS)
        });
        let due: Vec<&Namespace> = due.take(ENTERED_LIMIT).collect();
        for namespace in due {
            let facts = match namespaces::inner_facts(&file_of(namespace)).await {
                Ok(facts) if facts.inode == namespace.inode => Some(facts),
                // It ended, and another one has its process number or name.
                Ok(_) | Err(InnerError::Gone) => continue,
                Err(error @ (InnerError::NotPermitted | InnerError::Failed(_))) => {
                    self.refuse(&error);
                    None
                }
            };
            let first = namespace.processes.first().cloned();
            self.inside.insert(namespace.inode, Inside { read: now, first, facts });
        }
    }

    /// Says once why namespaces are not entered; the addresses in them are then known by other sources.
    fn refuse(&mut self, error: &InnerError) {
        let why: Arc<str> = error.to_string().into();
        if self.refused.as_ref() != Some(&why) {
            tracing::warn!(%why, "addresses inside network namespaces stay unknown");
            self.refused = Some(why);
        }
    }

    /// Why namespaces could not be entered, if one could not.
    #[must_use]
    pub fn refused(&self) -> Option<&Arc<str>> {
        self.refused.as_ref()
    }

    /// Processes of which it is not known in which namespace they are (`CAP_SYS_PTRACE`).
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.hidden
    }
}

/// What can be told without entering. Blocking.
fn outside(container_pids: &[u32]) -> (Vec<Namespace>, usize) {
    let own = namespaces::own_namespace().ok();
    let (processes, hidden) = namespaces::scan();
    let mut found: BTreeMap<u64, Namespace> = BTreeMap::new();
    for one in processes {
        let Some(process) = process(one.pid).filter(|(inode, _)| *inode == one.inode) else { continue };
        of(&mut found, one.inode).processes.push(process.1);
    }
    for pid in container_pids {
        let Some((inode, process)) = process(*pid).filter(|(inode, _)| Some(*inode) != own) else { continue };
        let namespace = of(&mut found, inode);
        if !namespace.processes.contains(&process) {
            namespace.processes.push(process);
        }
    }
    for named in namespaces::named() {
        // Not for display: a path is found by it, so it is taken as it is or not at all.
        let path = named.path.to_str().filter(|path| path.len() <= PATH_LIMIT);
        of(&mut found, named.inode).path = path.map(Arc::from);
    }
    for namespace in found.values_mut() {
        namespace.nsid = File::open(file_of(namespace))
            .ok()
            .filter(|file| file.metadata().is_ok_and(|data| inode_of(&data) == namespace.inode))
            .and_then(|file| namespaces::identifier(&file).ok().flatten());
    }
    (found.into_values().collect(), hidden)
}

fn of(found: &mut BTreeMap<u64, Namespace>, inode: u64) -> &mut Namespace {
    found.entry(inode).or_insert_with(|| Namespace { inode, ..Namespace::default() })
}

/// A process with the inode of its namespace, both of the same process although its number may be reused.
fn process(pid: u32) -> Option<(u64, Process)> {
    proc::same(pid, |start_time| {
        let inode = namespaces::inode(&namespaces::file_of(pid)).ok()?;
        let cgroup = cgroup::read(pid).unwrap_or_default().into();
        Some((inode, Process { pid, start_time, cgroup }))
    })
}

/// The file by which a namespace can be opened: of a process in it, else where it is mounted.
#[must_use]
pub fn file_of(namespace: &Namespace) -> PathBuf {
    match (&namespace.path, namespace.processes.first()) {
        (_, Some(process)) => namespaces::file_of(process.pid),
        (Some(path), None) => PathBuf::from(&**path),
        (None, None) => PathBuf::new(),
    }
}

fn inode_of(data: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_processes_are_in_no_foreign_namespace() {
        let own = namespaces::own_namespace().unwrap();
        let (found, _) = outside(&[std::process::id()]);
        assert!(found.iter().all(|one| one.inode != own));
        assert!(found.iter().flat_map(|one| &one.processes).all(|one| one.pid != std::process::id()));
    }

    #[test]
    fn a_process_is_known_by_more_than_its_number() {
        let (inode, me) = process(std::process::id()).unwrap();
        assert_eq!(Some(inode), namespaces::own_namespace().ok());
        assert!(me.start_time > 0);
        assert_eq!(process(u32::MAX), None);
    }
}
