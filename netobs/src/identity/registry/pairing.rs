//! Links, namespaces and containers → stacks with everything that belongs to each. Pure.
//!
//! The host's end of a pair belongs to the namespace whose number it carries (`IFLA_LINK_NETNSID`), never
//! to one found by interface index: every container's inner link has the same low index.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    before::Before,
    below,
    stack::{Draft, Generations, StackKey, is_device},
};
use crate::{
    host::facts::{Facts, Link, LinkKind},
    identity::{
        cgroup,
        observed::{Namespace, Observed, Process},
    },
    runtime::{facts::RuntimeContainer, facts::guest::Guest, facts::pod::RuntimePod},
};

/// Containers that join a container that joins …; Docker refuses a second step, others may not.
const JOINS_LIMIT: usize = 8;

/// How long somebody whose namespace and interfaces are gone may stay listed: whoever ends is told by its runtime in
/// less, unless that is away. Namespaces are looked at every 10 s.
const LINGERS: Duration = Duration::from_secs(30);

/// Every stack of this moment.
pub(super) fn draft<'a>(
    observed: &Observed<'a>,
    generations: &Generations,
    before: &Before,
    now: Instant,
) -> BTreeMap<StackKey, Draft<'a>> {
    let places = Places::of(observed, before);
    let mut drafts: BTreeMap<StackKey, Draft<'a>> = BTreeMap::new();
    for container in observed.containers {
        let key = places.of_container(container);
        draft_of(&mut drafts, key).add_container(container);
    }
    for pod in observed.pods {
        let key = places.of_pod(pod);
        draft_of(&mut drafts, key).add_pod(pod);
    }
    for link in observed.facts.links.values() {
        if observed.uplinks.contains(&link.index) {
            continue;
        }
        let generation = generations.of(link.index);
        let key = match link.kind {
            LinkKind::Veth => {
                places.behind_veth(link, || before.of_link(link.index, generation, &places.namespaces))
            }
            LinkKind::Tun { tap: true } | LinkKind::Macvtap => {
                behind_tap(link, generations.since(link.index), observed)
            }
            _ => None,
        };
        if let Some(key) = key {
            draft_of(&mut drafts, key).add_link(link, generation);
        }
    }
    for namespace in observed.namespaces {
        // A namespace that neither touches this host's links, from above or from below, nor holds a container of its runtimes is
        // somebody else's: another node's, a browser's sandbox.
        let key = StackKey::Namespace(namespace.inode);
        if drafts.contains_key(&key) || !below::of(namespace, observed.facts).is_empty() {
            draft_of(&mut drafts, key).add_namespace(namespace);
        }
    }
    for guest in observed.guests {
        if let Some(draft) = drafts.get_mut(&key_of(guest)) {
            draft.add_guest(guest);
        }
    }
    for draft in drafts.values_mut().filter(|draft| draft.namespace.is_none()) {
        let containers = draft.containers.iter().map(|one| before.lost(&one.id, one.started_at, now));
        let all = containers.chain(draft.pod.map(|pod| before.lost(&pod.sandbox, pod.created_at, now)));
        // One that was started again is about to be found.
        draft.lost = all.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    }
    drafts.retain(|_, draft| !draft.links.is_empty() || draft.lost.is_none_or(|since| now - since < LINGERS));
    drafts
}

/// Who is behind a tap: the guest whose monitor holds it, somebody unknown, or nobody while it has no carrier. A look
/// that began before the tap was as it is (`since`) does not say who holds it now. Where two seem to hold it, one of
/// them holds another namespace's tap of that name, and it is not known which.
fn behind_tap(link: &Link, since: Option<Instant>, observed: &Observed<'_>) -> Option<StackKey> {
    let is_late = observed.guests_looked_at >= since;
    let holds = |guest: &&Arc<Guest>| guest.cards.iter().any(|card| is_device(&card.device, link));
    let mut holders = observed.guests.iter().filter(holds).filter(|_| is_late);
    // The carrier of a macvtap is that of the device below it.
    let has_carrier = link.carrier || link.kind == LinkKind::Macvtap;
    match (holders.next(), holders.next()) {
        (Some(guest), None) if has_carrier => Some(key_of(guest)),
        _ => link.carrier.then_some(StackKey::Interface(link.index)),
    }
}

fn key_of(guest: &Guest) -> StackKey {
    StackKey::Guest { pid: guest.pid, start_time: guest.start_time }
}

fn draft_of<'a, 'd>(drafts: &'d mut BTreeMap<StackKey, Draft<'a>>, key: StackKey) -> &'d mut Draft<'a> {
    drafts.entry(key.clone()).or_insert_with(|| Draft::new(key))
}

