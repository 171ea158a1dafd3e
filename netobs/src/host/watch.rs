//! The host's network configuration, live: one dump, then every change the kernel announces, as events.

mod dumps;
mod taken;

use std::time::Duration;

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_ROUTE;
use tokio::{
    sync::mpsc::Sender,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

pub(super) use self::dumps::facts;
use self::taken::Taken;
use super::{
    decode,
    facts::HostEvent,
    health::WatchHealth,
    mirror::{Mirror, Resync},
    netlink::NetlinkSocket,
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
/// Measured: more than 30,000 link messages wait in it while we are busy, a thousand pairs made and set up.
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
    let mirror = Mirror::new(facts);
    let watcher =
        Watcher { socket, events, health, mirror, due: None, reread: false, routes: JoinSet::new() };
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
    /// The last dump may lack something.
    reread: bool,
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
            // Before the notifications, which may never pause; neither of these two is ready often.
            Some(read) = self.routes.join_next() => {
                self.take_routes(read.context("the reader of the routes failed").flatten());
                Ok(Ok(()))
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                self.due = None;
                self.flush().await
            }
            datagram = self.socket.receive() => {
                let mut taken = Taken::default();
                taken.add(datagram?, self.health);
                let lost = taken.lost;
                let heard = self.observe(taken).await;
                if lost && heard.is_ok() { self.recover().await } else { Ok(heard) }
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
        if self.mirror.is_dirty() || self.reread {
            let now = Instant::now();
            let latest = self.due.map_or(now + LATEST, |due| due.latest);
            self.due = Some(Due { latest, quiet: now + QUIET });
        }
    }

    async fn observe(&mut self, taken: Taken) -> Result<(), Unheard> {
        for change in taken.changes {
            let events = self.mirror.observe(change);
            self.tell(events).await?;
        }
        self.schedule();
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<Result<(), Unheard>> {
        if std::mem::take(&mut self.reread) {
            return self.recover().await;
        }
        if self.mirror.take_links_touched() {
            let heard = self.refresh_links().await?;
            if heard.is_err() {
                return Ok(heard);
            }
        }
        // One reader at a time; what is touched while it reads is read again after it.
        if self.routes.is_empty() && self.mirror.take_routes_touched() {
            self.routes.spawn(dumps::routes());
        }
        let tables = self.mirror.take_tables();
        let events = if tables.is_empty() { vec![] } else { vec![HostEvent::FactsChanged(tables)] };
        Ok(self.tell(events).await)
    }

    /// Everything that waits to be read.
    fn drain(&mut self) -> anyhow::Result<Taken> {
        let mut taken = Taken::default();
        while let Some(datagram) = self.socket.try_receive()? {
            taken.add(datagram, self.health);
        }
        Ok(taken)
    }

    async fn refresh_links(&mut self) -> anyhow::Result<Result<(), Unheard>> {
        let links = match dumps::links(self.health).await {
            Ok(links) => links,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot read the links again; trying later");
                self.mirror.observe(decode::Change::NamespacesTouched);
                self.schedule();
                return Ok(Ok(()));
            }
        };
        let newer = self.drain()?;
        if newer.lost {
            let heard = self.observe(newer).await;
            return if heard.is_ok() { self.recover().await } else { Ok(heard) };
        }
        let how = Resync { after_loss: false, complete: links.complete, newer: newer.links() };
        let events = self.mirror.resync_links(links.found, &how);
        let heard = self.tell(events).await;
        Ok(if heard.is_ok() { self.observe(newer).await } else { heard })
    }

    fn take_routes(&mut self, read: anyhow::Result<dumps::Routes>) {
        match read {
            Ok(read) => {
                self.health.undecoded(read.undecoded);
                self.health.incomplete(read.truncated || read.interrupted);
                self.mirror.resync_routes(read.routes);
                if read.interrupted {
                    self.mirror.observe(decode::Change::RoutesTouched);
                }
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot read the routes; trying again");
                self.mirror.observe(decode::Change::RoutesTouched);
            }
        }
        self.schedule();
    }

    /// After a loss: what is still queued is older than what was lost, so it is taken in first; were it
    /// taken in after the dump, it could bring back what is gone. What comes during the dump is taken in
    /// after it.
    async fn recover(&mut self) -> anyhow::Result<Result<(), Unheard>> {
        loop {
            let older = self.drain()?;
            if self.observe(older).await.is_err() {
                return Ok(Err(Unheard));
            }
            let found = match dumps::all_but_routes(self.health).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "cannot read the network configuration again"
                    );
                    sleep(RETRY).await;
                    continue;
                }
            };
            self.health.dump();
            let newer = self.drain()?;
            if newer.lost {
                if self.observe(newer).await.is_err() {
                    return Ok(Err(Unheard));
                }
                continue;
            }
            let how = Resync { after_loss: true, complete: found.links.complete, newer: newer.links() };
            let events = self.mirror.resync_links(found.links.found, &how);
            self.mirror.resync_tables(found.addresses, found.neighbours, found.fdb);
            self.reread = found.interrupted || !how.complete;
            let heard = self.tell(events).await;
            return Ok(if heard.is_ok() { self.observe(newer).await } else { heard });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::LinkKind;

    #[tokio::test]
    async fn everything_is_told_first_and_the_watcher_ends_with_its_listener() {
        let (events, mut heard) = tokio::sync::mpsc::channel(1);
        let watching = tokio::spawn(async move { watch(events, &WatchHealth::default()).await });
        let Some(HostEvent::Synced(facts)) = heard.recv().await else { panic!("no facts") };
        assert!(facts.links.values().any(|link| link.kind == LinkKind::Loopback));
        drop(heard);
        assert!(watching.await.unwrap().is_ok());
    }
}
