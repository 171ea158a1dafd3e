//! Containers → the network namespaces that matter here, with processes, numbers and what is inside.
//!
//! The host's readers each answer one question; asked together for one moment, their answers are what
//! [`crate::identity::registry`] judges. Nothing is judged here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    host::{
        cgroup,
        facts::AddressScope,
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
    /// The interfaces of ours that led there then.
    led: BTreeSet<u32>,
    /// When those were first seen to.
    since: Instant,
    facts: Option<InnerFacts>,
}

impl Inside {
    /// Whether it may be otherwise by now: an interface of ours leads there that did not, or one that the host has no
    /// other end of (macvlan) may have been moved there since, for there was none but `lo`. Addresses come after
    /// interfaces: who has none yet is looked at again soon, and the more seldom the longer there is none.
    fn is_stale(&self, led: Option<&BTreeSet<u32>>, now: Instant) -> bool {
        let is_bare = self.facts.as_ref().is_some_and(|facts| facts.links.len() <= 1);
        let lasts = match &self.facts {
            Some(facts) if is_unaddressed(facts) => (self.read - self.since).min(INSIDE_LASTS),
            _ => INSIDE_LASTS,
        };
        is_bare || now - self.read >= lasts || led.unwrap_or(&BTreeSet::new()) != &self.led
    }
}

/// Whether no interface has an address that anybody but a neighbour could ask for.
fn is_unaddressed(facts: &InnerFacts) -> bool {
    !facts.addresses.iter().any(|one| one.scope == AddressScope::Global)
}

impl NamespaceReader {
    /// Every network namespace but our own, each with a process in it and those of `pids` that are, entered where that
    /// is allowed; [`NamespaceReader::refused`] says if it is not. `leads` are the interfaces of ours by the number of
    /// the namespace their other end is in.
    ///
    /// # Errors
    /// The thread that reads `/proc` could not be started or did not survive.
    pub async fn read(
        &mut self,
        pids: Vec<u32>,
        leads: &BTreeMap<i32, BTreeSet<u32>>,
    ) -> Result<Vec<Namespace>> {
        let outside = tokio::task::spawn_blocking(move || outside(&pids));
        let (mut found, hidden) = outside.await.context("reading network namespaces")?;
        self.hidden = hidden;
        let now = Instant::now();
        self.inside.retain(|inode, one| {
            let living = found.iter().find(|namespace| namespace.inode == *inode);
            living.is_some_and(|namespace| namespace.processes.first() == one.first.as_ref())
        });
        self.enter(&found, leads, now).await;
        for namespace in &mut found {
            if let Some(facts) = self.inside.get(&namespace.inode).and_then(|one| one.facts.as_ref()) {
                namespace.links.clone_from(&facts.links);
                namespace.addresses.clone_from(&facts.addresses);
                namespace.host = facts.outside;
            }
        }
        Ok(found)
    }

    /// Whether somebody with interfaces had no address when looked at, and is to be looked at again.
    #[must_use]
    pub fn awaits_addresses(&self, now: Instant) -> bool {
        let awaits = |one: &Inside| {
            let is_one =
                one.facts.as_ref().is_some_and(|facts| facts.links.len() > 1 && is_unaddressed(facts));
            is_one && one.is_stale(Some(&one.led), now)
        };
        self.inside.values().any(awaits)
    }

    async fn enter(&mut self, found: &[Namespace], leads: &BTreeMap<i32, BTreeSet<u32>>, now: Instant) {
        let led = |namespace: &Namespace| leads.get(&namespace.nsid?);
        let due = found.iter().filter(|namespace| {
            self.inside.get(&namespace.inode).is_none_or(|one| one.is_stale(led(namespace), now))
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
            let led = led(namespace).cloned().unwrap_or_default();
            let before = self.inside.get(&namespace.inode).filter(|one| one.led == led);
            let since = before.map_or(now, |one| one.since);
            self.inside.insert(namespace.inode, Inside { read: now, first, led, since, facts });
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
    use crate::host::facts::Address;

    #[test]
    fn our_own_processes_are_in_no_foreign_namespace() {
        let own = namespaces::own_namespace().unwrap();
        let (found, _) = outside(&[std::process::id()]);
        assert!(found.iter().all(|one| one.inode != own));
        assert!(found.iter().flat_map(|one| &one.processes).all(|one| one.pid != std::process::id()));
    }

    #[test]
    fn what_is_inside_is_looked_at_again_when_something_new_leads_there() {
        let now = Instant::now();
        let link = crate::host::facts::test_links::veth(2, "eth0");
        let facts = InnerFacts {
            inode: 7,
            links: vec![link.clone(), link],
            addresses: vec![address()],
            outside: None,
        };
        let inside = |facts| Inside { read: now, first: None, led: BTreeSet::from([10]), since: now, facts };
        let known = inside(Some(facts.clone()));
        assert!(!known.is_stale(Some(&BTreeSet::from([10])), now));
        assert!(known.is_stale(Some(&BTreeSet::from([10, 11])), now), "a second network");
        assert!(known.is_stale(None, now) && known.is_stale(Some(&BTreeSet::from([10])), now + INSIDE_LASTS));
        let bare = inside(Some(InnerFacts { links: Vec::new(), ..facts }));
        assert!(bare.is_stale(Some(&BTreeSet::from([10])), now), "nothing but its loopback yet");
    }

    fn address() -> Address {
        Address {
            link: 2,
            address: "10.0.0.2".parse().unwrap(),
            prefix: 24,
            scope: AddressScope::Global,
            peer: None,
            broadcast: None,
        }
    }

    #[test]
    fn who_has_no_address_yet_is_looked_at_more_and_more_seldom() {
        let since = Instant::now();
        let link = crate::host::facts::test_links::veth(2, "eth0");
        let local = Address { scope: AddressScope::Link, ..address() };
        let facts =
            InnerFacts { inode: 7, links: vec![link.clone(), link], addresses: vec![local], outside: None };
        let mut inside = Inside { read: since, first: None, led: BTreeSet::new(), since, facts: Some(facts) };
        let mut looks = Vec::new();
        for second in 0..120 {
            let now = since + Duration::from_secs(second);
            if inside.is_stale(None, now) {
                inside.read = now;
                looks.push(second);
            }
        }
        assert_eq!(looks, [0, 1, 2, 4, 8, 16, 32, 62, 92]);
        if let Some(facts) = &mut inside.facts {
            facts.addresses.push(address());
        }
        assert!(!inside.is_stale(None, inside.read + Duration::from_secs(29)));
    }

    #[test]
    fn a_process_is_known_by_more_than_its_number() {
        let (inode, me) = process(std::process::id()).unwrap();
        assert_eq!(Some(inode), namespaces::own_namespace().ok());
        assert!(me.start_time > 0);
        assert_eq!(process(u32::MAX), None);
    }
}
