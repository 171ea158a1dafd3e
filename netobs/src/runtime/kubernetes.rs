//! A Kubernetes API → this node's pods, all nodes, Services and whom they lead to, kept current. While the API is
//! away, what was known stays.

mod bounded;
mod client;
mod convert;
mod health;
mod pauses;
mod scan;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::{
    runtime::Builder,
    sync::{mpsc::Sender, oneshot},
    time::timeout,
};

use super::facts::{RuntimeState, cluster::ClusterUpdate};
use crate::{failure, settings::KubernetesAccess};

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Where a pod finds it: a service account's token and the environment.
    InCluster,
    /// As a kubeconfig file says.
    Kubeconfig(PathBuf),
}

impl Access {
    /// As the settings have it.
    #[must_use]
    pub fn of(settings: &KubernetesAccess) -> Self {
        match settings {
            KubernetesAccess::Kubeconfig(path) => Self::Kubeconfig(path.clone()),
            KubernetesAccess::Auto | KubernetesAccess::Off => Self::InCluster,
        }
    }
}

/// The API's version.
///
/// # Errors
/// There is no way to it, or it does not answer as it should within two seconds.
pub async fn version(access: Access) -> anyhow::Result<String> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let ask = async {
        let client = client::connect(access, Arc::default()).await?;
        anyhow::Ok(client.apiserver_version().await?.git_version)
    };
    timeout(PATIENCE, ask).await.context("no answer within 2 s")?
}

/// Follows the API until nobody listens to `updates` any more, on a thread of its own: to read a large list takes
/// long, and a program that the kubeconfig names for credentials may take for ever. `node` is this node's name in
/// the cluster.
///
/// An answer may have 64 MiB, a list a minute, a connection 3 s to come about; pauses between tries double from 1 s
/// to 3 s, and to 60 s once the API has been silent for ten minutes, and are longer where what was read in vain took long.
pub async fn watch(access: Access, node: Arc<str>, updates: Sender<ClusterUpdate>) {
    let (ends, ended) = oneshot::channel::<()>();
    if let Err(error) = start(access, node, updates.clone(), ends) {
        let why = failure::one_line(&error);
        tracing::warn!(%why, "the Kubernetes API is not asked");
        let state = RuntimeState::Unreachable { since: Timestamp::now(), why: why.into() };
        // Nobody may listen any more.
        updates.send(ClusterUpdate::State(state)).await.ok();
    }
    // It says nothing, it only ends.
    ended.await.ok();
}

fn start(
    access: Access,
    node: Arc<str>,
    updates: Sender<ClusterUpdate>,
    ends: oneshot::Sender<()>,
) -> anyhow::Result<()> {
    let runtime =
        Builder::new_current_thread().enable_all().build().context("no runtime for the Kubernetes API")?;
    let body = move || {
        let health = Arc::default();
        let connect = || client::connect(access.clone(), Arc::clone(&health));
        runtime.block_on(watch::follow(connect, &health, &node, &updates));
        drop(ends);
    };
    thread::Builder::new()
        .name("kubernetes".into())
        .spawn(body)
        .context("no thread for the Kubernetes API")?;
    Ok(())
}
