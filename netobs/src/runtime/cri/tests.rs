//! Whatever is behind the socket: the watcher waits, bounds, and says what it found.

use std::{
    collections::HashMap,
    convert::Infallible,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{HeaderMap, Request, Response, body::Frame, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    sync::{Notify, mpsc},
    time::{Instant, timeout},
};

mod trouble;

use super::{Cri, session::Pace, wire::*};
use crate::runtime::{
    facts::{
        RuntimeState,
        pod::{PodUpdate, RuntimePod},
    },
    follow::follow,
};

/// A socket in a directory of its own, removed at the end.
struct Place {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    wake: Arc<Notify>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("cri.sock");
        Self { _directory: directory, socket, wake: Arc::default() }
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(&self.socket).unwrap()
    }

    fn watch(&self) -> mpsc::Receiver<PodUpdate> {
        let seldom = Duration::from_secs(60);
        self.watch_at(Pace { every: seldom, alone: seldom, ..Pace::default() })
    }

    fn watch_at(&self, pace: Pace) -> mpsc::Receiver<PodUpdate> {
        let (sender, receiver) = mpsc::channel(16);
        let cri = Cri::new(vec![self.socket.clone()], Arc::clone(&self.wake), pace);
        tokio::spawn(follow(cri, sender));
        receiver
    }
}

async fn next(updates: &mut mpsc::Receiver<PodUpdate>) -> PodUpdate {
    timeout(Duration::from_secs(10), updates.recv())
        .await
        .expect("an update in time")
        .expect("a living watcher")
}

async fn state(updates: &mut mpsc::Receiver<PodUpdate>) -> RuntimeState {
    loop {
        if let PodUpdate::State(state) = next(updates).await {
            return state;
        }
    }
}

async fn pods(updates: &mut mpsc::Receiver<PodUpdate>) -> Vec<Arc<RuntimePod>> {
    loop {
        if let PodUpdate::Pods(pods) = next(updates).await {
            return pods;
        }
    }
}

/// What a call is answered with.
#[derive(Clone)]
enum Answer {
    /// A message.
    Message(Vec<u8>),
    /// These bytes, framed by the test itself.
    Raw(Vec<u8>),
    /// A status without a message.
    Status(u32),
    /// Nothing, for as long as the connection lasts.
    Silence,
    /// Messages, one each time the test says so.
    Stream(Arc<Notify>),
    /// Messages without end and without a pause; how many were taken.
    Flood(Arc<AtomicUsize>),
}

/// A server with an answer for each method; every other one is `Unimplemented`.
#[derive(Clone, Default)]
struct Server {
    /// By method, and by method and id.
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    calls: Arc<AtomicUsize>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Server {
    fn set(&self, method: &str, answer: Answer) -> &Self {
        self.answers.lock().unwrap().insert(method.to_owned(), answer);
        self
    }

    fn say(&self, method: &str, message: &impl prost::Message) -> &Self {
        self.set(method, Answer::Message(message.encode_to_vec()))
    }

    fn serve(&self, listener: UnixListener) {
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                        let server = server.clone();
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    });
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
    }

    async fn answer(&self, request: Request<hyper::body::Incoming>) -> Response<Body> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        // A question about one has its id behind the frame's head and the field's.
        let id = String::from_utf8_lossy(asked.get(7..9).unwrap_or_default()).into_owned();
        let answers = self.answers.lock().unwrap().clone();
        let answer = answers.get(&format!("{method}/{id}")).or(answers.get(&method));
        let answer = answer.cloned().unwrap_or(Answer::Status(12));
        match answer {
            Answer::Silence => std::future::pending().await,
            Answer::Status(status) => respond(vec![trailers(status)]),
            Answer::Message(message) => respond(vec![Frame::data(framed(&message)), trailers(0)]),
            Answer::Raw(bytes) => respond(vec![Frame::data(bytes.into()), trailers(0)]),
            Answer::Stream(tick) => {
                let frames = futures_util::stream::unfold(tick, |tick| async move {
                    tick.notified().await;
                    Some((Ok(Frame::data(framed(&[]))), tick))
                });
                response(StreamBody::new(frames).boxed())
            }
            Answer::Flood(taken) => {
                let frames = futures_util::stream::repeat_with(move || {
                    taken.fetch_add(1, Ordering::Relaxed);
                    Ok(Frame::data(framed(&[0; 65_536])))
                });
                response(StreamBody::new(frames).boxed())
            }
        }
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.len() as u32);
    bytes.put(message);
    bytes.freeze()
}

