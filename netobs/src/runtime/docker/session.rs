//! One connection's life with an Engine API: everything that runs, then what changes, until it breaks.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use super::{
    convert::{self, Dialect},
    events::{Changes, Events},
    http::{Client, Reply},
    wire::{Inspected, Listed, Network, Version},
};
use crate::runtime::{
    facts::{RuntimeContainer, RuntimeState, RuntimeUpdate},
    follow::End,
    meter::Meter,
};

/// How often everything is listed although events are followed.
const RELIST: Duration = Duration::from_secs(30);
/// How often a container is inspected although its entry in the list has not changed.
const REINSPECT: Duration = Duration::from_secs(300);
/// Longest a full list with all its inspections may take.
const ROUND_TIMEOUT: Duration = Duration::from_secs(60);
/// Only these two types: images, volumes and their like make events too.
/// The filter is `{"type":["container","network"]}`.
const EVENTS: &str = "events?filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";

const VERSION_LIMIT: usize = 64 * 1024;
const LIST_LIMIT: usize = 16 * 1024 * 1024;
const INSPECT_LIMIT: usize = 4 * 1024 * 1024;

/// A connection to one runtime and what was read over it.
pub(super) struct Session<'a> {
    client: Client,
    dialect: Dialect,
    updates: &'a Sender<RuntimeUpdate>,
    networks: BTreeMap<String, Network>,
    known: BTreeMap<String, Known>,
}

struct Known {
    listed: Option<Listed>,
    inspected: Instant,
    container: Arc<RuntimeContainer>,
}

impl<'a> Session<'a> {
    /// Follows the runtime at `socket` until it fails or nobody listens. `on_ready` is told once, after
    /// everything that runs has been sent.
    pub(super) async fn run(
        socket: &Path,
        updates: &'a Sender<RuntimeUpdate>,
        meter: &Meter,
        on_ready: impl FnOnce(&Dialect),
    ) -> End {
        match Self::follow(socket, updates, meter, on_ready).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn follow(
        socket: &Path,
        updates: &'a Sender<RuntimeUpdate>,
        meter: &Meter,
        on_ready: impl FnOnce(&Dialect),
    ) -> Result<std::convert::Infallible, End> {
        let mut client = Client::new(socket, meter);
        let said: Version = parse(client.get("/version", VERSION_LIMIT).await?).context("GET /version")?;
        let dialect = convert::dialect(&said).context("GET /version: no API version in the reply")?;
        // Events first, then the list: what happens in between is seen twice rather than never.
        let stream = client.stream(&format!("/v{}/{EVENTS}", dialect.api)).await?;
        let mut events = Events::new(stream);
        let mut session =
            Self { client, dialect, updates, networks: BTreeMap::new(), known: BTreeMap::new() };
        session.relist().await?;
        session
            .send(RuntimeUpdate::State(RuntimeState::Ready {
                runtime: session.dialect.runtime.name().into(),
                version: Arc::clone(&session.dialect.version),
                api: Arc::clone(&session.dialect.api),
            }))
            .await?;
        on_ready(&session.dialect);

        let mut relist = interval_at(Instant::now() + RELIST, RELIST);
        relist.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending = Changes::default();
        loop {
            meter.step_is_of_use().await;
            tokio::select! {
                event = events.next(&mut pending) => event?,
                _ = relist.tick() => pending.everything = true,
                () = updates.closed() => return Err(End::NobodyListens),
            }
            session.catch_up(std::mem::take(&mut pending)).await?;
        }
    }

    async fn catch_up(&mut self, changes: Changes) -> Result<(), End> {
        if changes.everything {
            return self.relist().await;
        }
        if changes.networks {
            self.read_networks().await?;
        }
        for id in changes.containers {
            match self.inspect(&id).await? {
                Some(container) => {
                    let known = self.known.get(&id).is_some_and(|known| *known.container == container);
                    let container = Arc::new(container);
                    self.remember(&id, None, Arc::clone(&container));
                    if !known {
                        self.send(RuntimeUpdate::Changed(container)).await?;
                    }
                }
                None if self.known.remove(&id).is_some() => {
                    self.send(RuntimeUpdate::Gone(id.into())).await?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Lists everything, inspects what is new or changed, and sends the whole.
    async fn relist(&mut self) -> Result<(), End> {
        match timeout(ROUND_TIMEOUT, self.list_and_inspect()).await {
            Ok(listed) => listed?,
            Err(_) => {
                let known = self.known.len();
                let limit = ROUND_TIMEOUT.as_secs();
                return Err(End::Failed(anyhow::anyhow!("listing took over {limit} s ({known} known)")));
            }
        }
        let all = self.known.values().map(|one| Arc::clone(&one.container)).collect();
        self.send(RuntimeUpdate::Containers(all)).await
    }

    async fn list_and_inspect(&mut self) -> Result<()> {
        self.read_networks().await?;
        let path = format!("/v{}/containers/json", self.dialect.api);
        let listed: Vec<Listed> =
            parse(self.client.get(&path, LIST_LIMIT).await?).context("GET containers")?;
        let listed: Vec<_> = listed.into_iter().filter(|one| convert::is_id(&one.id)).collect();
        let running: BTreeSet<_> = listed.iter().map(|one| one.id.clone()).collect();
        self.known.retain(|id, _| running.contains(id));
        for entry in listed {
            if self.is_current(&entry) {
                continue;
            }
            let id = entry.id.clone();
            match self.inspect(&id).await? {
                Some(container) => self.remember(&id, Some(entry), Arc::new(container)),
                None => {
                    self.known.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn is_current(&self, entry: &Listed) -> bool {
        self.known.get(&entry.id).is_some_and(|known| {
            known.listed.as_ref() == Some(entry) && known.inspected.elapsed() < REINSPECT
        })
    }

    fn remember(&mut self, id: &str, listed: Option<Listed>, container: Arc<RuntimeContainer>) {
        self.known.insert(id.to_owned(), Known { listed, inspected: Instant::now(), container });
    }

    async fn inspect(&mut self, id: &str) -> Result<Option<RuntimeContainer>> {
        let path = format!("/v{}/containers/{id}/json", self.dialect.api);
        let Reply::Found(body) = self.client.get(&path, INSPECT_LIMIT).await? else { return Ok(None) };
        let said: Inspected = serde_json::from_slice(&body).with_context(|| format!("GET {path}"))?;
        let unheard = |said: &Inspected, networks: &BTreeMap<String, Network>| {
            said.network_settings
                .networks
                .values()
                .any(|one| !one.network_id.is_empty() && !networks.contains_key(&one.network_id))
        };
        // Compose makes a network and starts containers on it within one batch of events.
        if said.id == id && unheard(&said, &self.networks) {
            self.read_networks().await?;
        }
        Ok(convert::container(&said, self.dialect.runtime, &self.networks).filter(|one| &*one.id == id))
    }

    async fn read_networks(&mut self) -> Result<()> {
        let path = format!("/v{}/networks", self.dialect.api);
        let all: Vec<Network> = parse(self.client.get(&path, LIST_LIMIT).await?).context("GET networks")?;
        self.networks = all.into_iter().map(|one| (one.id.clone(), one)).collect();
        Ok(())
    }

    async fn send(&self, update: RuntimeUpdate) -> Result<(), End> {
        self.updates.send(update).await.map_err(|_| End::NobodyListens)
    }
}

fn parse<T: serde::de::DeserializeOwned>(reply: Reply) -> Result<T> {
    match reply {
        Reply::Found(body) => serde_json::from_slice(&body).context("not the JSON expected"),
        Reply::NotFound => bail!("404: is this a container runtime?"),
    }
}
