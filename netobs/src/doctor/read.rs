//! The host → what there is to judge. Bounded: nothing here waits for longer than two seconds.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::{
    api::{Occupant, occupant},
    failure::flatten,
    host::environment::{self, Environment},
    settings::Settings,
};

/// How long Docker may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Everything that is judged.
#[derive(Debug)]
pub struct Findings {
    /// Kernel and privileges.
    pub environment: Environment,
    /// Whether the kernel knows TCX; `None` if this process may not ask.
    pub tcx: Option<bool>,
    /// Where an agent would listen.
    pub socket: PathBuf,
    /// Who does.
    pub agent: Occupant,
    /// Where Docker would listen.
    pub docker_socket: Option<PathBuf>,
    /// What it says.
    pub docker: DockerAnswer,
}

/// What Docker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerAnswer {
    /// It is not to be asked.
    Off,
    /// It is there.
    Answers,
    /// Nobody listens.
    Absent,
    /// This process may not ask.
    Denied,
    /// Somebody listens who is not Docker, or not well.
    Wrong(String),
}

/// Looks at everything.
///
/// # Errors
/// If the file system does not say who is at the socket.
pub async fn read(settings: &Settings) -> io::Result<Findings> {
    Ok(Findings {
        environment: tokio::task::spawn_blocking(environment::read).await?,
        tcx: tcx(),
        agent: occupant(&settings.socket)?,
        socket: settings.socket.clone(),
        docker: match &settings.docker_socket {
            Some(path) => docker(path).await,
            None => DockerAnswer::Off,
        },
        docker_socket: settings.docker_socket.clone(),
    })
}

/// Asks for the programs at `lo`, which changes nothing: kernels without TCX do not know the question
/// (`EINVAL`). Their version would be a guess, for distributions bring features back.
fn tcx() -> Option<bool> {
    match SchedClassifier::query_tcx("lo", TcAttachType::Ingress) {
        Ok(_) => Some(true),
        Err(ProgramError::SyscallError(error)) => match error.io_error.raw_os_error() {
            Some(libc::EINVAL) => Some(false),
            _ => None,
        },
        Err(_) => None,
    }
}

/// Docker's own question for whether it is alive.
async fn docker(path: &Path) -> DockerAnswer {
    match timeout(PATIENCE, ping(path)).await {
        Err(_) => DockerAnswer::Wrong("no answer within 2 s".to_owned()),
        Ok(Ok(first)) => {
            let mut words = first.split_whitespace();
            let protocol = words.next().unwrap_or_default();
            match words.next() {
                Some("200") if protocol.starts_with("HTTP/1.") => DockerAnswer::Answers,
                Some(status) if protocol.starts_with("HTTP/1.") => {
                    DockerAnswer::Wrong(format!("it answers {status}"))
                }
                _ => DockerAnswer::Wrong("what answers there is not Docker".to_owned()),
            }
        }
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => DockerAnswer::Absent,
            io::ErrorKind::PermissionDenied => DockerAnswer::Denied,
            _ => DockerAnswer::Wrong(flatten(&error.to_string())),
        },
    }
}

/// The first line of the answer, of which no more than 256 bytes are taken in.
async fn ping(path: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(256).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    async fn said(answer: &'static [u8]) -> DockerAnswer {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            drop(stream.read(&mut request).await);
            drop(stream.write_all(answer).await);
        });
        docker(&path).await
    }

    #[tokio::test]
    async fn docker_is_told_from_what_is_not_docker() {
        assert_eq!(said(b"HTTP/1.0 200 OK\r\n\r\nOK").await, DockerAnswer::Answers);
        assert_eq!(said(b"HTTP/1.0 500 Oh\r\n\r\n").await, DockerAnswer::Wrong("it answers 500".into()));
        assert!(matches!(said(b"\xff\xfe200 200").await, DockerAnswer::Wrong(_)));
        assert!(matches!(said(b"").await, DockerAnswer::Wrong(_)));
    }

    #[tokio::test]
    async fn a_socket_nobody_listens_at_is_absent() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(docker(&directory.path().join("none")).await, DockerAnswer::Absent);
    }
}
