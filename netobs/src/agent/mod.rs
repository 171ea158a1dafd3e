//! Wiring: sources of facts, the kernel side and the collector → a report a tick.

mod cluster;
mod configuration;
mod conntrack;
mod drops;
mod elsewhere;
mod firewall;
mod first_processes;
mod hidden;
mod inside;
mod interfaces;
mod journal;
mod links;
mod names;
mod observer;
mod placement;
mod probing;
mod processes;
mod publish;
mod seen;
mod sockets;
mod tables;
mod tunnels;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, MissedTickBehavior, interval_at},
};

use self::observer::Observer;
pub use self::{configuration::configuration, probing::probe};
use crate::{
    failure,
    host::{self, facts::HostEvent, health::WatchHealth},
    kernel,
    publication::Publisher,
    runtime::{self, guests::read::Places},
    settings::Settings,
    shutdown::Shutdown,
};

/// The length of a tick.
const TICK: Duration = Duration::from_secs(1);
/// How long the first tick waits for the connections tracked before the agent started.
const CONNTRACK_WITHIN: Duration = Duration::from_secs(5);
/// Ticks in a row that may fail before the agent gives up. Nothing is lost meanwhile: the kernel counts on.
const FAILURES: u32 = 10;
/// Changes seldom come alone: namespaces are read so long after the first of them.
const NAMESPACES_AFTER: Duration = Duration::from_millis(100);
/// Namespaces without an interface of ours are announced by nobody: they are found by looking.
const NAMESPACES_EVERY: Duration = Duration::from_secs(10);
/// Where libvirt's lease helper keeps what its networks gave away (`LOCALSTATEDIR`, libvirt 9.0).
const LIBVIRT_LEASES: &str = "/var/lib/libvirt/dnsmasq";
/// Changes of the host taken in at once before interfaces are attached.
const BURST: usize = 512;

/// Observes until `shutdown`.
#[must_use]
pub fn observe(
    settings: Settings,
    reports: Publisher,
    shutdown: Shutdown,
) -> LocalBoxFuture<'static, Result<()>> {
    run(settings, reports, shutdown).boxed_local()
}

async fn run(settings: Settings, reports: Publisher, shutdown: Shutdown) -> Result<()> {
    let mut observer = Observer::start(&settings)?;
    let (host_events, mut host) = mpsc::channel::<HostEvent>(4_096);
    let health = Arc::new(WatchHealth::default());
    observer.watches("netlink", Arc::clone(&health));
    let mut links = tokio::spawn(async move { host::watch::watch(host_events, &health).await });
    let mut conntrack = conntrack::start(&mut observer)?;
    let (docker_updates, mut docker) = mpsc::channel(256);
    if let Some(socket) = settings.docker_socket.clone() {
        tokio::spawn(runtime::docker::watch(socket, docker_updates));
    }
    let (pod_updates, mut pods) = mpsc::channel(16);
    let look_for_pods = Arc::new(Notify::new());
    let sockets = settings.cri_socket.candidates();
    if !sockets.is_empty() {
        tokio::spawn(runtime::cri::watch(sockets, Arc::clone(&look_for_pods), pod_updates));
    }
    let mut rules = firewall::start();
    let mut cluster = cluster::start(&settings, &observer.cluster_node);
    let (guest_looks, mut guests) = mpsc::channel(1);
    let look_for_guests = Arc::new(Notify::new());
    let places = Places { libvirt: settings.libvirt_dir.clone(), leases: LIBVIRT_LEASES.into() };
    tokio::spawn(runtime::guests::watch::watch(places, Arc::clone(&look_for_guests), guest_looks));

    let mut tick = interval_at(Instant::now() + TICK, TICK);
    // A tick that took too long is followed by a whole one: ticks never pile up.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut namespaces_due = Some(Instant::now());
    let mut batch = Vec::new();
    let began = Instant::now();
    let mut failures = 0;
    loop {
        let due = namespaces_due.unwrap_or_else(Instant::now);
        let deferred = observer.deferred_until().map_or_else(Instant::now, Instant::from_std);
        tokio::select! {
            biased;
            () = shutdown.wait() => return Ok(()),
            _ = tick.tick() => {
                if observer.namespaces_age() >= NAMESPACES_EVERY || observer.awaits_addresses() {
                    namespaces_due.get_or_insert(Instant::now());
                }
                // A flow judged before its translation is known would stay unjoined.
                conntrack.update(kernel::monotonic_now());
                let ready = conntrack.is_ready() || began.elapsed() >= CONNTRACK_WITHIN;
                if observer.is_synced() && ready {
                    match observer.tick(&mut conntrack, reports.is_looked_at(std::time::Instant::now())).await {
                        Ok(report) => {
                            failures = 0;
                            reports.send(report);
                        }
                        Err(error) if failures < FAILURES => {
                            failures += 1;
                            tracing::warn!(error = %failure::one_line(&error), "this tick says nothing new");
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            taken = host.recv_many(&mut batch, BURST) => {
                if taken == 0 {
                    let outcome = (&mut links).await.context("the reader of the network configuration failed")?;
                    outcome?;
                    anyhow::bail!("the reader of the network configuration ended");
                }
                let matters = observer.host_changed(batch.drain(..));
                if matters {
                    namespaces_due.get_or_insert(Instant::now() + NAMESPACES_AFTER);
                    look_for_guests.notify_one();
                    look_for_pods.notify_one();
                }
            }
            Some(update) = docker.recv() => {
                observer.containers_changed(update);
                namespaces_due = Some(Instant::now());
            }
            Some(update) = pods.recv() => {
                observer.pods_changed(update);
                namespaces_due = Some(Instant::now());
            }
            Some(update) = cluster.recv() => observer.cluster_changed(update),
            Some(look) = guests.recv() => observer.guests_changed(look),
            Some((changes, time)) = rules.recv() => observer.journal.changes(changes, time),
            () = tokio::time::sleep_until(due), if namespaces_due.is_some() && observer.is_synced() => {
                namespaces_due = None;
                observer.read_namespaces().await;
            }
            () = tokio::time::sleep_until(deferred), if observer.deferred_until().is_some() => {
                observer.place_deferred();
            }
            () = std::future::ready(()), if observer.has_waiting() => {
                observer.place_waiting();
                // The tick and the sockets get their turn between two handfuls.
                tokio::task::yield_now().await;
            }
        }
    }
}
