//! What is asked about one sandbox or container at a time → answers as they come: some at once, each by itself, so
//! that one that hangs holds up nobody else. What could not be said is asked for again after a pause.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tonic::{Code, Status};

use super::{
    client::{Client, ONE, refused},
    convert,
    wire::{
        ContainerStatusRequest, ContainerStatusResponse, PodSandbox, PodSandboxStatusRequest,
        PodSandboxStatusResponse,
    },
};
use crate::{
    failure,
    identity::text,
    runtime::{backoff, facts::pod::RuntimePod},
};

/// First questions under way at once.
const AT_ONCE: usize = 4;
/// And such as were not answered before: they may hang, and hold up nobody who is new.
const AGAIN_AT_ONCE: usize = 1;

/// What was answered. One that ended since it was listed has nothing to say.
pub(super) enum Answer {
    /// A pod, of the sandbox as it was listed.
    Pod(PodSandbox, Option<Arc<RuntimePod>>),
    /// A container's first process; 0 if it is not said.
    Process(String, u32),
}

/// Who gave no answer that is of use, and when it is asked again.
#[derive(Debug)]
struct Later {
    failures: u32,
    at: Instant,
}

/// Of whom the log says that they cannot be asked about: one line, until none of them is listed any more.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<BTreeSet<String>>);

impl Told {
    pub(super) fn keep(&self, listed: &BTreeSet<&str>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| listed.contains(id.as_str()));
    }

    pub(super) fn tell(&self, id: String, why: &anyhow::Error) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_empty() {
            let (id, why) = (text::clean(&id), failure::one_line(why));
            tracing::warn!(%id, %why, "the pod runtime lists this and cannot say more about it");
        }
        told.insert(id);
    }
}

struct Said {
    id: String,
    answer: Result<Answer, anyhow::Error>,
    /// What it cost, with all that was done meanwhile.
    cost: Duration,
    turn: Option<OwnedSemaphorePermit>,
}

/// The questions to one runtime.
pub(super) struct Statuses {
    client: Client,
    runtime: Arc<str>,
    /// For first questions, and for others.
    turns: [Arc<Semaphore>; 2],
    asking: JoinSet<Said>,
    /// Turns that are not given to another before what the last one cost in vain is made good.
    resting: JoinSet<()>,
    /// Who is being asked; whether for the first time.
    asked: BTreeMap<String, bool>,
    later: BTreeMap<String, Later>,
    /// Who was asked in vain since this was last emptied, and why.
    pub(super) troubles: Vec<(String, anyhow::Error)>,
}

impl Statuses {
    pub(super) fn new(client: Client, runtime: Arc<str>) -> Self {
        let turns = [AT_ONCE, AGAIN_AT_ONCE].map(|turns| Arc::new(Semaphore::new(turns)));
        let (asked, later) = (BTreeMap::new(), BTreeMap::new());
        Self {
            client,
            runtime,
            turns,
            asking: JoinSet::new(),
            resting: JoinSet::new(),
            asked,
            later,
            troubles: Vec::new(),
        }
    }

    /// Forgets who is not listed any more.
    pub(super) fn keep(&mut self, listed: &BTreeSet<&str>) {
        self.later.retain(|id, _| listed.contains(id.as_str()));
    }

    /// Asks about a sandbox, unless that is under way or too early.
    pub(super) fn sandbox(&mut self, listed: &PodSandbox) {
        let (client, runtime, listed) = (self.client.clone(), Arc::clone(&self.runtime), listed.clone());
        self.ask(listed.id.clone(), async move {
            let said = sandbox_status(client, &listed.id).await?;
            let pod = said.and_then(|said| convert::pod(&listed, &said, &runtime)).map(Arc::new);
            Ok(Answer::Pod(listed, pod))
        });
    }

    /// Asks about a container, unless that is under way or too early.
    pub(super) fn container(&mut self, id: &str) {
        let (client, id) = (self.client.clone(), id.to_owned());
        self.ask(id.clone(), async move {
            let pid = first_process(client, &id).await?;
            Ok(Answer::Process(id, pid))
        });
    }

    fn ask(&mut self, id: String, answer: impl Future<Output = anyhow::Result<Answer>> + Send + 'static) {
        let later = self.later.get(&id);
        if self.asked.contains_key(&id) || later.is_some_and(|later| Instant::now() < later.at) {
            return;
        }
        let is_first = later.is_none();
        self.asked.insert(id.clone(), is_first);
        let [first, again] = &self.turns;
        let turns = Arc::clone(if is_first { first } else { again });
        let meter = self.client.meter.clone();
        self.asking.spawn(async move {
            // Never closed, so never refused.
            let turn = turns.acquire_owned().await.ok();
            let before = meter.spent();
            let answer = meter.time(answer).await;
            Said { id, answer, cost: meter.spent().saturating_sub(before), turn }
        });
    }

    /// The next answer; `None` if all who are asked for the first time have answered, or by `until`.
    pub(super) async fn first(&mut self, until: Instant) -> Option<Answer> {
        while self.asked.values().any(|first| *first) {
            let said = timeout_at(until, self.asking.join_next()).await.ok().flatten()?.ok()?;
            if let Some(answer) = self.take(said) {
                return Some(answer);
            }
        }
        None
    }

    /// Waits for an answer, for ever where nobody is asked.
    pub(super) async fn next(&mut self) -> Answer {
        loop {
            match self.asking.join_next().await {
                Some(Ok(said)) => {
                    if let Some(answer) = self.take(said) {
                        return answer;
                    }
                }
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn take(&mut self, said: Said) -> Option<Answer> {
        self.asked.remove(&said.id);
        let useful = match &said.answer {
            Ok(Answer::Pod(_, pod)) => pod.as_ref().is_some_and(|pod| pod.pid != 0),
            Ok(Answer::Process(_, pid)) => *pid != 0,
            Err(_) => false,
        };
        if useful {
            self.later.remove(&said.id);
        } else {
            while self.resting.try_join_next().is_some() {}
            let (turn, rest) = (said.turn, backoff::rest(said.cost));
            self.resting.spawn(async move {
                sleep(rest).await;
                drop(turn);
            });
            let now = Instant::now();
            let later = self.later.entry(said.id.clone()).or_insert(Later { failures: 0, at: now });
            later.failures = later.failures.saturating_add(1);
            let random = RandomState::new().hash_one(&said.id);
            later.at = now + backoff::delay(later.failures, backoff::LONGEST, random);
        }
        match said.answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.troubles.push((said.id, error));
                None
            }
        }
    }
}

async fn sandbox_status(mut client: Client, id: &str) -> anyhow::Result<Option<PodSandboxStatusResponse>> {
    let question = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
    let said = client.call("/runtime.v1.RuntimeService/PodSandboxStatus", question, ONE).await;
    unless_ended(said).map_err(|status| refused("PodSandboxStatus", &status))
}

async fn first_process(mut client: Client, id: &str) -> anyhow::Result<u32> {
    let question = ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
    let said = client.call("/runtime.v1.RuntimeService/ContainerStatus", question, ONE).await;
    let said = unless_ended::<ContainerStatusResponse>(said);
    let said = said.map_err(|status| refused("ContainerStatus", &status))?;
    Ok(said.map_or(0, |said| convert::pid(said.info.get("info"))))
}

/// It may have ended since it was listed.
fn unless_ended<T>(said: Result<T, Status>) -> Result<Option<T>, Status> {
    match said {
        Err(status) if status.code() == Code::NotFound => Ok(None),
        said => said.map(Some),
    }
}
