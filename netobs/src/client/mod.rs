//! A socket path → an agent's documents.

mod feed;
mod resolve;
mod start;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, Response, body::Incoming, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::UnixStream, time::timeout};

pub use feed::feed;
pub use resolve::resolve;
pub use start::{Connected, connect_or_start};

use crate::failure::{Failure, flatten};

/// An agent on this host accepts at once, or not at all.
const CONNECT: Duration = Duration::from_secs(2);

/// For the first byte of an answer: rendering 65,536 flows takes a second in a build for tests.
const ANSWER: Duration = Duration::from_secs(15);

/// For the next part of a body.
const PART: Duration = Duration::from_secs(15);

/// Largest document taken in: some 200,000 flows.
const DOCUMENT: usize = 512 << 20;

/// Longest line of a stream taken in: a flow with a hundred hops has 30 KiB.
const LINE: usize = 4 << 20;

/// Longest complaint of an agent that is repeated.
const COMPLAINT: usize = 4 << 10;

/// Asks one agent. Every question has a connection of its own: there is none to break in between.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Asks the agent that listens at this path.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where the agent listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A document, as the agent wrote it.
    ///
    /// # Errors
    /// If no agent answers, the caller may not ask, the answer is not 200, or it takes too long or is too large.
    pub async fn body(&self, path: &str) -> anyhow::Result<Bytes> {
        self.read(self.ask(path).await?).await
    }

    async fn read(&self, response: Response<Incoming>) -> anyhow::Result<Bytes> {
        let body = Limited::new(response.into_body(), DOCUMENT);
        match timeout(ANSWER + PART, body.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => bail!("the agent's answer broke off: {}", flatten(&error.to_string())),
            Err(_) => bail!("the agent's answer took too long"),
        }
    }

    /// A document, read.
    ///
    /// # Errors
    /// As [`Client::body`], or if it is not of this version's schema.
    pub async fn document<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        understood(&self.body(path).await?)
    }

    /// What the agent was to do, and says about it, read.
    ///
    /// # Errors
    /// As [`Client::document`].
    pub async fn act<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.read(self.request(Method::POST, path).await?).await?;
        understood(&body)
    }

    /// Lines as they come.
    ///
    /// # Errors
    /// As [`Client::body`].
    pub async fn lines(&self, path: &str) -> anyhow::Result<Lines> {
        Ok(Lines { body: self.ask(path).await?.into_body(), buffer: BytesMut::new() })
    }

    /// Whether somebody answers at the path, and is ready.
    pub async fn is_ready(&self) -> bool {
        self.body("/readyz").await.is_ok()
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Response<Incoming>> {
        self.request(Method::GET, path).await
    }

    async fn request(&self, method: Method, path: &str) -> anyhow::Result<Response<Incoming>> {
        let stream = match timeout(CONNECT, UnixStream::connect(&self.socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.unreachable(&error)),
            Err(_) => bail!("{}: the agent does not accept", self.socket.display()),
        };
        let asking = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::trace!("the connection to the agent ended: {error}");
                }
            });
            let request = Request::builder().method(method).uri(path);
            let request = request.header(HOST, "localhost").body(Empty::<Bytes>::new())?;
            anyhow::Ok(sender.send_request(request).await?)
        };
        let response = match timeout(ANSWER, asking).await {
            Ok(response) => {
                response.with_context(|| format!("{}: no agent speaks there", self.socket.display()))?
            }
            Err(_) => bail!("{}: the agent does not answer", self.socket.display()),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = timeout(PART, Limited::new(response.into_body(), COMPLAINT).collect()).await;
        let text = body.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
        let text = flatten(&String::from_utf8_lossy(&text));
        if status == 400 {
            return Err(Failure::usage(format!("the agent does not understand the question: {text}")).into());
        }
        bail!("the agent answers {status}: {text}")
    }

    fn unreachable(&self, error: &io::Error) -> anyhow::Error {
        let path = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => NoAgent.into_error(format!(
                "no agent answers at {path}; start `netobs agent`, or name another with --agent"
            )),
            io::ErrorKind::PermissionDenied => {
                Failure::access(format!("{path}: permission denied; the agent answers root only")).into()
            }
            _ => anyhow::anyhow!("{path}: {error}"),
        }
    }
}

fn understood<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body)
        .context("the agent's answer is not understood: agent and command may be of different versions")
}

/// Marks the error of a path where nobody answers: there an agent may be started.
#[derive(Clone, Copy, Debug)]
struct NoAgent;

impl NoAgent {
    fn into_error(self, message: String) -> anyhow::Error {
        anyhow::Error::new(self).context(Failure::access(message))
    }
}

impl std::fmt::Display for NoAgent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("no agent answers")
    }
}

impl std::error::Error for NoAgent {}

/// Lines of a stream that goes on.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    buffer: BytesMut,
}

impl Lines {
    /// The next whole lines, however many have come; `None` once the agent has stopped. Safe to cancel.
    ///
    /// # Errors
    /// If the connection breaks, or a line has no end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(end) = self.buffer.iter().rposition(|&byte| byte == b'\n') {
                return Ok(Some(self.buffer.split_to(end + 1).freeze()));
            }
            if self.buffer.len() > LINE {
                bail!("the agent sends a line without an end");
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => bail!("the connection to the agent broke: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    use super::*;
    use crate::{failure, report::FlowsDocument};

    async fn against(answer: &'static [u8]) -> (tempfile::TempDir, Client) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(answer).await);
            }
        });
        (directory, Client::new(path))
    }

    #[tokio::test]
    async fn nobody_there_is_a_missing_agent_and_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let error = Client::new(directory.path().join("none")).body("/").await.unwrap_err();
        assert!(failure::one_line(&error).contains("start `netobs agent`"), "{error:#}");
        assert_eq!(failure::status(&error).code(), 3);
        assert!(error.downcast_ref::<NoAgent>().is_some());
    }

    #[tokio::test]
    async fn garbage_half_answers_and_wrong_documents_are_one_line_each() {
        let table: [(&[u8], &str); 5] = [
            (b"\x00\x01garbage\n\n", "no agent speaks there"),
            (b"", "no agent speaks there"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "broke off"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "different versions"),
            (b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nno\nw", "the agent answers 503: no w"),
        ];
        for (answer, expected) in table {
            let (_directory, client) = against(answer).await;
            let error = client.document::<FlowsDocument>("/api/v1/flows").await.unwrap_err();
            let line = failure::one_line(&error);
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }

    #[tokio::test]
    async fn a_filter_the_agent_does_not_know_is_a_usage_error() {
        let (_directory, client) = against(b"HTTP/1.1 400 Bad\r\ncontent-length: 3\r\n\r\nbad").await;
        assert_eq!(failure::status(&client.body("/").await.unwrap_err()).code(), 2);
    }

    #[tokio::test]
    async fn lines_come_whole_and_end_with_the_agent() {
        let (_directory, client) = against(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\na\nb\r\n2\r\nc\n\r\n0\r\n\r\n",
        )
        .await;
        let mut lines = client.lines("/").await.unwrap();
        let mut all = Vec::new();
        while let Some(some) = lines.next().await.unwrap() {
            assert!(some.ends_with(b"\n"));
            all.extend_from_slice(&some);
        }
        assert_eq!(all, b"a\nbc\n");
    }
}
