//! Whatever is behind the socket: the watcher waits, bounds, and says what it found.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{broadcast, mpsc},
    time::{Instant, timeout},
};

use super::{
    Engine,
    fixtures::{INSPECT, NETWORKS, VERSION, WEB},
    watch,
};
use crate::runtime::{
    facts::{RuntimeState, RuntimeUpdate},
    follow::SocketFile,
};

/// A socket in a directory of its own, removed at the end.
struct Place {
    _directory: tempfile::TempDir,
    socket: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        Self { _directory: directory, socket }
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(&self.socket).unwrap()
    }

    fn watch(&self) -> mpsc::Receiver<RuntimeUpdate> {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(watch(self.socket.clone(), sender));
        receiver
    }
}

async fn next(updates: &mut mpsc::Receiver<RuntimeUpdate>) -> RuntimeUpdate {
    timeout(Duration::from_secs(8), updates.recv())
        .await
        .expect("an update in time")
        .expect("a living watcher")
}

/// The first thing said about a socket where every connection is given `reply` and then `linger`s.
async fn first_state(reply: &'static [u8], linger: Duration) -> (RuntimeState, Duration) {
    let place = Place::new();
    let listener = place.listen();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 1024];
                if stream.read(&mut head).await.is_ok() && stream.write_all(reply).await.is_ok() {
                    tokio::time::sleep(linger).await;
                }
            });
        }
    });
    let began = Instant::now();
    let RuntimeUpdate::State(state) = next(&mut place.watch()).await else { panic!("a state comes first") };
    (state, began.elapsed())
}

