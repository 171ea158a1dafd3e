//! An API that lists, watches, forgets, refuses, goes away and returns.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use kube::client::{Body, Client};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tower::{BoxError, Layer as _};
use tower_test::mock::SendResponse;

use super::{
    bounded::Bounds,
    health::{Health, KINDS},
    watch::follow,
};
use crate::runtime::facts::{
    RuntimeState,
    cluster::{Cluster, ClusterUpdate},
};

/// The body of an answer.
type Said = BoxBody<Bytes, BoxError>;
type Held = (Request<Body>, SendResponse<Response<Said>>);

/// What the API says to a kind of object: a list and then a watch without news, until told otherwise.
struct Server {
    lists: Arc<Mutex<HashMap<&'static str, Value>>>,
    down: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<String>>>,
    watches: mpsc::UnboundedReceiver<Held>,
    /// Of other kinds than what was waited for; open as long as they are here.
    others: Vec<Held>,
    updates: mpsc::Receiver<ClusterUpdate>,
    /// What was said while something else was waited for.
    said: VecDeque<ClusterUpdate>,
    connected: Arc<AtomicUsize>,
}

fn whole(bytes: Vec<u8>) -> Said {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

fn list(items: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "7"}, "items": items})
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "8"},
           "spec": {"containers": []}, "status": {"phase": "Running"}})
}

fn answer(status: u16, body: &Value) -> Response<Said> {
    Response::builder().status(status).body(whole(serde_json::to_vec(body).unwrap())).unwrap()
}

fn failure(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
           "message": "said the test"})
}

impl Server {
    fn start() -> Self {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Said>>();
        let health: Arc<Health> = Arc::default();
        let client = Client::new(Bounds::new(&health).layer(service), "default");
        let (updates, receiver) = mpsc::channel(64);
        let connected = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connected);
        tokio::spawn(async move {
            let connect = || {
                counted.fetch_add(1, Ordering::Relaxed);
                std::future::ready(Ok(client.clone()))
            };
            follow(connect, &health, "n1", &updates).await;
        });
        let (held, watches) = mpsc::unbounded_channel();
        let lists: Arc<Mutex<HashMap<&'static str, Value>>> = Arc::default();
        let (down, asked) = (Arc::new(Mutex::new(false)), Arc::<Mutex<Vec<String>>>::default());
        let server = Self {
            lists: Arc::clone(&lists),
            down: Arc::clone(&down),
            asked: Arc::clone(&asked),
            watches,
            others: Vec::new(),
            updates: receiver,
            said: VecDeque::new(),
            connected,
        };
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let uri = request.uri().to_string();
                asked.lock().unwrap().push(uri.clone());
                if *down.lock().unwrap() {
                    send.send_error(std::io::Error::other("connection refused"));
                } else if uri.contains("/version") {
                    let version = json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0", "gitCommit": "",
                        "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
                    send.send_response(answer(200, &version));
                } else if uri.contains("watch=true") {
                    drop(held.send((request, send)));
                } else {
                    let kind = KINDS.into_iter().find(|kind| request.uri().path().ends_with(kind)).unwrap();
                    let said = lists.lock().unwrap().get(kind).cloned();
                    let said = said.unwrap_or_else(|| list(json!([])));
                    let code = said["code"].as_u64().unwrap_or(200);
                    send.send_response(answer(u16::try_from(code).unwrap(), &said));
                }
            }
        });
        server
    }

    fn say(&self, kind: &'static str, said: Value) {
        self.lists.lock().unwrap().insert(kind, said);
    }

    async fn next(&mut self) -> ClusterUpdate {
        timeout(Duration::from_secs(10), self.updates.recv())
            .await
            .expect("in time")
            .expect("a living watcher")
    }

    async fn find<T>(&mut self, fits: impl Fn(&ClusterUpdate) -> Option<T>) -> T {
        if let Some(at) = self.said.iter().position(|one| fits(one).is_some()) {
            return self.said.remove(at).and_then(|one| fits(&one)).unwrap();
        }
        loop {
            let update = self.next().await;
            match fits(&update) {
                Some(found) => return found,
                None => self.said.push_back(update),
            }
        }
    }

    async fn state(&mut self) -> RuntimeState {
        let state = |update: &ClusterUpdate| match update {
            ClusterUpdate::State(state) => Some(state.clone()),
            ClusterUpdate::Cluster(_) => None,
        };
        self.find(state).await
    }

    async fn cluster(&mut self, fits: impl Fn(&Cluster) -> bool) -> Arc<Cluster> {
        let cluster = |update: &ClusterUpdate| match update {
            ClusterUpdate::Cluster(cluster) if fits(cluster) => Some(Arc::clone(cluster)),
            _ => None,
        };
        self.find(cluster).await
    }

    /// The open watch of a kind.
    async fn watch(&mut self, kind: &str) -> Held {
        if let Some(at) = self.others.iter().position(|held| held.0.uri().path().ends_with(kind)) {
            return self.others.remove(at);
        }
        loop {
            let held = timeout(Duration::from_secs(10), self.watches.recv()).await.unwrap().unwrap();
            if held.0.uri().path().ends_with(kind) {
                return held;
            }
            self.others.push(held);
        }
    }
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.pods.iter().map(|pod| pod.name.to_string()).collect()
}

