//! A way to the API → a client within limits of time and size.

use std::{sync::Arc, time::Duration};

use super::{
    Access,
    bounded::{Bounds, Oversized},
    watch::WATCH,
};
use anyhow::{Context as _, Result};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};

/// Longest a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);

/// A client, and of what it was given answers too large to be taken in.
///
/// # Errors
/// There is no configuration, or it makes no sense.
pub(super) async fn connect(access: Access) -> Result<(Client, Arc<Oversized>)> {
    let mut config = match access {
        Access::InCluster => Config::incluster().context("this is no pod with a service account")?,
        Access::Kubeconfig(path) => {
            let file = Kubeconfig::read_from(&path).with_context(|| path.display().to_string())?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.with_context(|| path.display().to_string())?
        }
    };
    config.connect_timeout = Some(CONNECT);
    // A watch without news is silent until the server ends it.
    config.read_timeout = Some(Duration::from_secs(u64::from(WATCH) + 10));
    config.write_timeout = Some(Duration::from_secs(10));
    let bounds = Bounds::new();
    let builder = ClientBuilder::try_from(config).context("the connection's settings")?;
    Ok((builder.with_layer(&bounds).build(), bounds.oversized))
}
