//! Settings → the three listeners, bound before anything is attached, and their service.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::net::TcpListener;

use super::{
    routes,
    server::{Limits, Listener, serve},
    socket::{self, SocketFile},
    state::Faces,
};
use crate::{failure::Failure, settings::Settings, shutdown::Shutdown};

/// Everything the agent listens on.
#[derive(Debug)]
pub struct Listeners {
    metrics: Listener,
    web: Listener,
    local: Listener,
    file: SocketFile,
    /// Where the metrics are, with the port the kernel chose if it was left to it.
    pub metrics_address: SocketAddr,
    /// Where the JSON API is.
    pub web_address: SocketAddr,
}

impl Listeners {
    /// Binds all of them, or none. Must be called inside the runtime that serves them.
    ///
    /// # Errors
    /// A line that names the setting whose address cannot be had.
    pub async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let metrics = tcp("metrics-listen", settings.metrics_listen).await?;
        let web = tcp("web-listen", settings.web_listen).await?;
        let (local, file) = socket::bind(&settings.socket)?;
        Ok(Self {
            metrics_address: metrics.local_addr().context("the metrics' address is not known")?,
            web_address: web.local_addr().context("the API's address is not known")?,
            metrics: Listener::Tcp(metrics),
            web: Listener::Tcp(web),
            local: Listener::Unix(local),
            file,
        })
    }

    /// Serves until it is time to stop; then the socket file is gone.
    pub async fn serve(self, faces: Arc<Faces>, shutdown: Shutdown) {
        let limits = Limits::DEFAULT;
        let pulse = async {
            tokio::select! { () = faces.listen() => (), () = shutdown.wait() => () }
        };
        tokio::join!(
            pulse,
            serve(self.metrics, routes::metrics(Arc::clone(&faces)), limits, shutdown.clone()),
            serve(self.web, routes::web(Arc::clone(&faces)), limits, shutdown.clone()),
            serve(self.local, routes::local(Arc::clone(&faces)), limits, shutdown.clone()),
        );
        drop(self.file);
    }
}

async fn tcp(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            Failure::usage(format!("--{flag} {address}: something else listens there; choose another port"))
                .into()
        }
        io::ErrorKind::AddrNotAvailable => {
            Failure::usage(format!("--{flag} {address}: this host does not have that address")).into()
        }
        io::ErrorKind::PermissionDenied => {
            Failure::access(format!("--{flag} {address}: this user may not listen on that port")).into()
        }
        _ => anyhow::Error::new(error).context(format!("--{flag} {address}")),
    })
}