fn events(events: &[Value]) -> Response<Said> {
    let text: String = events.iter().map(|event| format!("{event}\n")).collect();
    Response::new(whole(text.into_bytes()))
}

#[tokio::test]
async fn this_nodes_pods_are_listed_and_watched_from_any_version() {
    let mut server = Server::start();
    server.say("pods", list(json!([pod("a")])));
    let cluster = server.cluster(|one| !one.pods.is_empty()).await;
    assert_eq!(names(&cluster), ["a"]);
    assert!(matches!(server.state().await, RuntimeState::Ready { .. }));
    let (_, send) = server.watch("pods").await;
    send.send_response(events(&[json!({"type": "ADDED", "object": pod("b")})]));
    assert_eq!(names(&*server.cluster(|one| one.pods.len() == 2).await), ["a", "b"]);
    let asked = server.asked.lock().unwrap().clone();
    let first = asked.iter().find(|uri| uri.contains("/pods")).unwrap();
    assert!(first.contains("fieldSelector=spec.nodeName%3Dn1"), "{first}");
    assert!(first.contains("resourceVersion=0"), "{first}");
}

#[tokio::test]
async fn a_version_that_is_too_old_is_listed_anew() {
    let mut server = Server::start();
    server.say("pods", list(json!([pod("a")])));
    server.cluster(|one| !one.pods.is_empty()).await;
    let (_, send) = server.watch("pods").await;
    server.say("pods", list(json!([pod("c")])));
    send.send_response(events(&[json!({"type": "ERROR", "object": failure(410, "Expired")})]));
    assert_eq!(names(&*server.cluster(|one| names(one) == ["c"]).await), ["c"]);
}

