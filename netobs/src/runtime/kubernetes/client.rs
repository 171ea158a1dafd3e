//! A way to the API → a client within limits of time and size.

use std::{sync::Arc, thread, time::Duration};

use super::{Access, bounded::Bounds, health::Health, watch::WATCH};
use anyhow::{Context as _, Result};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{runtime::Handle, sync::oneshot};

/// Longest a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);

/// A client, made on a thread of its own: a kubeconfig may name a program that is asked for credentials, and for that
/// the library waits without end. Whoever gives up waiting leaves the thread behind.
///
/// # Errors
/// There is no configuration, or it makes no sense.
pub(super) async fn connect(access: Access, health: Arc<Health>) -> Result<Client> {
    let (made, client) = oneshot::channel();
    let runtime = Handle::current();
    // Nobody may be waiting any more.
    let make = move || drop(made.send(runtime.block_on(client_of(access, &health))));
    thread::Builder::new().name("kubeconfig".into()).spawn(make).context("no thread for the kubeconfig")?;
    client.await.context("the kubeconfig could not be read")?
}

async fn client_of(access: Access, health: &Arc<Health>) -> Result<Client> {
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
    let builder = ClientBuilder::try_from(config).context("the connection's settings")?;
    Ok(builder.with_layer(&Bounds::new(health)).build())
}
