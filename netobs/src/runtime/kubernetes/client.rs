//! A way to the API → a client within limits of time and size.

use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::Limited;
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::util::MapResponseLayer;

use super::{Access, watch::WATCH};

/// Longest a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// Largest answer, a list or a watch until it is renewed: ten thousand Services, or their slices, have some 20 MB.
const LARGEST: usize = 64 << 20;

/// A client.
///
/// # Errors
/// There is no configuration, or it makes no sense.
pub(super) async fn connect(access: Access) -> Result<Client> {
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
    let limit =
        MapResponseLayer::new(|answer: http::Response<_>| answer.map(|body| Limited::new(body, LARGEST)));
    Ok(ClientBuilder::try_from(config).context("the connection's settings")?.with_layer(&limit).build())
}