#[tokio::test]
async fn what_was_said_stays_while_the_api_is_away_and_it_is_ready_again_soon_after() {
    let mut server = Server::start();
    server.say("pods", list(json!([pod("a")])));
    server.cluster(|one| !one.pods.is_empty()).await;
    assert!(matches!(server.state().await, RuntimeState::Ready { .. }));
    *server.down.lock().unwrap() = true;
    let (_, send) = server.watch("pods").await;
    send.send_error(std::io::Error::other("connection reset"));
    assert!(matches!(server.state().await, RuntimeState::Unreachable { .. }));
    assert!(
        timeout(Duration::from_secs(4), server.updates.recv()).await.is_err(),
        "said once, and nothing forgotten"
    );
    *server.down.lock().unwrap() = false;
    let back = Instant::now();
    // It opens a watch at once, whether or not there are news.
    let (_, send) = server.watch("pods").await;
    send.send_response(Response::new(silence()));
    assert!(matches!(server.state().await, RuntimeState::Ready { .. }));
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

#[tokio::test]
async fn what_may_not_be_seen_is_said_and_the_rest_is_known() {
    let mut server = Server::start();
    server.say("pods", list(json!([pod("a")])));
    server.say("nodes", failure(403, "Forbidden"));
    assert_eq!(names(&*server.cluster(|one| !one.pods.is_empty()).await), ["a"]);
    let RuntimeState::Unreachable { why, .. } = server.state().await else { panic!("failing") };
    assert!(why.contains("nodes"), "{why}");
}

#[tokio::test]
async fn wrong_answers_are_trouble_of_one_line() {
    for said in
        [json!(7), json!({"items": "x"}), json!({"kind": "PodList", "metadata": {}, "items": [{"spec": 7}]})]
    {
        let mut server = Server::start();
        server.say("pods", said);
        let RuntimeState::Unreachable { why, .. } = server.state().await else { panic!("failing") };
        assert!(!why.is_empty() && !why.contains('\n'), "{why}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_ignored_hides_its_pods() {
    let mut server = Server::start();
    server.say("pods", list(json!([pod("a")])));
    let hidden = json!({"metadata": {"name": "shop", "annotations": {"netobs.io/ignore": "true"}}});
    server.say("namespaces", list(json!([hidden])));
    let cluster = server.cluster(|one| one.pods.iter().any(|pod| pod.ignored)).await;
    assert_eq!(names(&cluster), ["a"]);
}

/// How often each kind was listed.
fn listed(server: &Server, kind: &str) -> usize {
    let asked = server.asked.lock().unwrap();
    asked.iter().filter(|uri| uri.contains(&format!("/{kind}?")) && !uri.contains("watch=true")).count()
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_down_for_hours_is_asked_for_lists_once_a_minute() {
    let server = Server::start();
    *server.down.lock().unwrap() = true;
    sleep(Duration::from_secs(3 * 3_600)).await;
    // Three seconds apart at most for ten minutes, a minute after that; chance takes up to half away.
    let listed = listed(&server, "pods");
    assert!((370..850).contains(&listed), "{listed}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_in_trouble_is_not_made_good_by_a_version_and_told_once() {
    let mut server = Server::start();
    server.say("nodes", failure(503, "ServiceUnavailable"));
    let RuntimeState::Unreachable { why, .. } = server.state().await else { panic!("failing") };
    assert!(why.starts_with("nodes: "), "{why}");
    let more = async { while !matches!(server.next().await, ClusterUpdate::State(_)) {} };
    assert!(timeout(Duration::from_secs(5), more).await.is_err(), "nothing else is said");
    server.say("nodes", list(json!([])));
    assert!(matches!(server.state().await, RuntimeState::Ready { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_watch_refused_for_a_moment_is_well_once_it_opens() {
    let mut server = Server::start();
    assert!(matches!(server.state().await, RuntimeState::Ready { .. }));
    let (_, send) = server.watch("namespaces").await;
    send.send_response(answer(403, &failure(403, "Forbidden")));
    let RuntimeState::Unreachable { why, .. } = server.state().await else { panic!("failing") };
    assert!(why.starts_with("namespaces: "), "{why}");
    let (_, send) = server.watch("namespaces").await;
    // Open, and nothing ever happens.
    send.send_response(Response::new(silence()));
    assert!(matches!(server.state().await, RuntimeState::Ready { .. }));
}

/// Nothing, without an end.
fn silence() -> Said {
    BodyExt::boxed(StreamBody::new(stream::pending()))
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_that_is_cut_is_no_news() {
    let mut server = Server::start();
    assert!(matches!(server.state().await, RuntimeState::Ready { .. }));
    for kind in ["pods", "nodes", "endpointslices", "namespaces"] {
        let (_, send) = server.watch(kind).await;
        send.send_response(Response::new(silence()));
    }
    for _ in 0..3 {
        let (_, send) = server.watch("services").await;
        let (cut, body) = cut_after(Duration::from_secs(30));
        send.send_response(Response::new(body));
        cut.await.unwrap();
    }
    let _open = server.watch("services").await;
    let said = std::iter::from_fn(|| server.updates.try_recv().ok());
    let states: Vec<_> = said.filter(|one| matches!(one, ClusterUpdate::State(_))).collect();
    assert!(states.is_empty(), "{states:?}");
}

/// What breaks after so long; and when it did.
fn cut_after(after: Duration) -> (oneshot::Receiver<()>, Said) {
    let (tell, cut) = oneshot::channel();
    let broken = stream::once(async move {
        sleep(after).await;
        tell.send(()).ok();
        Err(BoxError::from("reset"))
    });
    (cut, BodyExt::boxed(StreamBody::new(Box::pin(broken))))
}

#[tokio::test(start_paused = true)]
async fn credentials_refused_for_long_are_read_anew_and_what_was_known_stays() {
    let mut server = Server::start();
    server.say("pods", list(json!([pod("a")])));
    server.cluster(|one| !one.pods.is_empty()).await;
    assert_eq!(server.connected.load(Ordering::Relaxed), 1);
    for _ in 0..100 {
        let Ok((_, send)) = timeout(Duration::from_secs(5), server.watch("pods")).await else { break };
        send.send_response(answer(401, &failure(401, "Unauthorized")));
        if server.connected.load(Ordering::Relaxed) > 1 {
            break;
        }
    }
    assert!(server.connected.load(Ordering::Relaxed) > 1);
    let emptied = |one: &ClusterUpdate| matches!(one, ClusterUpdate::Cluster(one) if one.pods.is_empty());
    assert!(!std::iter::from_fn(|| server.updates.try_recv().ok()).any(|one| emptied(&one)));
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_takes_for_ever_is_said_to_fail_and_begun_once() {
    let (updates, mut said) = mpsc::channel(64);
    let begun = AtomicUsize::new(0);
    let connect = || {
        begun.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<anyhow::Result<Client>>()
    };
    let (health, listens) = (Arc::default(), async {
        let ClusterUpdate::State(RuntimeState::Unreachable { why, .. }) = said.recv().await.unwrap() else {
            panic!("failing")
        };
        assert!(why.contains("credentials"), "{why}");
        sleep(Duration::from_secs(600)).await;
        drop(said);
    });
    tokio::join!(follow(connect, &health, "n1", &updates), listens);
    assert_eq!(begun.load(Ordering::Relaxed), 1);
}
