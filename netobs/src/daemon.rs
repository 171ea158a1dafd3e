//! Settings and an observer → a running agent: one per network namespace, its faces on a thread of their own.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use anyhow::{Context, anyhow};
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use tokio::runtime::Builder;

use crate::{
    api::{AskedReaders, Faces, Listeners},
    instance::Instance,
    publication::{self, Publisher, Subscription},
    report::Report,
    settings::Settings,
    shutdown::Shutdown,
};

/// What observes: attaches, and sends a report a tick until it is time to stop. Faces know it by this alone.
pub type Observe = fn(Settings, Publisher, Shutdown) -> LocalBoxFuture<'static, anyhow::Result<()>>;

/// What reads the world for an agent.
#[derive(Clone, Copy)]
pub struct Readers {
    /// Observes this host.
    pub observe: Observe,
    /// For somebody who asks.
    pub asked: AskedReaders,
}

/// Where an agent can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// `/metrics`.
    pub metrics: SocketAddr,
    /// The JSON API.
    pub web: SocketAddr,
}

/// Runs until `shutdown`, or until a part fails. `listening` is told once everything is bound, before anything
/// is attached. The lock comes first: a second agent fails before it takes anything from the first.
///
/// # Errors
/// If another agent runs here, an address cannot be had, or the observer fails.
pub fn run(
    readers: Readers,
    settings: &Settings,
    shutdown: &Shutdown,
    listening: impl FnOnce(Addresses),
) -> anyhow::Result<()> {
    let _instance = Instance::acquire()?;
    let node = nix::sys::utsname::uname().context("the host's name cannot be read")?;
    let empty = Report::empty(node.nodename().to_string_lossy().into(), Timestamp::now());
    let (publisher, subscription) = publication::channel(empty);

    let (addresses, faces) = show(settings, subscription, readers.asked, shutdown.clone())?;
    listening(addresses);
    let runtime =
        Builder::new_current_thread().enable_all().build().context("no runtime for the observer")?;
    let observed = runtime.block_on((readers.observe)(settings.clone(), publisher, shutdown.clone()));
    shutdown.trigger();
    // Tasks that still block must not keep the process.
    runtime.shutdown_background();
    let shown = faces.join().map_err(|_| anyhow!("the part that answers questions failed"));
    observed?;
    shown
}

/// The faces, on a thread of their own: a tick that takes long must not delay an answer, nor the reverse.
fn show(
    settings: &Settings,
    reports: Subscription,
    readers: AskedReaders,
    shutdown: Shutdown,
) -> anyhow::Result<(Addresses, JoinHandle<()>)> {
    let runtime =
        Builder::new_current_thread().enable_all().build().context("no runtime for the listeners")?;
    let settings = settings.clone();
    let (bound, binding) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name("faces".to_owned()).spawn(move || {
        let _stop = StopOnDrop(shutdown.clone());
        runtime.block_on(async move {
            let listeners = match Listeners::bind(&settings).await {
                Ok(listeners) => listeners,
                Err(error) => return drop(bound.send(Err(error))),
            };
            let addresses = Addresses { metrics: listeners.metrics_address, web: listeners.web_address };
            if bound.send(Ok(addresses)).is_ok() {
                let faces = Arc::new(Faces::new(&settings, reports, readers, shutdown.clone()));
                listeners.serve(faces, shutdown).await;
            }
        });
    });
    let thread = thread.context("no thread for the listeners")?;
    let addresses = binding.recv().map_err(|_| anyhow!("the part that answers questions failed"))??;
    Ok((addresses, thread))
}

/// An agent that cannot be asked is of no use: whatever ends the faces ends the rest.
struct StopOnDrop(Shutdown);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        client::{Client, connect_or_start},
        failure,
        settings::Layer,
    };

    /// Reports every 10 ms. One lock a namespace: everything about the whole agent is one test.
    fn reporting(
        settings: Settings,
        reports: Publisher,
        shutdown: Shutdown,
    ) -> LocalBoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            assert!(settings.socket.exists(), "bound before anything is attached");
            while !shutdown.is_triggered() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                reports.send(crate::api::made_up::report());
            }
            Ok(())
        })
    }

    fn failing(_: Settings, _: Publisher, _: Shutdown) -> LocalBoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async { Err(failure::Failure::access("needs CAP_BPF").into()) })
    }

    fn readers(observe: Observe) -> Readers {
        Readers { observe, asked: crate::api::made_up::readers() }
    }

    fn settings(directory: &tempfile::TempDir, name: &str) -> Settings {
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let socket = Some(directory.path().join(name).to_str().unwrap().to_owned());
        Settings::check(Layer { metrics_listen: listen, web_listen: listen, socket, ..Layer::default() })
            .unwrap()
    }

    #[tokio::test]
    async fn a_command_asks_the_agent_that_runs_or_starts_one_and_takes_it_along() {
        let directory = tempfile::tempdir().unwrap();
        let here = settings(&directory, "a.sock");

        let error =
            connect_or_start(readers(reporting), &here, false, |_| panic!("not started")).await.unwrap_err();
        assert_eq!(failure::status(&error).code(), 3);

        let error = connect_or_start(readers(failing), &here, true, |_| ()).await.unwrap_err();
        assert_eq!(error.to_string(), "needs CAP_BPF");

        let mut said = String::new();
        let mut first =
            connect_or_start(readers(reporting), &here, true, |line| said.push_str(line)).await.unwrap();
        assert!(said.contains("starting one inside this command"), "{said}");
        assert_eq!(first.client.top().await.unwrap().flows.flows.len(), 3);

        let second = connect_or_start(readers(failing), &here, true, |_| panic!("one runs")).await.unwrap();
        assert!(second.inside.is_none());

        // Another socket, the same namespace: refused by the lock, before anything is bound.
        let elsewhere = settings(&directory, "b.sock");
        let error = connect_or_start(readers(reporting), &elsewhere, true, |_| ()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error:#}");
        assert!(!elsewhere.socket.exists());

        first.inside.as_mut().unwrap().stop().await.unwrap();
        assert!(!here.socket.exists());
        assert!(Client::new(&here.socket).top().await.is_err());
    }

    #[test]
    fn an_address_that_is_taken_is_a_usage_error() {
        let directory = tempfile::tempdir().unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = settings(&directory, "c.sock");
        settings.metrics_listen = taken.local_addr().unwrap();
        let (_, receiver) = publication::channel(crate::api::made_up::report());
        let error = show(&settings, receiver, readers(failing).asked, Shutdown::default()).unwrap_err();
        assert_eq!(failure::status(&error).code(), 2);
        assert!(error.to_string().starts_with("--metrics-listen 127.0.0.1:"), "{error:#}");
    }
}
