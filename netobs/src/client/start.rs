//! A socket path → an agent that answers there: the one that runs, else one started inside this process.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use tokio::time::sleep;

use super::{Client, NoAgent};
use crate::{
    daemon::{self, Readers},
    failure::Failure,
    settings::Settings,
    shutdown::Shutdown,
};

/// Loading, attaching to every interface and the first round.
const READY: Duration = Duration::from_secs(60);

/// How long an agent inside may take to detach.
const STOP: Duration = Duration::from_secs(5);

/// How often an agent that starts, or stops, is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// An agent that answers.
#[derive(Debug)]
pub struct Connected {
    /// Asks it.
    pub client: Client,
    /// Set if it runs inside this process.
    pub inside: Option<Inside>,
}

/// An agent inside this process.
#[derive(Debug)]
pub struct Inside {
    shutdown: Shutdown,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Asks the agent at the settings' socket; starts one there if nobody answers and the caller `may_start`, which
/// is told through `say`.
///
/// # Errors
/// If nobody answers and no agent can be started, or the agent that answers may not be asked.
pub async fn connect_or_start(
    readers: Readers,
    settings: &Settings,
    may_start: bool,
    say: impl FnOnce(&str),
) -> anyhow::Result<Connected> {
    let client = Client::new(&settings.socket);
    let Err(error) = client.body("/healthz").await else { return Ok(Connected { client, inside: None }) };
    if error.downcast_ref::<NoAgent>().is_none() {
        // Somebody is there, if only to say that it is not well.
        if error.downcast_ref::<Failure>().is_none() {
            return Ok(Connected { client, inside: None });
        }
        return Err(error);
    }
    if !may_start {
        let path = settings.socket.display();
        return Err(Failure::access(format!(
            "no agent answers at {path}, and this user may not start one; run `netobs agent` as root"
        ))
        .into());
    }
    say(&format!(
        "no agent answers at {}: starting one inside this command, which serves that socket until it ends",
        settings.socket.display()
    ));
    let mut inside = Inside::start(readers, settings.clone())?;
    let begun = Instant::now();
    while !client.is_ready().await {
        if inside.is_over() {
            return Err(inside.stop().await.err().unwrap_or_else(|| anyhow!("the agent stopped at once")));
        }
        if begun.elapsed() > READY {
            inside.stop().await?;
            bail!("the agent was not ready within {} s", READY.as_secs());
        }
        sleep(LOOK).await;
    }
    Ok(Connected { client, inside: Some(inside) })
}

impl Inside {
    fn start(readers: Readers, settings: Settings) -> anyhow::Result<Self> {
        let shutdown = Shutdown::default();
        let stop = shutdown.clone();
        let agent = move || daemon::run(readers, &settings, &stop, |_| ());
        let thread = thread::Builder::new()
            .name("agent".to_owned())
            .spawn(agent)
            .context("no thread for the agent")?;
        Ok(Self { shutdown, thread: Some(thread) })
    }

    /// Whether it ended by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops it, and waits until it has detached.
    ///
    /// # Errors
    /// What made it fail, or that it does not stop.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.shutdown.trigger();
        let begun = Instant::now();
        while !self.is_over() {
            if begun.elapsed() > STOP {
                bail!("the agent inside this command does not stop; `netobs cleanup` removes what it leaves");
            }
            sleep(LOOK).await;
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => bail!("the agent inside this command failed"),
            None => Ok(()),
        }
    }
}

impl Drop for Inside {
    /// A command that ends early, by a signal for example, still waits until what was attached is detached:
    /// a filter on clsact would stay.
    fn drop(&mut self) {
        self.shutdown.trigger();
        let begun = Instant::now();
        while !self.is_over() && begun.elapsed() < STOP {
            thread::sleep(LOOK);
        }
    }
}
