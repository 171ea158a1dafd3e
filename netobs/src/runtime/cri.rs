//! The container runtime interface (containerd, CRI-O, whoever serves a kubelet) at a unix socket → pods, kept
//! current, without the Kubernetes API. Whatever is behind the socket, this waits, bounds and says so once.
//!
//! Messages: `k8s.io/cri-api`, pkg/apis/runtime/v1/api.proto.

mod client;
mod convert;
mod events;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::{Notify, mpsc::Sender};

use self::session::{Pace, Session};
use super::{
    facts::{RuntimeState, pod::PodUpdate},
    follow::{End, Source, follow},
};

struct Cri {
    sockets: Vec<PathBuf>,
    wake: Arc<Notify>,
    pace: Pace,
}

impl Source for Cri {
    type Update = PodUpdate;

    const WHAT: &'static str = "pod runtime";

    /// The first there is; else the first that was named.
    fn socket(&self) -> PathBuf {
        let found = self.sockets.iter().find(|path| path.exists()).or(self.sockets.first());
        found.cloned().unwrap_or_default()
    }

    fn state(state: RuntimeState) -> PodUpdate {
        PodUpdate::State(state)
    }

    fn session(
        &self,
        socket: &Path,
        updates: &Sender<PodUpdate>,
        ready: impl FnOnce(&str) + Send,
    ) -> impl Future<Output = End> + Send {
        Session::run(socket, updates, &self.wake, self.pace, ready)
    }
}

/// Name and version of the runtime at a socket; `None` if what answers there runs no pods.
///
/// # Errors
/// Nobody answers, or not as a pod runtime would.
pub async fn version(socket: &Path) -> anyhow::Result<Option<String>> {
    let mut client = client::Client::connect(socket).await?;
    match client.version().await {
        Ok(version) => Ok(Some(format!("{} {}", version.runtime_name, version.runtime_version))),
        Err(status) if client::is_not_offered(&status) => Ok(None),
        Err(status) => Err(client::refused("Version", &status)),
    }
}

/// Follows the runtime at the first of `sockets` that exists until nobody listens to `updates` any more; looks at
/// once when `wake` is notified. Every call is limited to 2 s and 16 MiB; pauses are those of [`follow`].
pub async fn watch(sockets: Vec<PathBuf>, wake: Arc<Notify>, updates: Sender<PodUpdate>) {
    follow(Cri { sockets, wake, pace: Pace::default() }, updates).await;
}
