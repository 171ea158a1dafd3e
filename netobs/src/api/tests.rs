//! The faces over real sockets: loopback and a unix socket in a directory of its own.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    time::timeout,
};

use super::{
    server::{Limits, Listener, serve},
    *,
};
use crate::{
    export::Format,
    matrix::MatrixDocument,
    publication::{self, Publisher},
    report::{EndpointsDocument, FlowRow, FlowsDocument, Report},
    settings::{Layer, Settings},
    shutdown::Shutdown,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// An agent made of its faces only.
struct Agent {
    reports: Publisher,
    shutdown: Shutdown,
    settings: Settings,
    metrics: std::net::SocketAddr,
    web: std::net::SocketAddr,
    service: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

async fn agent() -> Agent {
    let directory = tempfile::tempdir().unwrap();
    let layer = Layer {
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
        web_listen: Some("127.0.0.1:0".parse().unwrap()),
        socket: Some(directory.path().join("a.sock").to_str().unwrap().into()),
        ..Layer::default()
    };
    let settings = Settings::check(layer).unwrap();
    let (reports, receiver) =
        publication::channel(Report::empty("alpha".into(), jiff::Timestamp::UNIX_EPOCH));
    let shutdown = Shutdown::default();
    let listeners = Listeners::bind(&settings).await.unwrap();
    let faces = Arc::new(Faces::new(&settings, receiver, made_up::readers(), shutdown.clone()));
    let (metrics, web) = (listeners.metrics_address, listeners.web_address);
    let service = tokio::spawn(listeners.serve(faces, shutdown.clone()));
    Agent { reports, shutdown, settings, metrics, web, service, _directory: directory }
}

/// Sends bytes, returns everything until the other side closes.
async fn raw(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, async {
        stream.write_all(request.as_bytes()).await.unwrap();
        // A server that gave up may reset; what it said before counts.
        drop(stream.read_to_end(&mut answer).await);
    })
    .await
    .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

impl Agent {
    async fn web(&self, path: &str) -> String {
        raw(TcpStream::connect(self.web).await.unwrap(), &get(path)).await
    }
    async fn local(&self, path: &str) -> String {
        raw(UnixStream::connect(&self.settings.socket).await.unwrap(), &get(path)).await
    }
    async fn metrics(&self, path: &str) -> String {
        raw(TcpStream::connect(self.metrics).await.unwrap(), &get(path)).await
    }
    async fn publish(&self) {
        self.reports.send(made_up::report());
        for _ in 0..1_000 {
            if status(&self.local("/readyz").await) == 200 {
                return;
            }
        }
        panic!("never ready");
    }
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status: {answer:?}"))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn both_faces_show_the_documents_of_the_same_report() {
    let agent = agent().await;
    agent.publish().await;
    let report = made_up::report();
    for answer in [agent.web("/api/v1/flows").await, agent.local("/api/v1/flows").await] {
        assert!(answer.contains("content-type: application/json"), "{answer}");
        assert_eq!(
            serde_json::from_str::<FlowsDocument>(body(&answer)).unwrap(),
            report.flows_document(|_| true)
        );
    }
    let answer = agent.local("/api/v1/endpoints").await;
    assert_eq!(
        serde_json::from_str::<EndpointsDocument>(body(&answer)).unwrap(),
        report.endpoints_document()
    );
    let filtered = agent.web("/api/v1/flows?kind=external&limit=1").await;
    let flows = serde_json::from_str::<FlowsDocument>(body(&filtered)).unwrap().flows;
    assert_eq!(flows.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["f2"]);
    let matrix = agent.web("/api/v1/matrix?kind=container&verdict=dropped").await;
    let cells = serde_json::from_str::<MatrixDocument>(body(&matrix)).unwrap().cells;
    assert_eq!((cells.len(), cells[0].flows), (1, 1), "{matrix}");
    assert!(agent.local("/").await.contains("/api/v1/status"));
    assert_eq!(status(&agent.local("/api/v1/status").await), 200);
}

#[tokio::test]
async fn an_agent_is_alive_before_and_ready_after_its_first_report() {
    let agent = agent().await;
    assert_eq!(status(&agent.metrics("/healthz").await), 200);
    assert_eq!(status(&agent.metrics("/readyz").await), 503);
    agent.publish().await;
    assert_eq!(status(&agent.metrics("/readyz").await), 200);
}

#[tokio::test]
async fn the_metrics_port_has_metrics_in_the_form_asked_for_and_nothing_else() {
    let agent = agent().await;
    agent.publish().await;
    let classic = agent.metrics("/metrics").await;
    assert!(classic.contains(Format::Classic.content_type()) && !classic.contains("# EOF"), "{classic}");
    assert!(classic.contains("# TYPE netobs_path_bytes_total counter"));
    let request = "GET /metrics HTTP/1.1\r\nhost: node7\r\naccept: application/openmetrics-text\r\nconnection: close\r\n\r\n";
    let open_metrics = raw(TcpStream::connect(agent.metrics).await.unwrap(), request).await;
    assert!(open_metrics.contains(Format::OpenMetrics.content_type()) && open_metrics.ends_with("# EOF\n"));
    for path in ["/", "/api/v1/flows", "/api/v1/endpoints"] {
        assert_eq!(status(&agent.metrics(path).await), 404, "{path}");
    }
    assert_eq!(status(&agent.web("/metrics").await), 404);
}

#[tokio::test]
async fn what_is_not_in_the_fixed_set_is_refused_by_its_number() {
    let agent = agent().await;
    let long = format!("/api/v1/flows?endpoint={}", "x".repeat(5_000));
    let table = [
        ("/api/v1/flows/../../etc/passwd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/api/v1/flows?colour=red", 400),
        ("/api/v1/flows?kind=unicorn", 400),
        ("/api/v1/flows?port=70000", 400),
        ("/api/v1/flows?address=here", 400),
        ("/api/v1/flows/", 404),
        ("/api/v1/matrix?port=80", 400),
        ("/api/v1/matrix?verdict=fine", 400),
        (&long, 414),
    ];
    for (path, expected) in table {
        let answer = agent.web(path).await;
        assert_eq!(status(&answer), expected, "{path}");
        assert!(body(&answer).trim_end().lines().count() <= 1, "{answer}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = get("/api/v1/flows").replacen("GET", method, 1);
        assert_eq!(
            status(&raw(TcpStream::connect(agent.web).await.unwrap(), &request).await),
            405,
            "{method}"
        );
    }
    assert!(agent.web("/api/v1/flows?kind=unicorn").await.contains("unicorn"));
}

#[tokio::test]
async fn a_page_of_another_name_cannot_read_the_api() {
    let agent = agent().await;
    let request = get("/api/v1/flows").replace("host: localhost", "host: evil.example");
    assert_eq!(status(&raw(TcpStream::connect(agent.web).await.unwrap(), &request).await), 421);
    // The local socket has no name to be fooled with.
    assert_eq!(status(&raw(UnixStream::connect(&agent.settings.socket).await.unwrap(), &request).await), 200);
}

#[tokio::test]
async fn a_header_beyond_eight_kibibytes_is_refused() {
    let agent = agent().await;
    let request =
        get("/healthz").replace("connection", &format!("x-long: {}\r\nconnection", "y".repeat(9_000)));
    let answer = raw(TcpStream::connect(agent.web).await.unwrap(), &request).await;
    assert_eq!(status(&answer), 431);
}

#[tokio::test]
async fn followers_are_told_changes_and_let_go_when_the_agent_stops() {
    let agent = agent().await;
    agent.publish().await;
    let stream = UnixStream::connect(&agent.settings.socket).await.unwrap();
    let follower = tokio::spawn(raw_owned(stream, get("/api/v1/flows/follow?limit=1")));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut report = made_up::report();
    std::sync::Arc::make_mut(&mut report.flows[0]).forward.bytes += 1;
    agent.reports.send(report);
    tokio::time::sleep(Duration::from_millis(100)).await;
    agent.shutdown.trigger();
    let answer = timeout(PATIENCE, follower).await.unwrap().unwrap();
    let rows: Vec<FlowRow> = answer
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.iter().map(|one| one.forward.bytes).collect::<Vec<_>>(), [9_000, 9_001]);
    timeout(PATIENCE, agent.service).await.unwrap().unwrap();
    assert!(!agent.settings.socket.exists());
}

async fn raw_owned(stream: UnixStream, request: String) -> String {
    raw(stream, &request).await
}

/// A server with bounds small enough to be reached.
async fn small() -> (std::net::SocketAddr, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::default();
    let router = axum::Router::new().route("/", axum::routing::get(async || vec![b'x'; 64 << 20]));
    let router = router.route("/small", axum::routing::get(async || "x"));
    let limits = Limits {
        connections: 2,
        refusals: 1,
        head: Duration::from_millis(200),
        stall: Duration::from_millis(200),
    };
    tokio::spawn(serve(Listener::Tcp(listener), router, limits, shutdown.clone()));
    (address, shutdown)
}

#[tokio::test]
async fn a_caller_too_many_is_told_so_and_served_once_there_is_room() {
    let (address, shutdown) = small().await;
    let first = TcpStream::connect(address).await.unwrap();
    let second = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(status(&raw(TcpStream::connect(address).await.unwrap(), &get("/small")).await), 503);
    drop((first, second));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(status(&raw(TcpStream::connect(address).await.unwrap(), &get("/small")).await), 200);
    shutdown.trigger();
}

#[tokio::test]
async fn callers_that_send_slowly_or_nothing_or_do_not_read_are_given_up() {
    let (address, shutdown) = small().await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    for stream in [&mut slow, &mut idle] {
        let mut rest = Vec::new();
        drop(timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap());
    }
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(get("/").as_bytes()).await.unwrap();
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // A connection that is kept open without a next request ends by itself.
    let mut answer = Vec::new();
    drop(timeout(PATIENCE, kept.read_to_end(&mut answer)).await.unwrap());
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    // Both places are free again: the one who does not read was given up as well.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let (_a, b) = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    assert_eq!(status(&raw(b, &get("/small")).await), 200);
    shutdown.trigger();
}
