//! Five watches of one API → the cluster, as often as something changed; and whether the API answers.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
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
    convert,
    health::{Failure, Health},
    pauses::Pauses,
    state::State,
    store::{Key, Table},
};
use crate::{
    failure,
    runtime::facts::cluster::{Backend, Cluster, ClusterNode, ClusterPod, ClusterService, ClusterUpdate},
};

/// Seconds after which a watch is renewed: so long may a dead connection stay unnoticed.
pub(super) const WATCH: u32 = 120;
/// Changes seldom come alone.
const SETTLE: Duration = Duration::from_millis(100);
/// How often it is looked at how the API is, and how long its version may take.
const LOOK: Duration = Duration::from_secs(2);
/// An API that has not listed everything by then is said to fail.
const FIRST_LISTS: Duration = Duration::from_secs(15);
/// A configuration that makes no sense is read again so often: a token may be mounted late.
const RECONNECT: Duration = Duration::from_secs(10);
/// A configuration that is not made sense of by then is said to fail.
const CONFIGURED: Duration = Duration::from_secs(10);

/// Follows until nobody listens. `connect` makes a client that notes in `health` how its watches fare.
pub(super) async fn follow<F: Future<Output = anyhow::Result<Client>>>(
    connect: impl Fn() -> F,
    health: &Arc<Health>,
    node: &str,
    updates: &Sender<ClusterUpdate>,
) {
    let mut watch = Watch { health, updates, state: State::default(), tables: Tables::default() };
    while let Some(client) = watch.connect(&connect).await {
        if watch.run(&client, node).await == Over::NobodyListens {
            return;
        }
    }
}