/// Where everything is, looked up many times.
struct Places<'a> {
    facts: &'a Facts,
    own_namespace: u64,
    namespaces: HashMap<u64, &'a Namespace>,
    inode_of_nsid: HashMap<i32, u64>,
    containers: HashMap<&'a str, StackKey>,
    /// Container by hardware address on a bridge (any bridge where the runtime does not say which).
    by_mac: HashMap<[u8; 6], Vec<(Option<&'a str>, StackKey)>>,
}

impl<'a> Places<'a> {
    fn of(observed: &Observed<'a>, before: &Before) -> Self {
        let namespaces: HashMap<u64, &Namespace> =
            observed.namespaces.iter().map(|one| (one.inode, one)).collect();
        let nsids = observed.namespaces.iter().filter_map(|one| Some((one.nsid?, one.inode)));
        let mut places = Self {
            facts: observed.facts,
            own_namespace: observed.own_namespace,
            inode_of_nsid: nsids.collect(),
            containers: place_containers(observed, before, &namespaces),
            namespaces,
            by_mac: HashMap::new(),
        };
        for container in observed.containers {
            for network in container.networks.iter().filter(|one| &*one.driver == "bridge") {
                let Some(mac) = network.mac else { continue };
                let key = places.of_container(container);
                places.by_mac.entry(mac).or_default().push((network.bridge_interface.as_deref(), key));
            }
        }
        places
    }

    fn of_container(&self, container: &RuntimeContainer) -> StackKey {
        let known = self.containers.get(&*container.id).cloned();
        known.unwrap_or_else(|| StackKey::Container(Arc::clone(&container.id)))
    }

    fn of_pod(&self, pod: &RuntimePod) -> StackKey {
        let known = self.containers.get(&*pod.sandbox).cloned();
        known.unwrap_or_else(|| StackKey::Container(Arc::clone(&pod.sandbox)))
    }

    /// Who is behind a veth: `None` where both ends are the host's.
    fn behind_veth(&self, link: &Link, before: impl FnOnce() -> Option<StackKey>) -> Option<StackKey> {
        if let Some(nsid) = link.peer_namespace {
            if let Some(inode) = self.inode_of_nsid.get(&nsid) {
                return (*inode != self.own_namespace).then_some(StackKey::Namespace(*inode));
            }
        } else if self.other_end_is_here(link) {
            return None;
        }
        before().or_else(|| self.by_learned_mac(link)).or(Some(StackKey::Interface(link.index)))
    }

    /// Either end may name the other: the one made first does not at first, as nobody announces it again.
    fn other_end_is_here(&self, link: &Link) -> bool {
        let named = |by: &Link| by.lower.filter(|lower| *lower != by.index && *lower != 0);
        let is_end = |one: &Link| one.kind == LinkKind::Veth && one.peer_namespace.is_none();
        match named(link) {
            Some(lower) => {
                let other = self.facts.links.get(&lower).filter(|other| is_end(other));
                other.is_some_and(|other| named(other).is_none_or(|back| back == link.index))
            }
            None => self.facts.links.values().any(|other| is_end(other) && named(other) == Some(link.index)),
        }
    }

    /// The container whose hardware address the bridge learned at this port: enough where namespaces
    /// cannot be looked at, as without the host's process namespace.
    fn by_learned_mac(&self, link: &Link) -> Option<StackKey> {
        if self.by_mac.is_empty() {
            return None;
        }
        let bridge = self.facts.links.get(&self.facts.bridge_of(link.index)?)?;
        learned_macs(self.facts, link.index).find_map(|mac| {
            let owners = self.by_mac.get(&mac)?;
            let here = owners.iter().find(|(name, _)| name.is_none_or(|name| name == bridge.name))?;
            Some(here.1.clone())
        })
    }
}

/// The hardware addresses a bridge learned behind one of its ports.
pub(super) fn learned_macs(facts: &Facts, port: u32) -> impl Iterator<Item = [u8; 6]> {
    let first =
        crate::host::facts::FdbKey { link: port, mac: [0; 6], vlan: None, own_table: false, remote: None };
    facts
        .fdb
        .range(first..)
        .take_while(move |(key, _)| key.link == port)
        .map(|(_, entry)| entry)
        .filter(|entry| !entry.is_local && !entry.own_table && entry.mac[0] & 1 == 0)
        .map(|entry| entry.mac)
}

