//! Five watches of one API → the cluster, as often as something changed; and whether the API answers.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    bounded::Oversized,
    convert,
    pauses::Pauses,
    store::{Key, Table},
};
use crate::{
    failure,
    identity::text,
    runtime::facts::{
        RuntimeState,
        cluster::{Backend, Cluster, ClusterNode, ClusterPod, ClusterService, ClusterUpdate},
    },
};

/// Seconds after which a watch is renewed: so long may a dead connection stay unnoticed.
pub(super) const WATCH: u32 = 120;
/// Changes seldom come alone.
const SETTLE: Duration = Duration::from_millis(100);
/// How often an API that failed is asked whether it is back.
const PROBE: Duration = Duration::from_secs(2);
/// An API that has not listed everything by then is said to fail.
const FIRST_LISTS: Duration = Duration::from_secs(15);
/// Longest reason kept, in characters.
const WHY_LIMIT: usize = 240;
/// A configuration that makes no sense is read again so often: a token may be mounted late.
const RECONNECT: Duration = Duration::from_secs(10);

/// Follows until nobody listens. `connect` makes a client, and says of what it was given answers too large to be taken in.
pub(super) async fn follow<F: Future<Output = anyhow::Result<(Client, Arc<Oversized>)>>>(
    connect: impl Fn() -> F,
    node: &str,
    updates: &Sender<ClusterUpdate>,
) {
    let mut state = State::default();
    let (client, oversized) = loop {
        match connect().await {
            Ok(connected) => break connected,
            Err(error) => {
                let why = failure::one_line(&error);
                if !state.failing(&why, updates).await {
                    return;
                }
                tokio::select! {
                    () = sleep(RECONNECT) => {}
                    () = updates.closed() => return,
                }
            }
        }
    };
    Watch {
        client,
        oversized,
        updates,
        state,
        tables: Tables::default(),
        refused: BTreeMap::new(),
        away: None,
    }
    .run(node)
    .await;
}

/// What the API is said to be.
#[derive(Default)]
struct State(Option<RuntimeState>);

impl State {
    /// Says it once; whether anybody listens.
    async fn failing(&mut self, why: &str, updates: &Sender<ClusterUpdate>) -> bool {
        if matches!(self.0, Some(RuntimeState::Unreachable { .. })) {
            return true;
        }
        let why = text::clean_to(why, WHY_LIMIT);
        tracing::warn!(%why, "the Kubernetes API does not answer; what it said stays");
        self.tell(RuntimeState::Unreachable { since: Timestamp::now(), why: why.into() }, updates).await
    }

    async fn ready(&mut self, version: &str, updates: &Sender<ClusterUpdate>) -> bool {
        if matches!(self.0, Some(RuntimeState::Ready { .. })) {
            return true;
        }
        tracing::info!(version, "the Kubernetes API answers");
        let version = text::clean(version).into();
        let state = RuntimeState::Ready { runtime: "kubernetes".into(), version, api: "v1".into() };
        self.tell(state, updates).await
    }

    async fn tell(&mut self, state: RuntimeState, updates: &Sender<ClusterUpdate>) -> bool {
        self.0 = Some(state.clone());
        updates.send(ClusterUpdate::State(state)).await.is_ok()
    }
}

#[derive(Default)]
struct Tables {
    pods: Table<ClusterPod>,
    nodes: Table<ClusterNode>,
    services: Table<ClusterService>,
    slices: Table<Vec<Backend>>,
    ignored: Table<()>,
}

/// News of one of the watches.
enum News {
    Pod(Event<(Key, Option<ClusterPod>)>),
    Node(Event<(Key, Option<ClusterNode>)>),
    Service(Event<(Key, Option<ClusterService>)>),
    Slice(Event<(Key, Option<Vec<Backend>>)>),
    Namespace(Event<(Key, Option<()>)>),
}

impl News {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Pod(_) => "pods",
            Self::Node(_) => "nodes",
            Self::Service(_) => "services",
            Self::Slice(_) => "endpointslices",
            Self::Namespace(_) => "namespaces",
        }
    }
}

impl Tables {
    fn take(&mut self, news: News) -> bool {
        match news {
            News::Pod(event) => self.pods.take(event),
            News::Node(event) => self.nodes.take(event),
            News::Service(event) => self.services.take(event),
            News::Slice(event) => self.slices.take(event),
            News::Namespace(event) => self.ignored.take(event),
        }
    }

    /// Kinds that were never listed.
    fn unlisted(&self) -> Vec<&'static str> {
        let table = [
            ("pods", self.pods.is_listed),
            ("nodes", self.nodes.is_listed),
            ("services", self.services.is_listed),
            ("endpointslices", self.slices.is_listed),
            ("namespaces", self.ignored.is_listed),
        ];
        table.into_iter().filter(|(_, listed)| !listed).map(|(name, _)| name).collect()
    }

    fn cluster(&self) -> Cluster {
        let pod = |pod: &Arc<ClusterPod>| {
            let namespace = (String::new(), pod.namespace.to_string());
            if pod.ignored || self.ignored.get(&namespace).is_none() {
                return Arc::clone(pod);
            }
            Arc::new(ClusterPod { ignored: true, ..(**pod).clone() })
        };
        Cluster {
            pods: self.pods.values().map(pod).collect(),
            nodes: self.nodes.values().cloned().collect(),
            services: self.services.values().cloned().collect(),
            backends: self.slices.values().cloned().collect(),
        }
    }
}

