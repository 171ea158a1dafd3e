//! A Kubernetes API → this node's pods, all nodes, Services and whom they lead to, kept current. While the API is
//! away, what was known stays.

mod bounded;
mod client;
mod convert;
mod pauses;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{sync::mpsc::Sender, time::timeout};

use super::facts::cluster::ClusterUpdate;
use crate::settings::KubernetesAccess;

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
    let (client, _) = client::connect(access).await?;
    let version = timeout(PATIENCE, client.apiserver_version()).await.context("no answer within 2 s")?;
    Ok(version?.git_version)
}

/// Follows the API until nobody listens to `updates` any more. `node` is this node's name in the cluster.
///
/// An answer may have 64 MiB, a connection 3 s to come about; pauses between tries double from 1 s to 3 s, and to
/// 60 s once the API has been silent for two minutes.
pub async fn watch(access: Access, node: Arc<str>, updates: Sender<ClusterUpdate>) {
    watch::follow(|| client::connect(access.clone()), &node, &updates).await;
}
