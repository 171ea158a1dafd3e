//! A Kubernetes API → this node's pods, all nodes, Services and whom they lead to, kept current. While the API is
//! away, what was known stays.

mod client;
mod convert;
mod pauses;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::{path::PathBuf, sync::Arc};

use tokio::sync::mpsc::Sender;

use super::facts::cluster::ClusterUpdate;

/// Where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Where a pod finds it: a service account's token and the environment.
    InCluster,
    /// As a kubeconfig file says.
    Kubeconfig(PathBuf),
}

/// Follows the API until nobody listens to `updates` any more. `node` is this node's name in the cluster.
///
/// An answer may have 64 MiB, a connection 3 s to come about; pauses between tries double from 1 s to 3 s, and to
/// 60 s once the API has been silent for two minutes.
pub async fn watch(access: Access, node: Arc<str>, updates: Sender<ClusterUpdate>) {
    watch::follow(|| client::connect(access.clone()), &node, &updates).await;
}
