//! One connection's life with a pod runtime: everything that runs, then what changes, until it breaks.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::{Notify, mpsc::Sender},
    time::{Instant, sleep, sleep_until},
};

use super::{
    client::{Client, LIST, is_not_offered, refused},
    convert,
    events::{Events, Heard},
    statuses::{Answer, Statuses, Told},
    wire::{
        CONTAINER_RUNNING, Container, List, ListContainersRequest, ListPodSandboxRequest, MOST_LISTED,
        PodSandbox, SANDBOX_READY, StateFilter, StateValue,
    },
};
use crate::{
    identity::text,
    runtime::{
        backoff,
        facts::{
            RuntimeState,
            pod::{PodContainer, PodUpdate, RuntimePod},
        },
        follow::End,
        meter::Meter,
    },
};

/// When a runtime is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How often everything is listed although nothing was heard.
    pub(super) every: Duration,
    /// And how often where nobody tells of changes: as often as a kubelet does.
    pub(super) alone: Duration,
    /// Changes seldom come alone: a pod is a sandbox and its containers.
    pub(super) settle: Duration,
    /// Lists are this far apart at least, so that a storm of events costs little.
    pub(super) apart: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let milliseconds = Duration::from_millis;
        let seconds = Duration::from_secs;
        Self { every: seconds(10), alone: seconds(1), settle: milliseconds(30), apart: milliseconds(250) }
    }
}

/// Most pods of one node that are kept; Kubernetes itself is made for 110.
const MOST: usize = 4_096;

/// Lists that take no more processor time cost little at any pace.
const CHEAP: Duration = Duration::from_millis(10);
/// A runtime that needs long for its lists is left alone for ten times that, and longer where the agent needs long for
/// them; for so long at most.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// How long answers about what is new are waited for before the rest is sent: at first as long as a call may take.
const PATIENCE: Duration = Duration::from_millis(500);
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(3);

/// A connection to one runtime and what was read over it.
pub(super) struct Session<'a> {
    client: Client,
    runtime: Arc<str>,
    updates: &'a Sender<PodUpdate>,
    statuses: Statuses,
    told: Arc<Told>,
    /// Sandboxes as listed, with what their status said: a sandbox never changes, it is replaced.
    known: BTreeMap<String, (PodSandbox, Arc<RuntimePod>)>,
    /// First processes of containers, which never change either.
    pids: BTreeMap<String, u32>,
    sent: Option<Vec<Arc<RuntimePod>>>,
}

