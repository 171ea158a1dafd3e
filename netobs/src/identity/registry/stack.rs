//! What makes two sightings of a network stack the same stack. Pure.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;

use crate::{
    host::facts::{Link, LinkKind, TapDevice},
    identity::observed::Namespace,
    runtime::{facts::RuntimeContainer, facts::guest::Guest, facts::pod::RuntimePod},
};

/// By what a stack is told from the others at one moment, the best there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum StackKey {
    /// By the inode of its namespace.
    Namespace(u64),
    /// By the container it was made for: its namespace is not known.
    Container(Arc<str>),
    /// By the container, or the pod's sandbox, alone: it uses the host's stack.
    HostContainer(Arc<str>),
    /// By the process of its monitor: a virtual machine, whatever number of taps it holds.
    Guest { pid: u32, start_time: u64 },
    /// By the host's end: nothing is known of what is behind it.
    Interface(u32),
}

impl StackKey {
    pub(super) const fn inode(&self) -> Option<u64> {
        match self {
            Self::Namespace(inode) => Some(*inode),
            _ => None,
        }
    }

    pub(super) const fn is_host_container(&self) -> bool {
        matches!(self, Self::HostContainer(_))
    }
}

/// Something that belongs to one stack only and is never another one's later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Anchor {
    Process {
        pid: u32,
        start_time: u64,
    },
    Path(Arc<str>),
    /// A container that is started again has a new stack.
    Container {
        id: Arc<str>,
        started_at: Option<Timestamp>,
    },
    Link {
        index: u32,
        generation: u64,
    },
}

/// A stack as seen at one moment.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) key: StackKey,
    pub(super) namespace: Option<&'a Namespace>,
    pub(super) guest: Option<&'a Guest>,
    pub(super) pod: Option<&'a RuntimePod>,
    /// The one it was made for first.
    pub(super) containers: Vec<&'a Arc<RuntimeContainer>>,
    /// The host's ends.
    pub(super) links: Vec<&'a Link>,
    pub(super) anchors: HashSet<Anchor>,
    /// Since when its namespace, which was there, is not to be seen any more.
    pub(super) lost: Option<Instant>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(key: StackKey) -> Self {
        Self {
            key,
            namespace: None,
            guest: None,
            pod: None,
            containers: Vec::new(),
            links: Vec::new(),
            anchors: HashSet::new(),
            lost: None,
        }
    }

    pub(super) fn add_namespace(&mut self, namespace: &'a Namespace) {
        self.namespace = Some(namespace);
        self.anchors.extend(anchors_of(namespace));
    }

    pub(super) fn add_pod(&mut self, pod: &'a RuntimePod) {
        let (id, started_at) = (Arc::clone(&pod.sandbox), pod.created_at);
        self.anchors.insert(Anchor::Container { id, started_at });
        self.pod = Some(pod);
    }

    pub(super) fn add_guest(&mut self, guest: &'a Guest) {
        self.anchors.insert(Anchor::Process { pid: guest.pid, start_time: guest.start_time });
        self.guest = Some(guest);
        // Its first card is the first of its interfaces.
        let place = |link: &Link| guest.cards.iter().position(|card| is_device(&card.device, link));
        self.links.sort_by_key(|link| (place(link), link.index));
    }

    pub(super) fn add_container(&mut self, container: &'a Arc<RuntimeContainer>) {
        let (id, started_at) = (Arc::clone(&container.id), container.started_at);
        self.anchors.insert(Anchor::Container { id, started_at });
        self.containers.push(container);
        self.containers.sort_by_key(|one| (one.joined().is_some(), one.started_at, Arc::clone(&one.id)));
    }

    pub(super) fn add_link(&mut self, link: &'a Link, generation: u64) {
        self.anchors.insert(Anchor::Link { index: link.index, generation });
        self.links.push(link);
    }
}