fn trailers(status: u32) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", status.to_string().parse().unwrap());
    headers.insert("grpc-message", "said%20the%20test".parse().unwrap());
    Frame::trailers(headers)
}

fn respond(frames: Vec<Frame<Bytes>>) -> Response<Body> {
    response(StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok))).boxed())
}

fn response(body: Body) -> Response<Body> {
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

fn sandbox(id: &str, name: &str) -> PodSandbox {
    PodSandbox {
        id: id.into(),
        metadata: Some(PodSandboxMetadata {
            name: name.into(),
            uid: format!("uid-{name}"),
            namespace: "shop".into(),
        }),
        state: SANDBOX_READY,
        created_at: 1_700_000_000_000_000_000,
        ..PodSandbox::default()
    }
}

fn list<T>(items: Vec<T>) -> List<T> {
    List { items, more: false }
}

fn status(network: i32) -> PodSandboxStatusResponse {
    PodSandboxStatusResponse {
        status: Some(PodSandboxStatus {
            id: String::new(),
            network: None,
            linux: Some(LinuxPodSandboxStatus {
                namespaces: Some(Namespace { options: Some(NamespaceOption { network }) }),
            }),
        }),
        info: HashMap::from([("info".to_owned(), "{\"pid\": 77}".to_owned())]),
    }
}

fn running(id: &str, pod: &str, name: &str) -> Container {
    Container {
        id: id.into(),
        pod_sandbox_id: pod.into(),
        metadata: Some(ContainerMetadata { name: name.into() }),
        image: Some(ImageSpec { image: "image:1".into() }),
        state: CONTAINER_RUNNING,
    }
}

/// A node with one pod of two containers and one on the host's network.
fn node() -> Server {
    let server = Server::default();
    server
        .say(
            "Version",
            &VersionResponse {
                runtime_name: "containerd".into(),
                runtime_version: "1.6.20".into(),
                runtime_api_version: "v1".into(),
            },
        )
        .say("ListPodSandbox", &list(vec![sandbox("aa", "web")]))
        .say("PodSandboxStatus", &status(0))
        .say(
            "ListContainers",
            &list(vec![
                running("c2", "aa", "sidecar"),
                running("c1", "aa", "main"),
                running("x", "zz", "lost"),
            ]),
        )
        .say(
            "ContainerStatus",
            &ContainerStatusResponse {
                info: HashMap::from([("info".to_owned(), "{\"pid\": 78}".to_owned())]),
            },
        );
    server
}

#[tokio::test]
async fn pods_come_with_their_containers_and_the_runtimes_name() {
    let place = Place::new();
    node().serve(place.listen());
    let mut updates = place.watch();
    let found = pods(&mut updates).await;
    assert_eq!(found.len(), 1);
    let pod = &found[0];
    assert_eq!((&*pod.namespace, &*pod.name, &*pod.runtime, pod.pid), ("shop", "web", "containerd", 77));
    let names: Vec<_> = pod.containers.iter().map(|one| (&*one.name, one.pid)).collect();
    assert_eq!(names, [("main", 0), ("sidecar", 0)], "processes are asked for only on the host's stack");
    let RuntimeState::Ready { runtime, version, api } = state(&mut updates).await else { panic!("ready") };
    assert_eq!((&*runtime, &*version, &*api), ("containerd", "1.6.20", "v1"));
}

#[tokio::test]
async fn on_the_hosts_stack_each_container_has_its_process() {
    let place = Place::new();
    let server = node();
    server.say("PodSandboxStatus", &status(NODE));
    server.serve(place.listen());
    let found = pods(&mut place.watch()).await;
    assert!(found[0].host_network);
    assert!(found[0].containers.iter().all(|one| one.pid == 78));
}

#[tokio::test]
async fn an_event_or_a_call_from_outside_brings_what_is_new() {
    let place = Place::new();
    let server = node();
    let tick = Arc::new(Notify::new());
    server.set("Subscribe", Answer::Stream(Arc::clone(&tick)));
    server.serve(place.listen());
    let mut updates = place.watch();
    assert_eq!(pods(&mut updates).await.len(), 1);
    let two = vec![sandbox("aa", "web"), sandbox("bb", "db")];
    server.say("ListPodSandbox", &list(two));
    tick.notify_one();
    assert_eq!(pods(&mut updates).await.len(), 2, "by an event");
    server.say("ListPodSandbox", &list::<PodSandbox>(vec![]));
    place.wake.notify_one();
    assert_eq!(pods(&mut updates).await.len(), 0, "by a call");
}

#[tokio::test]
async fn what_has_not_changed_is_neither_asked_again_nor_sent_again() {
    let place = Place::new();
    let server = node();
    server.serve(place.listen());
    let mut updates = place.watch();
    state(&mut updates).await;
    let before = server.calls.load(Ordering::Relaxed);
    place.wake.notify_one();
    assert!(timeout(Duration::from_secs(1), updates.recv()).await.is_err());
    let asked = server.calls.load(Ordering::Relaxed) - before;
    assert_eq!(asked, 2, "two lists and no status");
}

#[tokio::test]
async fn a_runtime_without_pods_is_absent_and_not_an_error() {
    let place = Place::new();
    Server::default().serve(place.listen());
    let RuntimeState::Absent { why, .. } = state(&mut place.watch()).await else { panic!("absent") };
    assert!(why.contains("runs no pods"), "{why}");
    let nowhere = Place::new();
    assert!(matches!(state(&mut nowhere.watch()).await, RuntimeState::Absent { .. }));
}

async fn trouble(server: &Server) -> String {
    let place = Place::new();
    server.serve(place.listen());
    let began = Instant::now();
    let RuntimeState::Unreachable { why, .. } = state(&mut place.watch()).await else {
        panic!("unreachable")
    };
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    why.to_string()
}

#[tokio::test]
async fn a_runtime_that_does_not_answer_is_given_up_after_two_seconds() {
    let server = node();
    server.set("ListContainers", Answer::Silence);
    assert!(trouble(&server).await.contains("within 2s"));
}

#[tokio::test]
async fn an_answer_of_a_gigabyte_is_refused_before_it_is_read() {
    let server = node();
    let head = [vec![0], (1_u32 << 30).to_be_bytes().to_vec(), vec![1, 2, 3]].concat();
    server.set("ListPodSandbox", Answer::Raw(head));
    let why = trouble(&server).await;
    assert!(why.contains("1073741824") || why.contains("too large"), "{why}");
}

#[tokio::test]
async fn frames_cut_short_and_bytes_that_are_no_message_are_trouble_of_one_line() {
    for bytes in [vec![0, 0, 0, 0, 9, 1, 2], b"\x00\x00\x00\x00\x04\xff\xff\xff\xff".to_vec(), vec![0, 0]] {
        let server = node();
        server.set("ListPodSandbox", Answer::Raw(bytes));
        let why = trouble(&server).await;
        assert!(!why.is_empty() && !why.contains('\n'), "{why}");
    }
    let server = node();
    server.set("PodSandboxStatus", Answer::Status(2));
    assert!(trouble(&server).await.contains("said the test"));
}

/// The first state said of a socket where every connection is given `reply`.
async fn first_state(reply: &'static [u8]) -> RuntimeState {
    let place = Place::new();
    let listener = place.listen();
    let stop = Arc::new(AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut head = [0; 1024];
                drop(stream.read(&mut head).await);
                drop(stream.write_all(reply).await);
                while !stop.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
    });
    state(&mut place.watch()).await
}

