//! One connection's life with a pod runtime: everything that runs, then what changes, until it breaks.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::{Notify, mpsc::Sender},
    time::{Instant, sleep, sleep_until},
};
use tonic::Code;

use super::{
    client::{Client, is_not_offered, refused},
    convert,
    events::{Events, Heard},
    wire::{
        CONTAINER_RUNNING, Container, ContainerStatusRequest, ContainerStatusResponse, ListContainersRequest,
        ListContainersResponse, ListPodSandboxRequest, ListPodSandboxResponse, PodSandbox,
        PodSandboxStatusRequest, PodSandboxStatusResponse, SANDBOX_READY, StateFilter, StateValue,
    },
};
use crate::{
    identity::text,
    runtime::{
        facts::{
            RuntimeState,
            pod::{PodContainer, PodUpdate, RuntimePod},
        },
        follow::End,
    },
};

/// When a runtime is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How often everything is listed although nothing was heard.
    pub(super) every: Duration,
    /// Changes seldom come alone: a pod is a sandbox and its containers.
    pub(super) settle: Duration,
    /// Lists are this far apart at least, so that a storm of events costs little.
    pub(super) apart: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let milliseconds = Duration::from_millis;
        Self { every: Duration::from_secs(10), settle: milliseconds(30), apart: milliseconds(250) }
    }
}

/// Most pods of one node that are kept; Kubernetes itself is made for 110.
const MOST: usize = 4_096;

/// A connection to one runtime and what was read over it.
pub(super) struct Session<'a> {
    client: Client,
    runtime: Arc<str>,
    updates: &'a Sender<PodUpdate>,
    /// Sandboxes as listed, with what their status said: a sandbox never changes, it is replaced.
    known: BTreeMap<String, (PodSandbox, Arc<RuntimePod>)>,
    /// First processes of containers, which never change either.
    pids: HashMap<Arc<str>, u32>,
    sent: Option<Vec<Arc<RuntimePod>>>,
}

