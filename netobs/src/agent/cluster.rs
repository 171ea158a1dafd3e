//! Whether and how the Kubernetes API is asked.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    runtime::facts::cluster::ClusterUpdate,
    settings::{KubernetesAccess, Settings},
};

/// Whether it is asked at all.
pub(super) fn is_asked(settings: &Settings) -> bool {
    if !cfg!(feature = "kubernetes") {
        return false;
    }
    match settings.kubeconfig {
        KubernetesAccess::Off => false,
        KubernetesAccess::Kubeconfig(_) => true,
        // What every pod has that may find the API (kubelet's service environment).
        KubernetesAccess::Auto => std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
    }
}

/// Starts to ask. Where it is not to be asked, nothing ever comes.
#[cfg(feature = "kubernetes")]
pub(super) fn start(settings: &Settings, node: &Arc<str>) -> mpsc::Receiver<ClusterUpdate> {
    use crate::runtime::kubernetes::{self, Access};

    let (updates, receiver) = mpsc::channel(4);
    if is_asked(settings) {
        let access = match &settings.kubeconfig {
            KubernetesAccess::Kubeconfig(path) => Access::Kubeconfig(path.clone()),
            _ => Access::InCluster,
        };
        tokio::spawn(kubernetes::watch(access, Arc::clone(node), updates));
    }
    receiver
}

/// Built without the feature `kubernetes`.
#[cfg(not(feature = "kubernetes"))]
pub(super) fn start(_: &Settings, _: &Arc<str>) -> mpsc::Receiver<ClusterUpdate> {
    mpsc::channel(1).1
}
