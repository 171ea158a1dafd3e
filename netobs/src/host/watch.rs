//! The host's network configuration, live: one dump, then every change the kernel announces, as events.

mod dumps;

use std::time::Duration;

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_ROUTE;
use tokio::{
    sync::mpsc::Sender,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    decode,
    facts::HostEvent,
    health::WatchHealth,
    mirror::Mirror,
    netlink::{Datagram, NetlinkSocket, messages},
};

/// `RTNLGRP_…`: links, neighbours and FDB, addresses and routes of both families, namespace identifiers.
const GROUPS: [u32; 7] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_NEIGH,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_NSID,
];
/// A link message takes 3 KiB of it with the kernel's own overhead: some 10,000 changes while we are busy.
const RECEIVE_BUFFER: usize = 32 * 1024 * 1024;
/// Tables are handed on when they have been quiet for so long …
const QUIET: Duration = Duration::from_millis(200);
/// … or at the latest so long after the first change.
const LATEST: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(1);

/// Watches the network namespace of the calling thread until the receiver is dropped. Links are told at
/// once, tables when they settle. Lost notifications are counted in `health` and made good by a new dump,
/// whose differences are told as events.
///
/// # Errors
/// The sockets cannot be opened, or the first dump fails. Later failures are retried and logged.
pub async fn watch(events: Sender<HostEvent>, health: &WatchHealth) -> anyhow::Result<()> {
    // Listening before dumping: what happens during the dump is read after it and converges.
    let socket = NetlinkSocket::open(NETLINK_ROUTE, &GROUPS, RECEIVE_BUFFER)?;
    let facts = dumps::facts(health).await.context("cannot read the network configuration")?;
    health.dump();
    let watcher =
        Watcher { socket, events, health, mirror: Mirror::new(facts), due: None, routes: JoinSet::new() };
    watcher.run().await
}

/// The receiver is gone: nobody is left to tell.
struct Unheard;

struct Watcher<'a> {
    socket: NetlinkSocket,
    events: Sender<HostEvent>,
    health: &'a WatchHealth,
    mirror: Mirror,
    due: Option<Due>,
    /// Reads the routes beside the notifications: a large table must not delay an attachment.
    routes: JoinSet<anyhow::Result<dumps::Routes>>,
}

#[derive(Clone, Copy)]
struct Due {
    latest: Instant,
    quiet: Instant,
}

impl Watcher<'_> {
    async fn run(mut self) -> anyhow::Result<()> {
        let first = HostEvent::Synced(Box::new(self.mirror.facts().clone()));
        if self.tell(vec![first]).await.is_err() {
            return Ok(());
        }
        loop {
            match self.step().await {
                Ok(Ok(())) => {}
                Ok(Err(Unheard)) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    async fn step(&mut self) -> anyhow::Result<Result<(), Unheard>> {
        let due = self.due.map(|due| due.quiet.min(due.latest));
        tokio::select! {
            biased;
            () = self.events.closed() => Ok(Err(Unheard)),
            datagram = self.socket.receive() => {
                let (events, lost) = take(datagram?, &mut self.mirror, self.health);
                if self.tell(events).await.is_err() {
                    return Ok(Err(Unheard));
                }
                if lost && self.recover().await?.is_err() {
                    return Ok(Err(Unheard));
                }
                self.schedule();
                Ok(Ok(()))
            }
            Some(read) = self.routes.join_next() => {
                self.take_routes(read.context("the reader of the routes failed").flatten());
                Ok(Ok(()))
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                self.due = None;
                Ok(self.flush().await)
            }
        }
    }

    async fn tell(&self, events: Vec<HostEvent>) -> Result<(), Unheard> {
        for event in events {
            self.events.send(event).await.map_err(|_| Unheard)?;
        }
        Ok(())
    }

    fn schedule(&mut self) {
        if self.mirror.is_dirty() {
            let now = Instant::now();
            let latest = self.due.map_or(now + LATEST, |due| due.latest);
            self.due = Some(Due { latest, quiet: now + QUIET });
        }
    }

    async fn flush(&mut self) -> Result<(), Unheard> {
        // Not beside the notifications: applied after one that is newer, it would undo that.
        if self.mirror.take_links_touched() && self.refresh_links().await.is_err() {
            return Err(Unheard);
        }
        // One reader at a time; what is touched while it reads is read again after it.
        if self.routes.is_empty() && self.mirror.take_routes_touched() {
            self.routes.spawn(dumps::routes());
        }
        let tables = self.mirror.take_tables();
        let events = if tables.is_empty() { vec![] } else { vec![HostEvent::FactsChanged(tables)] };
        self.tell(events).await
    }

    async fn refresh_links(&mut self) -> Result<(), Unheard> {
        match dumps::links(self.health).await {
            Ok(links) => {
                let events = self.mirror.resync_links(links, false);
                self.tell(events).await
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot read the links again; trying later");
                self.mirror.observe(decode::Change::NamespacesTouched);
                self.schedule();
                Ok(())
            }
        }
    }

    fn take_routes(&mut self, read: anyhow::Result<dumps::Routes>) {
        match read {
            Ok(read) => {
                self.health.undecoded(read.undecoded);
                self.health.incomplete(read.incomplete);
                self.mirror.resync_routes(read.routes);
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot read the routes; trying again");
                self.mirror.observe(decode::Change::RoutesTouched);
            }
        }
        self.schedule();
    }

    /// After a loss: what is still queued is older than what was lost, so it is taken in first; were it
    /// taken in after the dump, it could bring back what is gone.
    async fn recover(&mut self) -> anyhow::Result<Result<(), Unheard>> {
        loop {
            while let Some(datagram) = self.socket.try_receive()? {
                let (events, _) = take(datagram, &mut self.mirror, self.health);
                if self.tell(events).await.is_err() {
                    return Ok(Err(Unheard));
                }
            }
            match dumps::all_but_routes(self.health).await {
                Ok(found) => {
                    self.health.dump();
                    let events = self.mirror.resync_links(found.links, true);
                    self.mirror.resync_tables(found.addresses, found.neighbours, found.fdb);
                    return Ok(self.tell(events).await);
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "cannot read the network configuration again"
                    );
                    sleep(RETRY).await;
                }
            }
        }
    }
}

/// The link events of one datagram, and whether notifications were lost.
fn take(datagram: Datagram<'_>, mirror: &mut Mirror, health: &WatchHealth) -> (Vec<HostEvent>, bool) {
    let Datagram::Messages(bytes) = datagram else {
        health.loss();
        return (Vec::new(), true);
    };
    let mut events = Vec::new();
    for message in messages(bytes) {
        match decode::change(message) {
            Ok(change) => {
                health.event();
                events.extend(mirror.observe(change));
            }
            Err(decode::Malformed) => health.undecoded(1),
        }
    }
    (events, false)
}