impl<'a> Session<'a> {
    /// Follows the runtime at `socket` until it fails or nobody listens. `ready` is told once, after everything
    /// that runs has been sent.
    pub(super) async fn run(
        socket: &Path,
        updates: &'a Sender<PodUpdate>,
        wake: &Notify,
        pace: Pace,
        ready: impl FnOnce(&str) + Send,
    ) -> End {
        match Self::follow(socket, updates, wake, pace, ready).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn follow(
        socket: &Path,
        updates: &'a Sender<PodUpdate>,
        wake: &Notify,
        pace: Pace,
        ready: impl FnOnce(&str) + Send,
    ) -> Result<std::convert::Infallible, End> {
        let mut client = Client::connect(socket).await?;
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
        let mut session =
            Self { client, runtime, updates, known: BTreeMap::new(), pids: HashMap::new(), sent: None };
        session.refresh().await?;
        let state = RuntimeState::Ready {
            runtime: Arc::clone(&session.runtime),
            version: text::clean(&version.runtime_version).into(),
            api: text::clean(&version.runtime_api_version).into(),
        };
        session.send(PodUpdate::State(state)).await?;
        ready(&version.runtime_version);

        let mut next = Instant::now() + pace.every;
        loop {
            tokio::select! {
                heard = events.next() => if heard == Heard::End {
                    return Err(End::Failed(anyhow::anyhow!("its events ended")));
                },
                () = wake.notified() => {}
                () = sleep_until(next) => {}
                () = updates.closed() => return Err(End::NobodyListens),
            }
            sleep(pace.settle).await;
            let began = Instant::now();
            session.refresh().await?;
            next = Instant::now() + pace.every;
            sleep_until(began + pace.apart.max(began.elapsed() * 10)).await;
        }
    }

    /// Lists everything, asks about what is new, and sends the whole if it differs from before.
    async fn refresh(&mut self) -> Result<(), End> {
        let sandboxes: ListPodSandboxResponse = self
            .ask(
                "/runtime.v1.RuntimeService/ListPodSandbox",
                ListPodSandboxRequest {
                    filter: Some(StateFilter { state: Some(StateValue { state: SANDBOX_READY }) }),
                },
            )
            .await?;
        let containers: ListContainersResponse = self
            .ask(
                "/runtime.v1.RuntimeService/ListContainers",
                ListContainersRequest {
                    filter: Some(StateFilter { state: Some(StateValue { state: CONTAINER_RUNNING }) }),
                },
            )
            .await?;
        // A runtime that knows no filters answers with all.
        let ready = sandboxes.items.into_iter().filter(|one| one.state == SANDBOX_READY).take(MOST);
        let mut before = std::mem::take(&mut self.known);
        for listed in ready {
            let kept = before.remove(&listed.id).filter(|(was, pod)| *was == listed && pod.pid != 0);
            let pod = match kept {
                Some((_, pod)) => Some(pod),
                None => self.status(&listed).await?,
            };
            if let Some(pod) = pod {
                self.known.insert(listed.id.clone(), (listed, pod));
            }
        }
        self.take_containers(containers.containers).await?;
        let pods: Vec<Arc<RuntimePod>> = self.known.values().map(|(_, pod)| Arc::clone(pod)).collect();
        if self.sent.as_ref() != Some(&pods) {
            self.sent = Some(pods.clone());
            self.send(PodUpdate::Pods(pods)).await?;
        }
        Ok(())
    }

    async fn status(&mut self, listed: &PodSandbox) -> Result<Option<Arc<RuntimePod>>, End> {
        let question = PodSandboxStatusRequest { pod_sandbox_id: listed.id.clone(), verbose: true };
        let said = self.client.call("/runtime.v1.RuntimeService/PodSandboxStatus", question).await;
        let said: PodSandboxStatusResponse = match said {
            Ok(said) => said,
            // It ended since it was listed.
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(End::Failed(refused("PodSandboxStatus", &status))),
        };
        Ok(convert::pod(listed, &said, &self.runtime).map(Arc::new))
    }

    /// Puts each container into its pod.
    async fn take_containers(&mut self, listed: Vec<Container>) -> Result<(), End> {
        let mut by_pod: BTreeMap<String, Vec<PodContainer>> = BTreeMap::new();
        let mut pids = HashMap::new();
        for one in listed.into_iter().filter(|one| one.state == CONTAINER_RUNNING) {
            let Some((_, pod)) = self.known.get(&one.pod_sandbox_id) else { continue };
            let on_host = pod.host_network;
            let Some(mut container) = convert::container(&one) else { continue };
            if on_host {
                container.pid = match self.pids.get(&container.id) {
                    Some(pid) => *pid,
                    None => self.first_process(&one.id).await?,
                };
                if container.pid != 0 {
                    pids.insert(Arc::clone(&container.id), container.pid);
                }
            }
            by_pod.entry(one.pod_sandbox_id).or_default().push(container);
        }
        self.pids = pids;
        for (sandbox, (_, pod)) in &mut self.known {
            let mut containers = by_pod.remove(sandbox).unwrap_or_default();
            containers.sort();
            if pod.containers != containers {
                *pod = Arc::new(RuntimePod { containers, ..(**pod).clone() });
            }
        }
        Ok(())
    }

    async fn first_process(&mut self, container: &str) -> Result<u32, End> {
        let question = ContainerStatusRequest { container_id: container.to_owned(), verbose: true };
        let said = self.client.call("/runtime.v1.RuntimeService/ContainerStatus", question).await;
        match said {
            Ok(ContainerStatusResponse { info }) => Ok(convert::pid(info.get("info"))),
            Err(status) if status.code() == Code::NotFound => Ok(0),
            Err(status) => Err(End::Failed(refused("ContainerStatus", &status))),
        }
    }

    async fn ask<Q, R>(&mut self, method: &'static str, question: Q) -> Result<R, End>
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let answer = self.client.call(method, question).await;
        let name = method.rsplit('/').next().unwrap_or(method);
        Ok(answer.map_err(|status| refused(name, &status)).context("the pod runtime")?)
    }

    async fn send(&self, update: PodUpdate) -> Result<(), End> {
        self.updates.send(update).await.map_err(|_| End::NobodyListens)
    }
}
