//! What a pod runtime says about its pods, as plain data. No I/O.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;

use super::RuntimeState;

/// A pod whose sandbox runs. Text has passed [`crate::identity::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimePod {
    /// The sandbox's id.
    pub sandbox: Arc<str>,
    /// The pod's UID.
    pub uid: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it is an instance of, guessed from its labels and name.
    pub workload: Option<Arc<str>>,
    /// Who runs it: `containerd`, `cri-o`.
    pub runtime: Arc<str>,
    /// When the sandbox was made.
    pub created_at: Option<Timestamp>,
    /// Whether it uses the host's network stack.
    pub host_network: bool,
    /// The sandbox's first process, as the host numbers it; 0 if the runtime does not say.
    pub pid: u32,
    /// Where the runtime keeps its network namespace, if it says so.
    pub netns: Option<Arc<str>>,
    /// Whether somebody asked netobs not to show it.
    pub ignored: bool,
    /// Its addresses; none on the host's stack.
    pub addresses: Vec<IpAddr>,
    /// Its running containers, by name.
    pub containers: Vec<PodContainer>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodContainer {
    /// Its name in the pod.
    pub name: Arc<str>,
    /// Its id.
    pub id: Arc<str>,
    /// Its image.
    pub image: Arc<str>,
    /// Its first process; asked for only where the pod is on the host's stack, else 0.
    pub pid: u32,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodUpdate {
    /// The runtime answers, or no longer does.
    State(RuntimeState),
    /// Everything that runs.
    Pods(Vec<Arc<RuntimePod>>),
}

/// What is known of one pod runtime: the sum of its updates.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// Whether it answers; `None` before the first try.
    pub state: Option<RuntimeState>,
    /// What runs, by sandbox. Kept as it was while the runtime does not answer: pods outlive it.
    pub by_sandbox: BTreeMap<Arc<str>, Arc<RuntimePod>>,
}

impl Pods {
    /// Takes an update in.
    pub fn apply(&mut self, update: PodUpdate) {
        match update {
            PodUpdate::State(state) => self.state = Some(state),
            PodUpdate::Pods(all) => {
                self.by_sandbox = all.into_iter().map(|one| (Arc::clone(&one.sandbox), one)).collect();
            }
        }
    }
}
