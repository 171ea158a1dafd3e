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
    failure::{self, flatten},
    host::environment::{self, Environment},
    kernel, runtime,
    settings::{CriSocket, Settings},
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
    /// How many reasons the kernel has for dropping packets; why it tells of none.
    pub drop_reasons: Result<usize, &'static str>,
    /// Where an agent would listen.
    pub socket: PathBuf,
    /// Who does.
    pub agent: Occupant,
    /// Where Docker would listen.
    pub docker_socket: Option<PathBuf>,
    /// What it says.
    pub docker: Answer,
    /// Where a pod runtime would listen: the first place that runs pods, else that exists, else the first.
    pub cri_socket: Option<PathBuf>,
    /// Whether that place was named by somebody, who will miss it.
    pub cri_is_named: bool,
    /// What it says.
    pub cri: Answer,
    /// What the Kubernetes API says.
    pub kubernetes: Answer,
    /// Where libvirt's status files would be.
    pub libvirt_dir: Option<PathBuf>,
    /// Whether they can be read.
    pub libvirt: Answer,
}

/// What a runtime says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not to be asked.
    Off,
    /// It is there.
    Answers,
    /// Nobody listens, or has anything of what is asked for.
    Absent,
    /// This process may not ask.
    Denied,
    /// Somebody listens who is not the one expected, or not well.
    Wrong(String),
}

/// Looks at everything.
///
/// # Errors
/// If the file system does not say who is at the socket.
pub async fn read(settings: &Settings) -> io::Result<Findings> {
    let (cri_socket, cri) = pod_runtime(settings.cri_socket.candidates()).await;
    let libvirt_dir = settings.libvirt_dir.clone();
    Ok(Findings {
        cri,
        cri_is_named: matches!(settings.cri_socket, CriSocket::At(_)),
        cri_socket,
        kubernetes: kubernetes(settings).await,
        libvirt: match libvirt_dir.clone() {
            Some(path) => tokio::task::spawn_blocking(move || libvirt(&path)).await?,
            None => Answer::Off,
        },
        libvirt_dir,
        environment: tokio::task::spawn_blocking(environment::read).await?,
        tcx: tcx(),
        drop_reasons: tokio::task::spawn_blocking(kernel::tells_drops).await?,
        agent: occupant(&settings.socket)?,
        socket: settings.socket.clone(),
        docker: match &settings.docker_socket {
            Some(path) => docker(path).await,
            None => Answer::Off,
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

/// The socket that an agent would come to use, and what it says: the first at which somebody runs pods, else the first
/// that exists, else the first.
async fn pod_runtime(sockets: Vec<PathBuf>) -> (Option<PathBuf>, Answer) {
    let mut told = None;
    for path in sockets.iter().filter(|path| path.exists()) {
        let answer = cri(path).await;
        if answer == Answer::Answers {
            return (Some(path.clone()), answer);
        }
        told = told.or_else(|| Some((Some(path.clone()), answer)));
    }
    told.unwrap_or_else(|| match sockets.into_iter().next() {
        Some(path) => (Some(path), Answer::Absent),
        None => (None, Answer::Off),
    })
}

async fn cri(path: &Path) -> Answer {
    match UnixStream::connect(path).await.map_err(|error| error.kind()) {
        Err(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Answer::Absent,
        Err(io::ErrorKind::PermissionDenied) => return Answer::Denied,
        _ => {}
    }
    match runtime::cri::version(path).await {
        Ok(Some(_)) => Answer::Answers,
        Ok(None) => Answer::Absent,
        Err(error) => Answer::Wrong(failure::one_line(&error)),
    }
}

#[cfg(feature = "kubernetes")]
async fn kubernetes(settings: &Settings) -> Answer {
    use runtime::kubernetes::{Access, version};

    if !settings.kubeconfig.is_asked() {
        return Answer::Off;
    }
    match version(Access::of(&settings.kubeconfig)).await {
        Ok(_) => Answer::Answers,
        Err(error) => Answer::Wrong(failure::one_line(&error)),
    }
}

#[cfg(not(feature = "kubernetes"))]
async fn kubernetes(_: &Settings) -> Answer {
    Answer::Off
}

fn libvirt(directory: &Path) -> Answer {
    match runtime::guests::libvirt::read(directory) {
        None => Answer::Absent,
        Some(read) => read.trouble.map_or(Answer::Answers, |why| Answer::Wrong(flatten(&why))),
    }
}

/// Docker's own question for whether it is alive.
async fn docker(path: &Path) -> Answer {
    match timeout(PATIENCE, ping(path)).await {
        Err(_) => Answer::Wrong("no answer within 2 s".to_owned()),
        Ok(Ok(first)) => {
            let mut words = first.split_whitespace();
            let protocol = words.next().unwrap_or_default();
            match words.next() {
                Some("200") if protocol.starts_with("HTTP/1.") => Answer::Answers,
                Some(status) if protocol.starts_with("HTTP/1.") => {
                    Answer::Wrong(format!("it answers {status}"))
                }
                _ => Answer::Wrong("what answers there is not Docker".to_owned()),
            }
        }
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Answer::Absent,
            io::ErrorKind::PermissionDenied => Answer::Denied,
            _ => Answer::Wrong(flatten(&error.to_string())),
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

    async fn said(answer: &'static [u8]) -> Answer {
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
        assert_eq!(said(b"HTTP/1.0 200 OK\r\n\r\nOK").await, Answer::Answers);
        assert_eq!(said(b"HTTP/1.0 500 Oh\r\n\r\n").await, Answer::Wrong("it answers 500".into()));
        assert!(matches!(said(b"\xff\xfe200 200").await, Answer::Wrong(_)));
        assert!(matches!(said(b"").await, Answer::Wrong(_)));
    }

    #[tokio::test]
    async fn a_socket_nobody_listens_at_is_absent() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(docker(&directory.path().join("none")).await, Answer::Absent);
    }
}