/// Whether a descriptor's device is this interface.
pub(super) fn is_device(device: &TapDevice, link: &Link) -> bool {
    match device {
        TapDevice::Named(name) => link.name == *name && matches!(link.kind, LinkKind::Tun { .. }),
        TapDevice::Index(index) => link.index == *index && link.kind == LinkKind::Macvtap,
    }
}

/// What tells a namespace from the next one with its inode.
pub(super) fn anchors_of(namespace: &Namespace) -> HashSet<Anchor> {
    let processes = namespace.processes.iter();
    let processes = processes.map(|one| Anchor::Process { pid: one.pid, start_time: one.start_time });
    processes.chain(namespace.path.clone().map(Anchor::Path)).collect()
}

/// Whether a stack known before (`key`, `anchors`) is this one.
///
/// Inodes are reused as soon as they are free, so an equal inode alone proves nothing; different inodes
/// prove that the stacks differ. Where one side's inode is not known, something of its own must be shared.
pub(super) fn is_same(key: &StackKey, anchors: &HashSet<Anchor>, gone: bool, draft: &Draft<'_>) -> bool {
    let shared = !anchors.is_disjoint(&draft.anchors);
    match (key, &draft.key) {
        // A tap may outlive its guest and be the next one's.
        (StackKey::Guest { .. }, StackKey::Guest { .. }) => return *key == draft.key,
        (
            StackKey::Guest { .. } | StackKey::Interface(_),
            StackKey::Guest { .. } | StackKey::Interface(_),
        ) if gone => {
            return false;
        }
        _ => {}
    }
    match (key.inode(), draft.key.inode()) {
        (Some(before), Some(now)) if before == now => {
            shared || (!gone && (anchors.is_empty() || draft.anchors.is_empty()))
        }
        (Some(_), Some(_)) => false,
        _ => shared && key.is_host_container() == draft.key.is_host_container(),
    }
}

/// Tells an interface from its successor with the same index. A tap that lost its carrier was let go of: whoever takes
/// it next is another one, so it counts as another tap.
#[derive(Debug, Default)]
pub(super) struct Generations {
    last: u64,
    seen: BTreeMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    generation: u64,
    since: Instant,
    kind: std::mem::Discriminant<LinkKind>,
    name: String,
    mac: Option<[u8; 6]>,
    carrier_losses: u32,
}

impl Generations {
    /// Takes the links of this moment in.
    pub(super) fn observe(&mut self, links: &BTreeMap<u32, Link>, now: Instant) {
        self.seen.retain(|index, _| links.contains_key(index));
        for link in links.values() {
            let kind = std::mem::discriminant(&link.kind);
            let before = self.seen.get(&link.index);
            // Others than taps lose and get their carrier with what is at the other end of them.
            let is_held = |one: &Seen| {
                !matches!(link.kind, LinkKind::Tun { .. }) || one.carrier_losses == link.carrier_losses
            };
            // A device keeps its kind; a rename or a new hardware address alone keeps the device.
            let same = before
                .filter(|one| one.kind == kind && (one.name == link.name || one.mac == link.mac))
                .filter(|one| is_held(one))
                .map(|one| (one.generation, one.since));
            let (generation, since) = same.unwrap_or_else(|| {
                self.last += 1;
                (self.last, now)
            });
            let (name, mac, carrier_losses) = (link.name.clone(), link.mac, link.carrier_losses);
            self.seen.insert(link.index, Seen { generation, since, kind, name, mac, carrier_losses });
        }
    }

    /// The interface of this index is gone, even if one of that index is seen next time.
    pub(super) fn forget(&mut self, index: u32) {
        self.seen.remove(&index);
    }

    pub(super) fn of(&self, index: u32) -> u64 {
        self.seen.get(&index).map_or(0, |one| one.generation)
    }

    /// When this one was first seen.
    pub(super) fn since(&self, index: u32) -> Option<Instant> {
        self.seen.get(&index).map(|one| one.since)
    }
}
