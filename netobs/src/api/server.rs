//! Connections → requests for a router, within bounds of number, size and time.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::stall::Stalling;
use crate::shutdown::Shutdown;

/// What callers may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections served at once; more are answered 503.
    pub(super) connections: usize,
    /// Connections told 503 at once; more are closed.
    pub(super) refusals: usize,
    /// Time for a request's head, and for the next one on a connection that is kept.
    pub(super) head: Duration,
    /// Time a reader may take nothing.
    pub(super) stall: Duration,
}

impl Limits {
    pub(super) const DEFAULT: Self =
        Self { connections: 64, refusals: 64, head: Duration::from_secs(5), stall: Duration::from_secs(10) };
}

/// A request's head, all headers together (hyper's least value).
const HEAD_SIZE: usize = 8 * 1024;

/// How long requests under way may take once it is time to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long accepting pauses when the process has no descriptor left.
const PAUSE: Duration = Duration::from_millis(200);

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 1\r\n\
    connection: close\r\ncontent-length: 38\r\n\r\ntoo many connections; try again later\n";

/// A byte stream, whatever it runs over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Where connections come from.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// Only callers of the same user, or root, are served.
    Unix(UnixListener),
}

impl Listener {
    /// The next caller; `None` for one who may not ask.
    async fn accept(&self) -> io::Result<Option<Box<dyn Wire>>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!("TCP_NODELAY: {error}");
                }
                Ok(Some(Box::new(stream)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                if uid == 0 || uid == nix::unistd::geteuid().as_raw() {
                    return Ok(Some(Box::new(stream)));
                }
                tracing::warn!(uid, "a user who may not ask was turned away from the local socket");
                Ok(None)
            }
        }
    }
}

/// Serves until it is time to stop, then lets requests under way finish for a moment.
pub(super) async fn serve(listener: Listener, router: Router, limits: Limits, shutdown: Shutdown) {
    let served = Arc::new(Semaphore::new(limits.connections));
    let refused = Arc::new(Semaphore::new(limits.refusals));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.wait() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok(Some(stream)) => stream,
            Ok(None) => continue,
            Err(error) => {
                // Out of descriptors, or the caller left before it was served: neither is a reason to stop.
                tracing::debug!("a connection could not be accepted: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        if let Ok(permit) = Arc::clone(&served).try_acquire_owned() {
            let (router, shutdown) = (router.clone(), shutdown.clone());
            connections.spawn(async move {
                converse(stream, router, limits, shutdown).await;
                drop(permit);
            });
        } else if let Ok(permit) = Arc::clone(&refused).try_acquire_owned() {
            connections.spawn(async move {
                if timeout(limits.head, refuse(stream)).await.is_err() {
                    tracing::trace!("a caller that was told to come later did not leave in time");
                }
                drop(permit);
            });
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(FAREWELL, all).await.is_err() {
        tracing::debug!("connections were closed with requests under way");
    }
}

async fn converse(stream: Box<dyn Wire>, router: Router, limits: Limits, shutdown: Shutdown) {
    let stream = TokioIo::new(Stalling::new(stream, limits.stall));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(stream, TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.wait() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Callers that send nonsense, or nothing, are their own business.
        tracing::trace!("a connection ended early: {error}");
    }
}

/// Says that it is too much, and waits for the caller to read it: closing with its request unread would
/// reset the connection, and the answer with it.
async fn refuse(mut stream: Box<dyn Wire>) {
    let mut request = [0; 1024];
    let told = async {
        stream.write_all(BUSY).await?;
        stream.shutdown().await?;
        let mut left = HEAD_SIZE;
        while left > 0 {
            match stream.read(&mut request).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    if let Err(error) = told.await {
        tracing::trace!("a caller left before it was told to come later: {error}");
    }
}