fn why(state: &RuntimeState) -> &str {
    match state {
        RuntimeState::Unreachable { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_socket_is_absent_and_not_an_error() {
    let place = Place::new();
    let first = next(&mut place.watch()).await;
    assert!(matches!(first, RuntimeUpdate::State(RuntimeState::Absent { .. })), "{first:?}");
}

#[tokio::test]
async fn a_file_that_nobody_listens_at_is_unreachable() {
    let place = Place::new();
    drop(place.listen());
    let RuntimeUpdate::State(state) = next(&mut place.watch()).await else { panic!("a state comes first") };
    assert!(why(&state).contains("connecting"), "{state:?}");
}

#[tokio::test]
async fn a_silent_socket_is_given_up_after_two_seconds() {
    let (state, took) = first_state(b"", Duration::from_secs(60)).await;
    assert!(why(&state).contains("within 2 s"), "{state:?}");
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn garbage_is_unreachable_at_once() {
    for garbage in
        [&b"\x00\xff\xfe\x01garbage\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n\r\n[]"]
    {
        let (state, took) = first_state(garbage, Duration::ZERO).await;
        assert!(!why(&state).is_empty() && took < Duration::from_secs(1), "{state:?} {took:?}");
    }
}

#[tokio::test]
async fn a_truncated_reply_is_unreachable() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"ApiVersion\":\"1.4";
    let (state, _) = first_state(cut, Duration::ZERO).await;
    assert!(why(&state).contains("reading the reply"), "{state:?}");
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"ApiVersion\":\"1.4";
    let (state, _) = first_state(short, Duration::ZERO).await;
    assert!(why(&state).contains("not the JSON expected"), "{state:?}");
}

#[tokio::test]
async fn a_gigabyte_announced_is_refused_before_it_is_read() {
    let (state, took) =
        first_state(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{", Duration::MAX).await;
    assert!(why(&state).contains("1073741824 bytes"), "{state:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn another_service_is_named_by_its_answer() {
    let (state, _) =
        first_state(b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nsad\x1b[31m!", Duration::ZERO).await;
    assert!(why(&state).contains("500") && why(&state).contains("sad?[31m!"), "{state:?}");
}

/// Writes `piece` for ever, and counts what was taken.
async fn endless(first: &'static [u8], piece: &'static [u8]) -> (RuntimeState, usize) {
    let place = Place::new();
    let (listener, taken) = (place.listen(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if stream.write_all(first).await.is_err() {
                continue;
            }
            while stream.write_all(piece).await.is_ok() {
                count.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    });
    let RuntimeUpdate::State(state) = next(&mut place.watch()).await else { panic!("a state comes first") };
    (state, taken.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_reply_without_end_is_cut_at_its_limit() {
    const PIECE: &[u8] = &[b'x'; 4096];
    let (state, taken) = endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"Version\":\"", PIECE).await;
    assert!(why(&state).contains("at most 65536 bytes"), "{state:?}");
    assert!(taken < 2 * 1024 * 1024, "{taken} bytes were taken");
}

#[tokio::test]
async fn a_head_without_end_is_cut_at_its_limit() {
    let (state, taken) =
        endless(b"HTTP/1.1 200 OK\r\n", b"X-Header: 0123456789012345678901234567890123456789\r\n").await;
    assert!(why(&state).contains("waiting for a reply"), "{state:?}");
    assert!(taken < 2 * 1024 * 1024, "{taken} bytes were taken");
}

/// A daemon that has one container while `running`, and tells events.
struct Daemon {
    running: AtomicUsize,
    events: broadcast::Sender<String>,
    inspections: AtomicUsize,
}

impl Daemon {
    fn start(socket: &Path) -> (Arc<Self>, tokio::task::JoinHandle<()>) {
        let events = broadcast::channel(16).0;
        let daemon =
            Arc::new(Self { running: AtomicUsize::new(0), events, inspections: AtomicUsize::new(0) });
        let listener = UnixListener::bind(socket).unwrap();
        let served = Arc::clone(&daemon);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(Arc::clone(&served).serve(stream));
            }
        });
        (daemon, task)
    }

    async fn serve(self: Arc<Self>, mut stream: UnixStream) {
        let mut head = Vec::new();
        loop {
            head.clear();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let line = String::from_utf8_lossy(&head);
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let running = self.running.load(Ordering::SeqCst) > 0;
            let body = match path.as_str() {
                "/version" => VERSION.to_owned(),
                "/v1.41/networks" => NETWORKS.to_owned(),
                "/v1.41/containers/json" if running => format!(r#"[{{"Id":"{WEB}"}}]"#),
                "/v1.41/containers/json" => "[]".to_owned(),
                _ if path.starts_with("/v1.41/events?") => return self.tell(stream).await,
                _ if path == format!("/v1.41/containers/{WEB}/json") && running => {
                    self.inspections.fetch_add(1, Ordering::SeqCst);
                    INSPECT.to_owned()
                }
                _ => {
                    let reply = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
                    if stream.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn tell(&self, mut stream: UnixStream) {
        let mut events = self.events.subscribe();
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        if stream.write_all(head).await.is_err() {
            return;
        }
        while let Ok(event) = events.recv().await {
            let chunk = format!("{:x}\r\n{event}\n\r\n", event.len() + 1);
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn happens(&self, action: &str) {
        let event = format!(r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{WEB}"}}}}"#);
        assert!(self.events.send(event).is_ok(), "nobody follows the events");
    }
}

fn names(update: &RuntimeUpdate) -> Vec<&str> {
    match update {
        RuntimeUpdate::Containers(all) => all.iter().map(|one| &*one.name).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_that_runs_comes_first_then_what_changes() {
    let place = Place::new();
    let (daemon, _task) = Daemon::start(&place.socket);
    let mut updates = place.watch();
    assert!(names(&next(&mut updates).await).is_empty());
    let RuntimeUpdate::State(RuntimeState::Ready { api, .. }) = next(&mut updates).await else { panic!() };
    assert_eq!(&*api, "1.41");

    daemon.running.store(1, Ordering::SeqCst);
    daemon.happens("start");
    let RuntimeUpdate::Changed(web) = next(&mut updates).await else { panic!() };
    assert_eq!((&*web.name, web.networks.len()), ("web", 2));

    let looked = daemon.inspections.load(Ordering::SeqCst);
    daemon.happens("rename"); // and nothing is different after all: nothing is said
    timeout(Duration::from_secs(2), async {
        while daemon.inspections.load(Ordering::SeqCst) == looked {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("another look");
    daemon.running.store(0, Ordering::SeqCst);
    daemon.happens("die");
    assert_eq!(next(&mut updates).await, RuntimeUpdate::Gone(WEB.into()));
}

#[tokio::test]
async fn a_storm_of_events_about_one_container_is_one_inspection() {
    let place = Place::new();
    let (daemon, _task) = Daemon::start(&place.socket);
    let mut updates = place.watch();
    next(&mut updates).await;
    next(&mut updates).await;
    daemon.running.store(1, Ordering::SeqCst);
    for _ in 0..10 {
        daemon.happens("update");
    }
    assert!(matches!(next(&mut updates).await, RuntimeUpdate::Changed(_)));
    assert!(daemon.inspections.load(Ordering::SeqCst) <= 2, "{:?}", daemon.inspections);
}

#[tokio::test]
async fn a_daemon_that_returns_is_listed_again_within_seconds() {
    let place = Place::new();
    let (daemon, task) = Daemon::start(&place.socket);
    let mut updates = place.watch();
    next(&mut updates).await;
    next(&mut updates).await;
    task.abort();
    drop(daemon);
    let down = next(&mut updates).await;
    assert!(matches!(down, RuntimeUpdate::State(RuntimeState::Unreachable { .. })), "{down:?}");

    std::fs::remove_file(&place.socket).unwrap();
    let (daemon, _task) = Daemon::start(&place.socket);
    daemon.running.store(1, Ordering::SeqCst);
    let back = Instant::now();
    loop {
        match next(&mut updates).await {
            RuntimeUpdate::State(_) => {} // it may try, and fail, while the socket is being made
            update => {
                assert_eq!(names(&update), ["web"]);
                break;
            }
        }
    }
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

#[tokio::test]
async fn a_socket_made_anew_ends_the_wait_and_the_same_one_does_not() {
    let place = Place::new();
    drop(place.listen());
    let engine = Engine { socket: place.socket.clone() };
    let before = SocketFile::read(&place.socket);
    let same = timeout(Duration::from_millis(1_200), before.made_anew(&engine)).await;
    assert!(same.is_err(), "nothing has changed");
    std::fs::remove_file(&place.socket).unwrap();
    let gone = timeout(Duration::from_millis(1_200), before.made_anew(&engine)).await;
    assert!(gone.is_err(), "a socket that is gone is no reason to try");
    drop(place.listen());
    assert!(timeout(Duration::from_secs(2), before.made_anew(&engine)).await.is_ok());
}

#[tokio::test]
async fn the_watcher_ends_when_nobody_listens() {
    let place = Place::new();
    let (_daemon, _task) = Daemon::start(&place.socket);
    let (sender, mut receiver) = mpsc::channel(16);
    let watcher = tokio::spawn(watch(place.socket.clone(), sender));
    next(&mut receiver).await;
    drop(receiver);
    assert!(timeout(Duration::from_secs(2), watcher).await.is_ok());
}
