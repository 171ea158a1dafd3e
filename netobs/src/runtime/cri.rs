//! The container runtime interface (containerd, CRI-O, whoever serves a kubelet) at a unix socket → pods, kept
//! current, without the Kubernetes API. Whatever is behind the socket, this waits, bounds and says so once.
//!
//! Messages: `k8s.io/cri-api`, pkg/apis/runtime/v1/api.proto.

mod client;
mod convert;
mod events;
mod session;
mod statuses;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, mpsc::Sender};

use self::{
    session::{Pace, Session},
    statuses::Told,
};
use super::{
    facts::{RuntimeState, pod::PodUpdate},
    follow::{End, SocketFile, Source, follow},
    meter::Meter,
};

struct Cri {
    sockets: Vec<PathBuf>,
    wake: Arc<Notify>,
    pace: Pace,
    told: Arc<Told>,
    /// Where it was said that no pods are run; a socket made anew may be somebody else's.
    declined: Mutex<Vec<(PathBuf, SocketFile)>>,
}

impl Cri {
    fn new(sockets: Vec<PathBuf>, wake: Arc<Notify>, pace: Pace) -> Self {
        Self { sockets, wake, pace, told: Arc::default(), declined: Mutex::default() }
    }

    /// The first there is of those that did not decline.
    fn willing(&self) -> Option<&PathBuf> {
        let declined = self.declined.lock().unwrap_or_else(PoisonError::into_inner);
        self.sockets.iter().find(|path| {
            let file = SocketFile::read(path);
            file.exists() && !declined.iter().any(|(one, was)| one == *path && *was == file)
        })
    }
}

impl Source for Cri {
    type Update = PodUpdate;

    const WHAT: &'static str = "pod runtime";

    /// The first there is that may run pods; else the first there is; else the first that was named.
    fn socket(&self) -> PathBuf {
        let found = self.willing().or_else(|| self.sockets.iter().find(|path| path.exists()));
        found.or(self.sockets.first()).cloned().unwrap_or_default()
    }

    /// Docker's own containerd, whose pods are switched off, may stand before the one that runs pods.
    fn passes_over(&self, socket: &Path) -> bool {
        let mut declined = self.declined.lock().unwrap_or_else(PoisonError::into_inner);
        declined.retain(|(one, _)| one != socket);
        declined.push((socket.to_owned(), SocketFile::read(socket)));
        drop(declined);
        self.willing().is_some()
    }

    fn state(state: RuntimeState) -> PodUpdate {
        PodUpdate::State(state)
    }

    fn session(
        &self,
        socket: &Path,
        updates: &Sender<PodUpdate>,
        meter: &Meter,
        ready: impl FnOnce(&str) + Send,
    ) -> impl Future<Output = End> + Send {
        Session::run(socket, updates, meter, (&self.wake, self.pace), Arc::clone(&self.told), ready)
    }
}

/// Name and version of the runtime at a socket; `None` if what answers there runs no pods.
///
/// # Errors
/// Nobody answers, or not as a pod runtime would.
pub async fn version(socket: &Path) -> anyhow::Result<Option<String>> {
    let mut client = client::Client::connect(socket, &Meter::default()).await?;
    match client.version().await {
        Ok(version) => Ok(Some(format!("{} {}", version.runtime_name, version.runtime_version))),
        Err(status) if client::is_not_offered(&status) => Ok(None),
        Err(status) => Err(client::refused("Version", &status)),
    }
}

/// Follows the runtime at the first of `sockets` that exists and runs pods until nobody listens to `updates` any
/// more; looks at once when `wake` is notified. Every call is limited to 2 s and 16 MiB; pauses are those of
/// [`follow`].
pub async fn watch(sockets: Vec<PathBuf>, wake: Arc<Notify>, updates: Sender<PodUpdate>) {
    follow(Cri::new(sockets, wake, Pace::default()), updates).await;
}
