//! Interfaces inside endpoints' network stacks, where the operator asked for them (`--inside`): programs on each, so
//! that an endpoint's loopback and its macvlan interface are hops too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};

use netobs_common::{
    inner::InnerKey,
    interface::{Interface, Role},
};

use super::{interfaces, observer::Observer};
use crate::{
    failure,
    host::facts::{Link, LinkKind},
    identity::{endpoint::Endpoint, observed::Namespace},
    kernel,
    runtime::namespaces,
};

/// Interfaces attached to in one round: each holds the agent up for the kernel's grace periods, some 25 ms.
const AT_ONCE: usize = 8;
/// When attaching is tried again after it failed.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What is observed inside.
#[derive(Default)]
pub(super) struct Inside {
    placed: BTreeMap<InnerKey, Placed>,
    failed: HashMap<InnerKey, Instant>,
    /// Why something could not be attached to, the latest reason.
    pub(super) refused: Option<Arc<str>>,
}

struct Placed {
    number: u32,
    told: Interface,
}

/// One interface that is to be observed.
struct Wanted<'a> {
    key: InnerKey,
    namespace: &'a Namespace,
    link: &'a Link,
    told: Interface,
}

impl Observer {
    /// Attaches to what appeared, lets go of what went, and tells the kernel side what changed.
    pub(super) fn place_inside(&mut self) {
        if !self.settings.inside {
            return;
        }
        let endpoints = self.registry.endpoints();
        let by_namespace: HashMap<u64, &Arc<Endpoint>> =
            endpoints.iter().filter_map(|one| Some((one.netns?, one))).collect();
        let mut wanted = Vec::new();
        for namespace in &self.namespaces {
            let Some(endpoint) = by_namespace.get(&namespace.inode) else { continue };
            let segment = self.segment_of(endpoint);
            for link in &namespace.links {
                let Some(role) = role(link) else { continue };
                let Ok(inode) = u32::try_from(namespace.inode) else { continue };
                let told = Interface {
                    owner: endpoint.number,
                    owner_kind: endpoint.kind,
                    segment,
                    role,
                    link_layer: interfaces::link_layer(link),
                    inside: 1,
                    ..Interface::default()
                };
                wanted.push(Wanted {
                    key: InnerKey { namespace: inode, index: link.index },
                    namespace,
                    link,
                    told,
                });
            }
        }
        let living: BTreeSet<InnerKey> = wanted.iter().map(|one| one.key).collect();
        let Self { inside, kernel, collector, .. } = self;
        inside.failed.retain(|key, _| living.contains(key));
        inside.placed.retain(|key, placed| {
            let lives = living.contains(key);
            if !lives {
                kernel.detach_inside(key);
                if let Some(one) = collector.interfaces.get_mut(placed.number) {
                    one.alive = false;
                }
            }
            lives
        });
        let mut left = AT_ONCE;
        for Wanted { key, namespace, link, told } in wanted {
            if let Some(placed) = inside.placed.get_mut(&key) {
                let told = Interface { id: placed.number, ..told };
                if placed.told != told && kernel.set_inside(key, told).is_ok() {
                    placed.told = told;
                    if let Some(one) = collector.interfaces.get_mut(placed.number) {
                        one.kernel = told;
                    }
                }
                continue;
            }
            if left == 0 || inside.failed.get(&key).is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
                continue;
            }
            left -= 1;
            let number = collector.interfaces.begin(link.index, &link.name);
            let told = Interface { id: number, ..told };
            let attached = File::open(namespaces::file_of(namespace))
                .map_err(anyhow::Error::from)
                .and_then(|file| kernel.attach_inside(&file, key, &link.name, told));
            let observed = collector.interfaces.get_mut(number);
            match attached {
                Ok(()) => {
                    inside.failed.remove(&key);
                    inside.placed.insert(key, Placed { number, told });
                    if let Some(one) = observed {
                        (one.kernel, one.since) = (told, kernel::monotonic_now());
                    }
                    tracing::debug!(interface = %link.name, namespace = key.namespace, "attached inside");
                }
                Err(error) => {
                    let why: Arc<str> = failure::one_line(&error).into();
                    tracing::debug!(interface = %link.name, namespace = key.namespace, %why, "not observed inside");
                    if inside.refused.is_none() {
                        tracing::warn!(%why, "not every interface inside endpoints is observed");
                    }
                    inside.refused = Some(why);
                    inside.failed.insert(key, Instant::now());
                    if let Some(one) = observed {
                        one.alive = false;
                    }
                }
            }
        }
    }

    /// The segment of the host in which an endpoint's addresses mean something.
    fn segment_of(&self, endpoint: &Endpoint) -> u32 {
        let own = endpoint.interfaces.iter().find(|one| one.own && one.index != 0);
        own.and_then(|one| self.placed.get(&one.index)).map_or(0, |placed| placed.told.segment)
    }
}

/// What an interface inside is for; `None` for kinds that no packet of the endpoint's travels by.
fn role(link: &Link) -> Option<Role> {
    match link.kind {
        _ if !link.up => None,
        LinkKind::Loopback => Some(Role::LOOPBACK),
        LinkKind::Veth => Some(Role::VETH),
        LinkKind::Macvlan | LinkKind::Ipvlan => Some(Role::MACVLAN),
        _ => None,
    }
}