struct Watch<'a> {
    client: Client,
    /// Of what answers were too large.
    oversized: Arc<Oversized>,
    updates: &'a Sender<ClusterUpdate>,
    state: State,
    tables: Tables,
    /// Kinds that the API will not let us see, and why.
    refused: BTreeMap<&'static str, String>,
    /// Why the API was last away, until it is seen to be back.
    away: Option<String>,
}

impl Watch<'_> {
    async fn run(mut self, node: &str) {
        let mut news = std::pin::pin!(all(&self.client, &self.oversized, node));
        let began = Instant::now();
        let mut dirty: Option<Instant> = None;
        let mut probe = Instant::now() + PROBE;
        loop {
            let publish = dirty;
            tokio::select! {
                biased;
                () = self.updates.closed() => return,
                () = sleep_until(publish.unwrap_or(began)), if publish.is_some() => {
                    dirty = None;
                    let cluster = Arc::new(self.tables.cluster());
                    if self.updates.send(ClusterUpdate::Cluster(cluster)).await.is_err() {
                        return;
                    }
                }
                one = news.next() => match one {
                    Some((_, Ok(one))) => {
                        self.refused.remove(one.kind());
                        if self.tables.take(one) {
                            dirty.get_or_insert(Instant::now() + SETTLE);
                        }
                    }
                    Some((kind, Err(error))) => {
                        self.missed(kind, &error);
                        if !self.say(began).await {
                            return;
                        }
                    }
                    None => return,
                },
                () = sleep_until(probe) => {
                    if !self.probe(began).await {
                        return;
                    }
                    probe = Instant::now() + PROBE;
                }
            }
        }
    }

    fn missed(&mut self, kind: &'static str, error: &watcher::Error) {
        use watcher::Error::{InitialListFailed, WatchError, WatchStartFailed};
        let refused = match error {
            InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) => {
                matches!(status.code, 401 | 403 | 404)
            }
            // Too old a version is what a list makes good.
            WatchError(status) if status.code == 410 => return,
            _ => false,
        };
        let why = failure::flatten(&error.to_string());
        if refused {
            self.refused.insert(kind, why);
        } else {
            self.away = Some(why);
        }
    }

    /// Says how the API is; whether anybody listens.
    async fn say(&mut self, began: Instant) -> bool {
        let unlisted = self.tables.unlisted();
        if let Some(why) = &self.away {
            return self.state.failing(&why.clone(), self.updates).await;
        }
        if let Some((kind, why)) = self.refused.first_key_value() {
            return self.state.failing(&format!("{kind}: {why}"), self.updates).await;
        }
        if !unlisted.is_empty() {
            let late = began.elapsed() >= FIRST_LISTS;
            let why = format!("no list yet of {}", unlisted.join(", "));
            return !late || self.state.failing(&why, self.updates).await;
        }
        true
    }

    /// Asks an API that is not said to be ready whether it is.
    async fn probe(&mut self, began: Instant) -> bool {
        if self.away.is_none() && matches!(self.state.0, Some(RuntimeState::Ready { .. })) {
            return self.say(began).await;
        }
        match timeout(PROBE, self.client.apiserver_version()).await {
            Ok(Ok(version)) => {
                self.away = None;
                if self.tables.unlisted().is_empty() && self.refused.is_empty() {
                    return self.state.ready(&version.git_version, self.updates).await;
                }
            }
            Ok(Err(error)) => self.away = Some(failure::flatten(&error.to_string())),
            Err(_) => self.away = Some("no answer in time".into()),
        }
        self.say(began).await
    }
}

/// The five watches as one stream, each trying again by itself.
fn all(
    client: &Client,
    oversized: &Arc<Oversized>,
    node: &str,
) -> impl Stream<Item = (&'static str, Result<News, watcher::Error>)> + use<> {
    // Any version will do that the server has at hand (`resourceVersion=0`): agents are many, and what is a second
    // old is soon renewed.
    // In pages it would be the newest one.
    let config =
        || watcher::Config { page_size: None, ..watcher::Config::default().any_semantic().timeout(WATCH) };
    let of_node = config().fields(&format!("spec.nodeName={node}"));
    let from = (client, oversized);
    stream::select_all([
        of::<Pod, _>(from, of_node, convert::pod, News::Pod, "pods").boxed(),
        of::<Node, _>(from, config(), convert::node, News::Node, "nodes").boxed(),
        of::<Service, _>(from, config(), convert::service, News::Service, "services").boxed(),
        of::<EndpointSlice, _>(from, config(), convert::backends, News::Slice, "endpointslices").boxed(),
        of::<Namespace, _>(from, config(), convert::ignored, News::Namespace, "namespaces").boxed(),
    ])
}

/// One watch; of each object only what is kept leaves it.
fn of<K, V>(
    (client, oversized): (&Client, &Arc<Oversized>),
    config: watcher::Config,
    convert: fn(&K) -> Option<V>,
    news: fn(Event<(Key, Option<V>)>) -> News,
    kind: &'static str,
) -> impl Stream<Item = (&'static str, Result<News, watcher::Error>)> + Send + use<K, V>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    V: Send + 'static,
{
    let kept = move |object: &K| (convert::key(object.meta()), convert(object));
    watcher(Api::<K>::all(client.clone()), config).backoff(Pauses::new(kind, Arc::clone(oversized))).map(
        move |event| {
            let event = event.map(|event| match event {
                Event::Apply(object) => Event::Apply(kept(&object)),
                Event::Delete(object) => Event::Delete(kept(&object)),
                Event::Init => Event::Init,
                Event::InitApply(object) => Event::InitApply(kept(&object)),
                Event::InitDone => Event::InitDone,
            });
            (kind, event.map(news))
        },
    )
}
