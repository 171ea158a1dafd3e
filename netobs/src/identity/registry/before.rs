//! What belonged to which stack at the last look → what it belongs to while nothing newer is known. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;

use super::stack::{self, Anchor, Draft, Generations, StackKey};
use crate::identity::observed::{Namespace, Observed, Process};

/// Where everything was last time. While a container is taken down, its process is gone before its
/// interfaces, and the kernel no longer says where their other ends are: then what was known goes on.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// By interface index, with the interface's generation.
    links: HashMap<u32, (u64, StackKey)>,
    /// By the id of a container or a pod's sandbox.
    containers: HashMap<Arc<str>, Whereabouts>,
    /// By inode, as long as anything is believed to be in it.
    namespaces: HashMap<u64, Kept>,
}

/// Where a container or a pod's sandbox was.
#[derive(Debug)]
struct Whereabouts {
    /// Started again, it is somewhere else.
    started_at: Option<Timestamp>,
    key: StackKey,
    /// What had the number of its first process when that was first to be seen in its namespace: pid and start.
    process: Option<(u32, u64)>,
    /// Whether its namespace was ever to be seen. Where none can be looked at, a missing one says nothing.
    seen: bool,
    /// Since when its namespace is not to be seen any more.
    lost: Option<Instant>,
}

/// A namespace as it was when it was last to be seen.
#[derive(Debug)]
struct Kept {
    /// What was in it.
    anchors: HashSet<Anchor>,
    /// Whether it was there at the last look.
    there: bool,
}

impl Before {
    /// Begins with what is in each namespace. One that is not to be seen now is kept with what was in it: the kernel
    /// gives its inode to the next one.
    pub(super) fn begin(&mut self, observed: &Observed<'_>) {
        self.links.clear();
        for kept in self.namespaces.values_mut() {
            kept.there = false;
        }
        let now = observed.namespaces.iter();
        self.namespaces
            .extend(now.map(|one| (one.inode, Kept { anchors: stack::anchors_of(one), there: true })));
    }

    /// Takes a stack's interfaces and containers in.
    pub(super) fn remember(&mut self, draft: &Draft<'_>, generations: &Generations) {
        let links = draft.links.iter();
        self.links.extend(links.map(|one| (one.index, (generations.of(one.index), draft.key.clone()))));
        let containers = draft.containers.iter().map(|one| (&one.id, one.started_at, one.pid));
        let pod = draft.pod.map(|pod| (&pod.sandbox, pod.created_at, pod.pid));
        for (id, started_at, pid) in containers.chain(pod) {
            let mut processes = draft.namespace.into_iter().flat_map(|one| &one.processes);
            let process = processes.find(|one| one.pid == pid).map(|one| (pid, one.start_time));
            let before = self.whereabouts(id, started_at).and_then(|one| one.process);
            let process = before.filter(|(before, _)| *before == pid).or(process);
            let seen =
                draft.namespace.is_some() || self.whereabouts(id, started_at).is_some_and(|one| one.seen);
            let now = Whereabouts { started_at, key: draft.key.clone(), process, seen, lost: draft.lost };
            self.containers.insert(Arc::clone(id), now);
        }
    }

    /// Forgets what no source speaks of any more, and the namespaces in which nothing is left.
    pub(super) fn end(&mut self, observed: &Observed<'_>) {
        let containers = observed.containers.iter().map(|one| &*one.id);
        let listed: HashSet<&str> = containers.chain(observed.pods.iter().map(|one| &*one.sandbox)).collect();
        self.containers.retain(|id, _| listed.contains(&**id));
        let of_links = self.links.values().map(|(_, key)| key);
        let keys = of_links.chain(self.containers.values().map(|one| &one.key));
        let used: HashSet<u64> = keys.filter_map(StackKey::inode).collect();
        self.namespaces.retain(|inode, kept| kept.there || used.contains(inode));
    }

    /// The interface is gone.
    pub(super) fn forget_link(&mut self, index: u32) {
        self.links.remove(&index);
    }

    pub(super) fn of_link(
        &self,
        index: u32,
        generation: u64,
        now: &HashMap<u64, &Namespace>,
    ) -> Option<StackKey> {
        let (before, key) = self.links.get(&index)?;
        let known = !matches!(key, StackKey::Interface(_));
        (*before == generation && known && self.is_still(key, now)).then(|| key.clone())
    }

    pub(super) fn of_container(
        &self,
        id: &str,
        started_at: Option<Timestamp>,
        now: &HashMap<u64, &Namespace>,
    ) -> Option<StackKey> {
        let key = &self.whereabouts(id, started_at)?.key;
        self.is_still(key, now).then(|| key.clone())
    }

    /// Of a container that is in no namespace now: since when, if it was in one.
    pub(super) fn lost(&self, id: &str, started_at: Option<Timestamp>, now: Instant) -> Option<Instant> {
        let before = self.whereabouts(id, started_at).filter(|one| one.seen)?;
        Some(before.lost.unwrap_or(now))
    }

    /// Whether a process has the number of another one that a container had.
    pub(super) fn is_successor(&self, process: &Process, id: &str, started_at: Option<Timestamp>) -> bool {
        let first = self.whereabouts(id, started_at).and_then(|one| one.process);
        first.is_some_and(|(pid, start_time)| pid == process.pid && start_time != process.start_time)
    }

    fn whereabouts(&self, id: &str, started_at: Option<Timestamp>) -> Option<&Whereabouts> {
        self.containers.get(id).filter(|one| one.started_at == started_at)
    }

    /// Whether a namespace of this inode, if there is one, may be the one that had it before. After a look that did not
    /// find it, only what was in it proves that.
    fn is_still(&self, key: &StackKey, now: &HashMap<u64, &Namespace>) -> bool {
        let Some(namespace) = key.inode().and_then(|inode| now.get(&inode)) else { return true };
        let Some(Kept { anchors, there }) = self.namespaces.get(&namespace.inode) else { return false };
        let now = stack::anchors_of(namespace);
        !anchors.is_disjoint(&now) || (*there && (anchors.is_empty() || now.is_empty()))
    }
}