#[tokio::test]
async fn what_does_not_speak_http2_is_unreachable() {
    for reply in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\x00garbage"] {
        let said = first_state(reply).await;
        assert!(matches!(said, RuntimeState::Unreachable { .. }), "{said:?}");
    }
}

#[tokio::test]
async fn a_runtime_that_goes_and_returns_is_followed_again() {
    let place = Place::new();
    let server = node();
    let tick = Arc::new(Notify::new());
    server.set("Subscribe", Answer::Silence);
    let listener = place.listen();
    let (first, mut stopped) = (server.clone(), tokio::sync::oneshot::channel::<()>());
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let server = first.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::select! {
            served = http.serve_connection(TokioIo::new(stream), service) => drop(served),
            stopped = &mut stopped.1 => drop(stopped),
        }
    });
    let mut updates = place.watch();
    assert!(matches!(state(&mut updates).await, RuntimeState::Ready { .. }));
    stopped.0.send(()).unwrap();
    served.await.unwrap();
    assert!(matches!(state(&mut updates).await, RuntimeState::Unreachable { .. }));
    std::fs::remove_file(&place.socket).unwrap();
    let back = Instant::now();
    server.set("Subscribe", Answer::Stream(tick));
    server.serve(place.listen());
    while !matches!(state(&mut updates).await, RuntimeState::Ready { .. }) {}
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}
