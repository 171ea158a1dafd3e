//! The Engine API (Docker, podman) at a unix socket → a stream of updates that never ends: containers,
//! and whether the runtime answers. Whatever is behind the socket, this waits, bounds and says so once.

mod convert;
mod events;
#[cfg(test)]
mod fixtures;
mod http;
mod session;
mod wire;

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use tokio::sync::mpsc::Sender;

use self::session::Session;
use super::{
    facts::{RuntimeState, RuntimeUpdate},
    follow::{End, Source, follow},
    meter::Meter,
};

struct Engine {
    socket: PathBuf,
}

impl Source for Engine {
    type Update = RuntimeUpdate;

    const WHAT: &'static str = "container runtime";

    fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    fn state(state: RuntimeState) -> RuntimeUpdate {
        RuntimeUpdate::State(state)
    }

    fn session(
        &self,
        socket: &Path,
        updates: &Sender<RuntimeUpdate>,
        meter: &Meter,
        ready: impl FnOnce(&str) + Send,
    ) -> impl Future<Output = End> + Send {
        Session::run(socket, updates, meter, |dialect| ready(&dialect.version))
    }
}

/// Follows the runtime at `socket` until nobody listens to `updates` any more. Every call is limited to 2 s and
/// a number of bytes; pauses are those of [`follow`].
pub async fn watch(socket: PathBuf, updates: Sender<RuntimeUpdate>) {
    follow(Engine { socket }, updates).await;
}

#[cfg(test)]
#[path = "docker/tests.rs"]
mod tests;
