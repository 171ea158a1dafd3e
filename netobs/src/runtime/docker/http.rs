//! A path of the Engine API → its reply, over a unix socket, bounded in time and size.
//!
//! Own, and not a client library: those read replies of any length into memory, and whatever answers at
//! the socket may be broken or hostile. hyper parses; the limits are here.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode,
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, task::AbortHandle, time::timeout};

use crate::{identity::text, runtime::meter::Meter};

/// Longest a call may take, from connecting to the last byte of the reply.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest head of a reply.
const HEAD_LIMIT: usize = 16 * 1024;
/// Longest part of an error's text that is kept.
const MESSAGE_LIMIT: usize = 200;

/// Connects to one socket, and keeps the connection between calls.
pub(super) struct Client {
    socket: PathBuf,
    meter: Meter,
    open: Option<Connection>,
}

/// The reply to a call.
#[derive(Debug)]
pub(super) enum Reply {
    /// 200, with its body.
    Found(Bytes),
    /// 404: what was asked for is gone.
    NotFound,
}

impl Client {
    pub(super) fn new(socket: &Path, meter: &Meter) -> Self {
        Self { socket: socket.to_owned(), meter: meter.clone(), open: None }
    }

    /// `GET path`, whole reply, at most `limit` bytes.
    ///
    /// # Errors
    /// No connection, no complete reply within [`CALL_TIMEOUT`], a longer reply, or another status.
    pub(super) async fn get(&mut self, path: &str, limit: usize) -> Result<Reply> {
        let reply = timeout(CALL_TIMEOUT, self.exchange(path, limit)).await;
        match reply {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => {
                self.open = None;
                Err(error.context(format!("GET {path}")))
            }
            Err(_) => {
                self.open = None;
                bail!("GET {path}: no complete reply within {} s", CALL_TIMEOUT.as_secs())
            }
        }
    }

    /// `GET path` on a connection of its own, whose body is read by the caller as it comes.
    ///
    /// # Errors
    /// No connection, no head of a reply within [`CALL_TIMEOUT`], or a status other than 200.
    pub(super) async fn stream(&self, path: &str) -> Result<Stream> {
        let opened = timeout(CALL_TIMEOUT, async {
            let mut connection = Connection::open(&self.socket, &self.meter).await?;
            let reply = connection.send(path).await?;
            if reply.status() != StatusCode::OK {
                let status = reply.status();
                bail!("{status}: {}", message(reply.into_body()).await);
            }
            Ok(Stream { body: reply.into_body(), _connection: connection })
        });
        match opened.await {
            Ok(stream) => stream.with_context(|| format!("GET {path}")),
            Err(_) => bail!("GET {path}: no reply within {} s", CALL_TIMEOUT.as_secs()),
        }
    }

    async fn exchange(&mut self, path: &str, limit: usize) -> Result<Reply> {
        let mut connection = match self.open.take() {
            Some(kept) => kept.or_open(&self.socket, &self.meter).await?,
            None => Connection::open(&self.socket, &self.meter).await?,
        };
        let reply = connection.send(path).await?;
        let status = reply.status();
        match status {
            StatusCode::OK => {
                let body = collect(reply.into_body(), limit).await?;
                self.open = Some(connection);
                Ok(Reply::Found(body))
            }
            StatusCode::NOT_FOUND => Ok(Reply::NotFound),
            _ => bail!("{status}: {}", message(reply.into_body()).await),
        }
    }
}

/// A reply whose body has no end.
pub(super) struct Stream {
    body: Incoming,
    _connection: Connection,
}

impl Stream {
    /// The next piece, `None` at the end. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.context("reading the event stream")?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    driver: AbortHandle,
}

impl Connection {
    async fn open(socket: &Path, meter: &Meter) -> Result<Self> {
        let stream = UnixStream::connect(socket).await.context("connecting")?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .max_headers(64)
            .handshake(TokioIo::new(stream))
            .await
            .context("starting HTTP")?;
        let meter = meter.clone();
        let driver = tokio::spawn(async move {
            if let Err(error) = meter.time(connection).await {
                tracing::debug!(%error, "runtime connection ended");
            }
        });
        Ok(Self { sender, driver: driver.abort_handle() })
    }

    /// This connection, or a new one if the other side has closed it since the last call.
    async fn or_open(mut self, socket: &Path, meter: &Meter) -> Result<Self> {
        if self.sender.ready().await.is_ok() { Ok(self) } else { Self::open(socket, meter).await }
    }

    async fn send(&mut self, path: &str) -> Result<hyper::Response<Incoming>> {
        self.sender.ready().await.context("sending")?;
        let request = Request::get(path)
            .header("host", "localhost")
            .header("user-agent", concat!("netobs/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .context("making a request")?;
        self.sender.send_request(request).await.context("waiting for a reply")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A whole body, refused before it is read if it announces more than `limit` bytes.
async fn collect(body: Incoming, limit: usize) -> Result<Bytes> {
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        bail!("a reply of {announced} bytes, more than the {limit} that are read");
    }
    let collected = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|error| anyhow!("reading the reply (at most {limit} bytes): {error}"))?;
    Ok(collected.to_bytes())
}

/// What the other side said about its error, short and clean.
async fn message(body: Incoming) -> String {
    match collect(body, 64 * 1024).await {
        Ok(bytes) => text::clean_to(&String::from_utf8_lossy(&bytes), MESSAGE_LIMIT),
        Err(_) => "no message".to_owned(),
    }
}