fn place_containers<'a>(
    observed: &Observed<'a>,
    before: &Before,
    namespaces: &HashMap<u64, &Namespace>,
) -> HashMap<&'a str, StackKey> {
    let mut by_pid: HashMap<u32, (u64, &Process)> = HashMap::new();
    for namespace in observed.namespaces {
        by_pid.extend(namespace.processes.iter().map(|one| (one.pid, (namespace.inode, one))));
    }
    let by_path: HashMap<&str, u64> = observed.namespaces.iter().filter_map(mounted).collect();
    let direct = |container: &'a RuntimeContainer| {
        if container.is_host_network() {
            return Some(StackKey::HostContainer(Arc::clone(&container.id)));
        }
        let by_process = by_pid
            .get(&container.pid)
            .filter(|(_, process)| is_process_of(process, &container.id, container.started_at, before))
            .map(|(inode, _)| *inode);
        let inode =
            by_process.or_else(|| by_path.get(sandbox_name(container.sandbox_key.as_deref()?)?).copied());
        inode
            .map(StackKey::Namespace)
            .or_else(|| before.of_container(&container.id, container.started_at, namespaces))
    };
    let mut places: HashMap<&str, StackKey> = HashMap::new();
    for container in observed.containers {
        if let Some(key) = direct(container) {
            places.insert(&container.id, key);
        }
    }
    for container in observed.containers {
        if !places.contains_key(&*container.id)
            && let Some(key) = follow_joins(container, observed.containers, &places)
        {
            places.insert(&container.id, key);
        }
    }
    for pod in observed.pods {
        if let Some(key) = place_pod(pod, observed, before, namespaces, &by_pid, &by_path) {
            places.insert(&pod.sandbox, key);
        }
    }
    places
}

/// By the sandbox's process, by the file its namespace is kept in, or by a process in the pod's cgroup.
fn place_pod(
    pod: &RuntimePod,
    observed: &Observed<'_>,
    before: &Before,
    namespaces: &HashMap<u64, &Namespace>,
    by_pid: &HashMap<u32, (u64, &Process)>,
    by_path: &HashMap<&str, u64>,
) -> Option<StackKey> {
    if pod.host_network {
        return Some(StackKey::HostContainer(Arc::clone(&pod.sandbox)));
    }
    let is_its_own = |process: &Process| is_process_of(process, &pod.sandbox, pod.created_at, before);
    let by_process = by_pid.get(&pod.pid).filter(|(_, process)| is_its_own(process));
    let by_file = || by_path.get(sandbox_name(pod.netns.as_deref()?)?).copied();
    let by_cgroup = || {
        let of_it = |process: &Process| {
            cgroup::identify(&process.cgroup).is_some_and(|found| found.pod_uid.as_ref() == Some(&pod.uid))
        };
        observed.namespaces.iter().find(|one| one.processes.iter().any(of_it)).map(|one| one.inode)
    };
    let inode = by_process.map(|(inode, _)| *inode).or_else(by_file).or_else(by_cgroup);
    let known = inode.map(StackKey::Namespace);
    known.or_else(|| before.of_container(&pod.sandbox, pod.created_at, namespaces))
}

fn follow_joins(
    container: &RuntimeContainer,
    all: &[Arc<RuntimeContainer>],
    places: &HashMap<&str, StackKey>,
) -> Option<StackKey> {
    let mut at = find(all, container.joined()?)?;
    for _ in 0..JOINS_LIMIT {
        if let Some(key) = places.get(&*at.id) {
            return Some(key.clone());
        }
        match at.joined() {
            Some(next) => at = find(all, next)?,
            None => return Some(StackKey::Container(Arc::clone(&at.id))),
        }
    }
    None
}

/// A container by id or name, as a runtime writes it after `container:`.
pub(super) fn find<'a>(all: &'a [Arc<RuntimeContainer>], named: &str) -> Option<&'a Arc<RuntimeContainer>> {
    all.iter().find(|one| &*one.id == named).or_else(|| all.iter().find(|one| &*one.name == named))
}

/// Whether a process may be a container's: process numbers are reused, and between the runtime's answer
/// and the look at `/proc` another process may have come. A cgroup that names another container says so; where it names
/// none, so does another start than that of the process it had.
fn is_process_of(process: &Process, id: &str, started_at: Option<Timestamp>, before: &Before) -> bool {
    cgroup::mentions(&process.cgroup, id)
        || (cgroup::identify(&process.cgroup).is_none_or(|found| found.container_id.is_none())
            && !before.is_successor(process, id, started_at))
}

/// `/run/docker/netns/NAME` and `/var/run/docker/netns/NAME` are one directory.
fn sandbox_name(path: &str) -> Option<&str> {
    let (directory, name) = path.rsplit_once('/')?;
    (directory.ends_with("/netns") && name != "default").then_some(name)
}

fn mounted(namespace: &Namespace) -> Option<(&str, u64)> {
    Some((sandbox_name(namespace.path.as_deref()?)?, namespace.inode))
}
