//! What belonged to which stack at the last look → what it belongs to while nothing newer is known. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::stack::{self, Anchor, Draft, Generations, StackKey};
use crate::identity::observed::{Namespace, Observed};

/// Where everything was last time. While a container is taken down, its process is gone before its
/// interfaces, and the kernel no longer says where their other ends are: then what was known goes on.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// By interface index, with the interface's generation.
    links: HashMap<u32, (u64, StackKey)>,
    /// By the id of a container or a pod's sandbox, with its start.
    containers: HashMap<Arc<str>, (Option<Timestamp>, StackKey)>,
    /// What was in each namespace, by inode.
    namespaces: HashMap<u64, HashSet<Anchor>>,
}

impl Before {
    /// What was in each namespace, and nothing of the rest yet.
    pub(super) fn of(observed: &Observed<'_>) -> Self {
        let namespaces = observed.namespaces.iter().map(|one| (one.inode, stack::anchors_of(one)));
        Self { namespaces: namespaces.collect(), ..Self::default() }
    }

    /// Takes a stack's interfaces and containers in.
    pub(super) fn remember(&mut self, draft: &Draft<'_>, generations: &Generations) {
        let links = draft.links.iter();
        self.links.extend(links.map(|one| (one.index, (generations.of(one.index), draft.key.clone()))));
        let containers = draft.containers.iter().map(|one| (&one.id, one.started_at));
        let all = containers.chain(draft.pod.map(|pod| (&pod.sandbox, pod.created_at)));
        self.containers.extend(all.map(|(id, start)| (Arc::clone(id), (start, draft.key.clone()))));
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
        let (before, key) = self.containers.get(id)?;
        (*before == started_at && self.is_still(key, now)).then(|| key.clone())
    }

    /// Whether a namespace of this inode, if there is one, may be the one that had it before.
    fn is_still(&self, key: &StackKey, now: &HashMap<u64, &Namespace>) -> bool {
        let Some(namespace) = key.inode().and_then(|inode| now.get(&inode)) else { return true };
        let now = stack::anchors_of(namespace);
        let before = self.namespaces.get(&namespace.inode);
        before.is_none_or(|before| before.is_empty() || now.is_empty() || !before.is_disjoint(&now))
    }
}