/// Why a client is of no use any more.
#[derive(Debug, PartialEq, Eq)]
enum Over {
    NobodyListens,
    /// Its credentials have been refused for long, and may have been renewed where they came from.
    Unauthorized,
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
    /// Whether it shows that a list is whole or a watch works; that a list is about to be asked for does not.
    const fn is_good(&self) -> bool {
        const fn good<T>(event: &Event<T>) -> bool {
            matches!(event, Event::InitDone | Event::Apply(_) | Event::Delete(_))
        }
        match self {
            Self::Pod(event) => good(event),
            Self::Node(event) => good(event),
            Self::Service(event) => good(event),
            Self::Slice(event) => good(event),
            Self::Namespace(event) => good(event),
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
    health: &'a Arc<Health>,
    updates: &'a Sender<ClusterUpdate>,
    state: State,
    tables: Tables,
}

impl Watch<'_> {
    /// A client, however long that takes; `None` if nobody listens any more. Where it takes long, no second one is
    /// begun beside it.
    async fn connect<F: Future<Output = anyhow::Result<Client>>>(
        &mut self,
        connect: &impl Fn() -> F,
    ) -> Option<Client> {
        loop {
            let mut attempt = std::pin::pin!(connect());
            let connected = loop {
                tokio::select! {
                    connected = &mut attempt => break connected,
                    () = sleep(CONFIGURED) => {
                        let why = "no credentials yet: the program that gives them does not end";
                        if !self.state.failing(why, self.updates).await {
                            return None;
                        }
                    }
                    () = self.updates.closed() => return None,
                }
            };
            let why = match connected {
                Ok(client) => return Some(client),
                Err(error) => failure::one_line(&error),
            };
            if !self.state.failing(&why, self.updates).await {
                return None;
            }
            tokio::select! {
                () = sleep(RECONNECT) => {}
                () = self.updates.closed() => return None,
            }
        }
    }

    async fn run(&mut self, client: &Client, node: &str) -> Over {
        let mut news = std::pin::pin!(all(client, self.health, node));
        let began = Instant::now();
        let mut dirty: Option<Instant> = None;
        let mut look = Instant::now() + LOOK;
        loop {
            let publish = dirty;
            tokio::select! {
                biased;
                () = self.updates.closed() => return Over::NobodyListens,
                () = sleep_until(publish.unwrap_or(began)), if publish.is_some() => {
                    dirty = None;
                    let cluster = Arc::new(self.tables.cluster());
                    if self.updates.send(ClusterUpdate::Cluster(cluster)).await.is_err() {
                        return Over::NobodyListens;
                    }
                    continue;
                }
                one = news.next() => match one {
                    Some((kind, Ok(one))) => {
                        if one.is_good() {
                            self.health.is_well(kind, Instant::now());
                        }
                        if self.tables.take(one) {
                            dirty.get_or_insert(Instant::now() + SETTLE);
                        }
                        continue;
                    }
                    Some((kind, Err(error))) => self.missed(kind, &error),
                    None => return Over::NobodyListens,
                },
                () = self.health.better() => {}
                () = sleep_until(look) => look = Instant::now() + LOOK,
            }
            if !self.say(client, began).await {
                return Over::NobodyListens;
            }
            if self.health.wants_credentials(Instant::now()) {
                return Over::Unauthorized;
            }
        }
    }

    fn missed(&self, kind: &'static str, error: &watcher::Error) {
        use watcher::Error::{
            InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
        };
        let (breaks, status) = match error {
            // Too old a version is what a list makes good.
            WatchError(status) if status.code == 410 => return,
            InitialListFailed(kube::Error::Api(status)) | WatchStartFailed(kube::Error::Api(status)) => {
                (false, Some(status))
            }
            InitialListFailed(_) | WatchStartFailed(_) => (false, None),
            WatchError(status) => (true, Some(status)),
            WatchFailed(_) | NoResourceVersion => (true, None),
        };
        let unauthorized = status.is_some_and(|status| status.code == 401);
        let why = failure::flatten(&error.to_string());
        self.health.failed(kind, Instant::now(), Failure { why, breaks, unauthorized });
    }

    /// Says how the API is; whether anybody listens.
    async fn say(&mut self, client: &Client, began: Instant) -> bool {
        if let Some(why) = self.health.trouble(Instant::now()) {
            return self.state.failing(&why, self.updates).await;
        }
        let unlisted = self.tables.unlisted();
        if !unlisted.is_empty() {
            let late = began.elapsed() >= FIRST_LISTS;
            let why = format!("no list yet of {}", unlisted.join(", "));
            return !late || self.state.failing(&why, self.updates).await;
        }
        if self.state.still_ready() {
            return true;
        }
        match timeout(LOOK, client.apiserver_version()).await {
            Ok(Ok(version)) => self.state.ready(&version.git_version, self.updates).await,
            Ok(Err(error)) => self.state.failing(&failure::flatten(&error.to_string()), self.updates).await,
            Err(_) => self.state.failing("no answer in time", self.updates).await,
        }
    }
}

/// The five watches as one stream, each trying again by itself.
fn all(
    client: &Client,
    health: &Arc<Health>,
    node: &str,
) -> impl Stream<Item = (&'static str, Result<News, watcher::Error>)> + use<> {
    // Any version will do that the server has at hand (`resourceVersion=0`): agents are many, and what is a second
    // old is soon renewed.
    // In pages it would be the newest one.
    let config =
        || watcher::Config { page_size: None, ..watcher::Config::default().any_semantic().timeout(WATCH) };
    let of_node = config().fields(&format!("spec.nodeName={node}"));
    let from = (client, health);
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
    (client, health): (&Client, &Arc<Health>),
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
    let meter = health.meter(kind);
    let mut watch = watcher(Api::<K>::all(client.clone()), config).boxed();
    // Pauses come after what they are for.
    let measured = stream::poll_fn(move |context| meter.poll(|| watch.poll_next_unpin(context)));
    measured.backoff(Pauses::new(kind, Arc::clone(health))).map(move |event| {
        let event = event.map(|event| match event {
            Event::Apply(object) => Event::Apply(kept(&object)),
            Event::Delete(object) => Event::Delete(kept(&object)),
            Event::Init => Event::Init,
            Event::InitApply(object) => Event::InitApply(kept(&object)),
            Event::InitDone => Event::InitDone,
        });
        (kind, event.map(news))
    })
}