impl<'a> Session<'a> {
    /// Follows the runtime at `socket` until it fails or nobody listens. `ready` is told once, after everything
    /// that runs has been sent.
    pub(super) async fn run(
        socket: &Path,
        updates: &'a Sender<PodUpdate>,
        meter: &Meter,
        when: (&Notify, Pace),
        told: Arc<Told>,
        ready: impl FnOnce(&str) + Send,
    ) -> End {
        match Self::follow(socket, updates, meter, when, told, ready).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn follow(
        socket: &Path,
        updates: &'a Sender<PodUpdate>,
        meter: &Meter,
        (wake, pace): (&Notify, Pace),
        told: Arc<Told>,
        ready: impl FnOnce(&str) + Send,
    ) -> Result<std::convert::Infallible, End> {
        let mut client = Client::connect(socket, meter).await?;
        let version = match client.version().await {
            Ok(version) => version,
            Err(status) if is_not_offered(&status) => {
                let why = anyhow::anyhow!("it runs no pods (its runtime interface is switched off)");
                return Err(End::NotOffered(why));
            }
            Err(status) => return Err(End::Failed(refused("Version", &status))),
        };
        let runtime: Arc<str> = text::clean(&version.runtime_name).into();
        // Events first, then the list: what happens in between is seen twice rather than never.
        let mut events = Events::open(client.clone());
        let mut session = Self {
            statuses: Statuses::new(client.clone(), Arc::clone(&runtime)),
            client,
            runtime,
            updates,
            told,
            known: BTreeMap::new(),
            pids: BTreeMap::new(),
            sent: None,
        };
        session.refresh().await?;
        let state = RuntimeState::Ready {
            runtime: Arc::clone(&session.runtime),
            version: text::clean(&version.runtime_version).into(),
            api: text::clean(&version.runtime_api_version).into(),
        };
        session.send(PodUpdate::State(state)).await?;
        ready(&version.runtime_version);

        let (mut every, mut next) = (pace.every, Instant::now() + pace.every);
        loop {
            meter.step_is_of_use().await;
            tokio::select! {
                heard = events.next() => match heard {
                    Heard::Change => {}
                    // Whether it went away shows in a look.
                    Heard::End => every = pace.alone,
                    Heard::Nobody => {
                        (every, next) = (pace.alone, next.min(Instant::now() + pace.alone));
                        continue;
                    }
                },
                answer = session.statuses.next() => session.take(answer),
                () = wake.notified() => {}
                () = sleep_until(next) => {}
                () = updates.closed() => return Err(End::NobodyListens),
            }
            sleep(pace.settle).await;
            let (began, before) = (Instant::now(), meter.spent());
            let took = session.refresh().await?;
            next = Instant::now() + every;
            meter.step_is_of_use().await;
            let cost = meter.spent().saturating_sub(before);
            let rest = if cost < CHEAP { took * 10 } else { backoff::rest(cost) };
            sleep_until(began + pace.apart.max(rest.min(LONGEST_REST))).await;
        }
    }

    /// Lists everything, asks about what is new, and sends the whole if it differs from before. How long the lists
    /// took.
    async fn refresh(&mut self) -> Result<Duration, End> {
        let began = Instant::now();
        let question = ListPodSandboxRequest {
            filter: Some(StateFilter { state: Some(StateValue { state: SANDBOX_READY }) }),
        };
        let sandboxes = self.list("/runtime.v1.RuntimeService/ListPodSandbox", question).await?;
        let question = ListContainersRequest {
            filter: Some(StateFilter { state: Some(StateValue { state: CONTAINER_RUNNING }) }),
        };
        let containers: Vec<Container> =
            self.list("/runtime.v1.RuntimeService/ListContainers", question).await?;
        let took = began.elapsed();
        // A runtime that knows no filters answers with all.
        let sandboxes = sandboxes.into_iter().filter(|one: &PodSandbox| one.state == SANDBOX_READY);
        let sandboxes: Vec<PodSandbox> = sandboxes.take(MOST).collect();
        let containers: Vec<Container> =
            containers.into_iter().filter(|one| one.state == CONTAINER_RUNNING).collect();
        let ids = sandboxes.iter().map(|one| one.id.as_str());
        let listed: BTreeSet<&str> = ids.chain(containers.iter().map(|one| one.id.as_str())).collect();
        self.statuses.keep(&listed);
        self.told.keep(&listed);
        for one in &sandboxes {
            let is_current = |(was, pod): &(PodSandbox, Arc<RuntimePod>)| was == one && pod.pid != 0;
            if !self.known.get(&one.id).is_some_and(is_current) {
                self.statuses.sandbox(one);
            }
        }
        let patience = if self.sent.is_none() { PATIENCE_AT_FIRST } else { PATIENCE };
        let until = Instant::now() + patience;
        self.collect(until).await;
        for one in &containers {
            let on_host = self.known.get(&one.pod_sandbox_id).is_some_and(|(_, pod)| pod.host_network);
            if on_host && !self.pids.contains_key(&one.id) {
                self.statuses.container(&one.id);
            }
        }
        self.collect(until).await;
        let troubles = std::mem::take(&mut self.statuses.troubles);
        self.known.retain(|id, _| listed.contains(id.as_str()));
        self.pids.retain(|id, _| listed.contains(id.as_str()));
        for (id, error) in troubles {
            // Who can say nothing about anything does not answer as it should.
            if self.known.is_empty() && self.sent.is_none() {
                return Err(End::Failed(error));
            }
            self.told.tell(id, &error);
        }
        self.place(containers);
        let pods: Vec<Arc<RuntimePod>> = self.known.values().map(|(_, pod)| Arc::clone(pod)).collect();
        if self.sent.as_ref() != Some(&pods) {
            self.sent = Some(pods.clone());
            self.send(PodUpdate::Pods(pods)).await?;
        }
        Ok(took)
    }

    async fn collect(&mut self, until: Instant) {
        while let Some(answer) = self.statuses.first(until).await {
            self.take(answer);
        }
    }

    /// What was known of a sandbox stays until its runtime says otherwise.
    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Pod(listed, Some(pod)) => {
                self.known.insert(listed.id.clone(), (listed, pod));
            }
            Answer::Pod(listed, None) => {
                self.known.remove(&listed.id);
            }
            Answer::Process(container, pid) => {
                if pid != 0 {
                    self.pids.insert(container, pid);
                }
            }
        }
    }

    /// Puts each container into its pod.
    fn place(&mut self, listed: Vec<Container>) {
        let mut by_pod: BTreeMap<String, Vec<PodContainer>> = BTreeMap::new();
        for one in listed.into_iter().filter(|one| self.known.contains_key(&one.pod_sandbox_id)) {
            let Some(mut container) = convert::container(&one) else { continue };
            container.pid = self.pids.get(&one.id).copied().unwrap_or(0);
            by_pod.entry(one.pod_sandbox_id).or_default().push(container);
        }
        for (sandbox, (_, pod)) in &mut self.known {
            let mut containers = by_pod.remove(sandbox).unwrap_or_default();
            containers.sort();
            if pod.containers != containers {
                *pod = Arc::new(RuntimePod { containers, ..(**pod).clone() });
            }
        }
    }

    async fn list<Q, T>(&mut self, method: &'static str, question: Q) -> Result<Vec<T>, End>
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        T: prost::Message + Default + Send + Sync + 'static,
    {
        let name = method.rsplit('/').next().unwrap_or(method);
        let answer = self.client.call(method, question, LIST).await;
        let list: List<T> = answer.map_err(|status| refused(name, &status)).context("the pod runtime")?;
        if list.more {
            let why = anyhow::anyhow!("{name}: more than {MOST_LISTED} entries");
            return Err(End::Failed(why));
        }
        Ok(list.items)
    }

    async fn send(&self, update: PodUpdate) -> Result<(), End> {
        self.updates.send(update).await.map_err(|_| End::NobodyListens)
    }
}
