//! Containers on the host's network and their first processes, as runtimes list them → who of them still runs, and in
//! which mount namespace. Pure: looking at a process is an argument.

use std::{collections::BTreeMap, sync::Arc};

/// A container's, or a pod's sandbox's, first process as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstProcess {
    pub(super) start_time: u64,
    pub(super) mount_namespace: u32,
}

/// By container and process number. Who was never to be seen is not said to have ended.
#[derive(Debug, Default)]
pub(super) struct FirstProcesses(BTreeMap<(Arc<str>, u32), (FirstProcess, bool)>);

impl FirstProcesses {
    /// Takes in who is listed; whether anybody ended since the last time, or turned out not to have. `look` finds the
    /// process of a container by number, where it is that container's.
    ///
    /// A runtime that is away lists a container long after its end, when its process number, or the inode of its mount
    /// namespace, is another's.
    pub(super) fn settle<'a>(
        &mut self,
        listed: impl Iterator<Item = (&'a Arc<str>, u32)>,
        look: impl Fn(&str, u32) -> Option<FirstProcess>,
    ) -> bool {
        let mut now = BTreeMap::new();
        let mut news = false;
        for (id, pid) in listed.filter(|(_, pid)| *pid != 0) {
            let key = (Arc::clone(id), pid);
            let before = self.0.get(&key).copied();
            let seen = look(id, pid);
            let one = match (before, seen) {
                (Some((first, _)), Some(seen)) if first.start_time == seen.start_time => (seen, true),
                (Some((first, _)), _) => (first, false),
                (None, Some(seen)) => (seen, true),
                (None, None) => continue,
            };
            news |= before.is_some_and(|(_, runs)| runs != one.1);
            now.insert(key, one);
        }
        self.0 = now;
        news
    }

    /// Those that run, by id, with their mount namespaces.
    pub(super) fn running(&self) -> impl Iterator<Item = (&Arc<str>, u32)> {
        let running = self.0.iter().filter(|(_, (_, runs))| *runs);
        running.map(|((id, _), (process, _))| (id, process.mount_namespace))
    }

    /// Whether it ran and does not run any more.
    pub(super) fn has_ended(&self, id: &Arc<str>, pid: u32) -> bool {
        self.0.get(&(Arc::clone(id), pid)).is_some_and(|(_, runs)| !runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: FirstProcess = FirstProcess { start_time: 70, mount_namespace: 40 };

    fn mounts(all: &FirstProcesses) -> Vec<u32> {
        all.running().map(|(_, mount)| mount).collect()
    }

    #[test]
    fn a_container_that_ended_has_no_mount_namespace_although_it_is_still_listed() {
        let proxy: Arc<str> = "proxy".into();
        let listed = || [(&proxy, 7)].into_iter();
        let mut all = FirstProcesses::default();
        assert!(!all.settle(listed(), |_, _| Some(FIRST)));
        assert_eq!((mounts(&all), all.has_ended(&proxy, 7)), (vec![40], false));
        // Its number is nobody's, then another's; its mount namespace may be anybody's.
        assert!(all.settle(listed(), |_, _| None));
        assert_eq!((mounts(&all), all.has_ended(&proxy, 7)), (vec![], true));
        assert!(!all.settle(listed(), |_, _| Some(FirstProcess { start_time: 90, ..FIRST })));
        assert_eq!((mounts(&all), all.has_ended(&proxy, 7)), (vec![], true));
        // It was only not to be seen.
        assert!(all.settle(listed(), |_, _| Some(FIRST)));
        assert_eq!((mounts(&all), all.has_ended(&proxy, 7)), (vec![40], false));
    }

    #[test]
    fn a_container_started_again_is_looked_at_anew() {
        let proxy: Arc<str> = "proxy".into();
        let mut all = FirstProcesses::default();
        all.settle([(&proxy, 7)].into_iter(), |_, _| Some(FIRST));
        all.settle([(&proxy, 8)].into_iter(), |_, _| {
            Some(FirstProcess { start_time: 90, mount_namespace: 41 })
        });
        assert_eq!(
            (mounts(&all), all.has_ended(&proxy, 7), all.has_ended(&proxy, 8)),
            (vec![41], false, false)
        );
    }

    #[test]
    fn who_was_never_to_be_seen_is_not_said_to_have_ended() {
        let proxy: Arc<str> = "proxy".into();
        let mut all = FirstProcesses::default();
        assert!(!all.settle([(&proxy, 7), (&proxy, 0)].into_iter(), |_, _| None));
        assert!(!all.has_ended(&proxy, 7) && !all.has_ended(&proxy, 0));
    }
}
