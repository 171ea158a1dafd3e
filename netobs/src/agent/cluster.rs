//! Whether and how the Kubernetes API is asked.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{runtime::facts::cluster::ClusterUpdate, settings::Settings};

/// Starts to ask. Where it is not to be asked, nothing ever comes.
#[cfg(feature = "kubernetes")]
pub(super) fn start(settings: &Settings, node: &Arc<str>) -> mpsc::Receiver<ClusterUpdate> {
    let (updates, receiver) = mpsc::channel(4);
    if settings.kubeconfig.is_asked() {
        let access = crate::runtime::kubernetes::Access::of(&settings.kubeconfig);
        tokio::spawn(crate::runtime::kubernetes::watch(access, Arc::clone(node), updates));
    }
    receiver
}

/// Built without the feature `kubernetes`.
#[cfg(not(feature = "kubernetes"))]
pub(super) fn start(_: &Settings, _: &Arc<str>) -> mpsc::Receiver<ClusterUpdate> {
    mpsc::channel(1).1
}
