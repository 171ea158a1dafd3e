//! What a runtime says about its containers, as plain data. No I/O.

pub mod cluster;
pub mod guest;
pub mod pod;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;

/// A running container. Text has passed [`crate::identity::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeContainer {
    /// Its 64 hexadecimal digits.
    pub id: Arc<str>,
    /// Its name, without the leading slash.
    pub name: Arc<str>,
    /// The image as it was asked for.
    pub image: Arc<str>,
    /// Who runs it.
    pub runtime: RuntimeName,
    /// Its first process, as the runtime's process namespace numbers it.
    pub pid: u32,
    /// When that process started.
    pub started_at: Option<Timestamp>,
    /// The few labels that mean something here: see [`is_useful_label`].
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// As the runtime says it: `default`, `bridge`, `host`, `none`, `container:ID`, or a network's name.
    pub network_mode: Arc<str>,
    /// The networks it is attached to, by name.
    pub networks: Vec<RuntimeNetwork>,
    /// Ports of the host that lead to it.
    pub ports: Vec<PublishedPort>,
    /// Where the runtime keeps its network namespace, if it says so.
    pub sandbox_key: Option<Arc<str>>,
}

impl RuntimeContainer {
    /// The container whose network stack it shares, as the runtime names it (an id, seldom a name).
    #[must_use]
    pub fn joined(&self) -> Option<&str> {
        self.network_mode.strip_prefix("container:")
    }

    /// Whether it uses the host's network stack.
    #[must_use]
    pub fn is_host_network(&self) -> bool {
        &*self.network_mode == "host"
    }

    /// The first twelve digits, as `docker ps` shows them.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// A label's value.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&Arc<str>> {
        self.labels.get(name)
    }
}

/// One attachment of a container to a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeNetwork {
    /// The network's name.
    pub name: Arc<str>,
    /// The network's id.
    pub id: Arc<str>,
    /// `bridge`, `macvlan`, `ipvlan`, `overlay`, `host`, `null` …; empty if the runtime did not list it.
    pub driver: Arc<str>,
    /// The bridge it is switched by, on the runtime's host.
    pub bridge_interface: Option<Arc<str>>,
    /// The device below it (macvlan, ipvlan).
    pub parent: Option<Arc<str>>,
    /// The container's IPv4 address.
    pub address: Option<IpAddr>,
    /// The container's global IPv6 address.
    pub address6: Option<IpAddr>,
    /// Prefix length of `address`.
    pub prefix: u8,
    /// The container's hardware address; ipvlan shares its parent's and has none.
    pub mac: Option<[u8; 6]>,
    /// Where its default route leads.
    pub gateway: Option<IpAddr>,
}

/// A port of the host that leads to a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishedPort {
    /// The host's address; unspecified for all of them.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// Who answers at the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuntimeName {
    /// Docker Engine.
    Docker,
    /// Podman, by the same API.
    Podman,
}

impl RuntimeName {
    /// The word in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// Whether a runtime answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeState {
    /// There is no socket, or who answers there says that it has nothing of what is asked for.
    Absent {
        /// Since when (wall clock: it is shown, not computed with).
        since: Timestamp,
        /// What was found instead, one line.
        why: Arc<str>,
    },
    /// There is a socket, and what is behind it does not answer as it should.
    Unreachable {
        /// Since when.
        since: Timestamp,
        /// What went wrong, one line.
        why: Arc<str>,
    },
    /// It answers, and events are followed.
    Ready {
        /// Who, by its own name: `docker`, `podman`, `containerd`, `cri-o`.
        runtime: Arc<str>,
        /// Its version.
        version: Arc<str>,
        /// The API version spoken with it.
        api: Arc<str>,
    },
}

impl RuntimeState {
    /// The label of `netobs_identity_sources`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Absent { .. } => "absent",
            Self::Unreachable { .. } => "failing",
            Self::Ready { .. } => "ready",
        }
    }
}

/// What changed at a runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeUpdate {
    /// It answers, or no longer does.
    State(RuntimeState),
    /// Everything that runs.
    Containers(Vec<Arc<RuntimeContainer>>),
    /// One container started or changed.
    Changed(Arc<RuntimeContainer>),
    /// One container no longer runs.
    Gone(Arc<str>),
}

/// What is known of one runtime: the sum of its updates.
#[derive(Clone, Debug, Default)]
pub struct Containers {
    /// Whether it answers; `None` before the first try.
    pub state: Option<RuntimeState>,
    /// What runs, by id. Kept as it was while the runtime does not answer: its containers need not have
    /// stopped (live restore), and what has stopped loses its interfaces.
    pub by_id: BTreeMap<Arc<str>, Arc<RuntimeContainer>>,
}

impl Containers {
    /// Takes an update in.
    pub fn apply(&mut self, update: RuntimeUpdate) {
        match update {
            RuntimeUpdate::State(state) => self.state = Some(state),
            RuntimeUpdate::Containers(all) => {
                self.by_id = all.into_iter().map(|one| (Arc::clone(&one.id), one)).collect();
            }
            RuntimeUpdate::Changed(one) => {
                self.by_id.insert(Arc::clone(&one.id), one);
            }
            RuntimeUpdate::Gone(id) => {
                self.by_id.remove(&id);
            }
        }
    }
}

/// Whether a label is kept: compose's project and service, and whatever is addressed to netobs.
#[must_use]
pub fn is_useful_label(name: &str) -> bool {
    matches!(
        name,
        "com.docker.compose.project"
            | "com.docker.compose.service"
            | "io.podman.compose.project"
            | "io.podman.compose.service"
    ) || name.starts_with("netobs.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, name: &str) -> Arc<RuntimeContainer> {
        Arc::new(RuntimeContainer {
            id: id.into(),
            name: name.into(),
            image: "image".into(),
            runtime: RuntimeName::Docker,
            pid: 1,
            started_at: None,
            labels: BTreeMap::new(),
            network_mode: "default".into(),
            networks: Vec::new(),
            ports: Vec::new(),
            sandbox_key: None,
        })
    }

    #[test]
    fn containers_stay_known_while_the_runtime_does_not_answer() {
        let mut known = Containers::default();
        known.apply(RuntimeUpdate::Containers(vec![container("a", "web")]));
        known.apply(RuntimeUpdate::State(RuntimeState::Unreachable {
            since: Timestamp::UNIX_EPOCH,
            why: "gone".into(),
        }));
        assert_eq!(known.by_id.len(), 1);
    }

    #[test]
    fn a_full_list_forgets_what_it_does_not_name() {
        let mut known = Containers::default();
        known.apply(RuntimeUpdate::Changed(container("a", "web")));
        known.apply(RuntimeUpdate::Containers(vec![container("b", "db")]));
        assert_eq!(known.by_id.keys().map(|id| &**id).collect::<Vec<_>>(), ["b"]);
        known.apply(RuntimeUpdate::Gone("b".into()));
        assert!(known.by_id.is_empty());
    }

    #[test]
    fn a_joined_container_names_the_other() {
        let mut sidecar = (*container("a", "sidecar")).clone();
        sidecar.network_mode = "container:abc".into();
        assert_eq!(sidecar.joined(), Some("abc"));
    }
}
