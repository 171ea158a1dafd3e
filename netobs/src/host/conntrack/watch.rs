//! The kernel's conntrack, live: a dump, then every new, changed and ended connection, as events.

use std::{collections::HashSet, time::Duration};

use anyhow::Context as _;
use netlink_sys::protocols::NETLINK_NETFILTER;
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, sleep_until},
};

use super::{
    super::{
        health::WatchHealth,
        netlink::{self, Datagram, Dumped, NetlinkSocket, messages},
        sysctl,
    },
    barrier::Barrier,
    connection::{Connection, ConnectionKey},
    decode::{Decoded, decode},
    table::ConntrackEvent,
};

/// `NFNLGRP_CONNTRACK_NEW`, `…_UPDATE`, `…_DESTROY`.
const GROUPS: [u32; 3] = [1, 2, 3];
/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`.
const GET: u16 = 1 << 8 | 1;
/// A notification takes about 1 KiB with the kernel's own overhead: some 60,000 while we are busy.
const RECEIVE_BUFFER: usize = 64 * 1024 * 1024;
/// Where connections come thick and fast, each notification would wake the reader by itself: between two looks it lets
/// them queue for so long. Whoever needs to know at once asks ([`Barrier`]).
const PAUSE: Duration = Duration::from_millis(20);
/// One event of a dump carries so many connections at most.
const CHUNK: usize = 1024;
/// The kernel announces nothing of connections that are older than the first listener (since 5.19,
/// `nf_conntrack_events=2`): while there are such, their end is found by dumps.
const OLD: Duration = Duration::from_secs(30);
/// And in any case now and then: should an announcement be missing without a loss, it does not stay so.
const AUDIT: Duration = Duration::from_secs(300);
/// A dump is repeated at the earliest after so many times the time it took: it costs one per cent at most.
const DUTY: u32 = 100;
/// Where notifications are switched off altogether, dumps are all there is.
const BLIND: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(1);

/// Every tracked connection of the calling thread's network namespace, both families.
///
/// # Errors
/// No privilege (`CAP_NET_ADMIN`), no conntrack in this kernel, or no answer in time.
pub async fn dump() -> anyhow::Result<Dumped<Connection>> {
    netlink::dump(NETLINK_NETFILTER, GET, &[0; 4], |message| {
        decode(message).map(|decoded| match decoded {
            Some(Decoded::New(connection) | Decoded::Update(connection)) => Some(connection),
            Some(Decoded::Destroy(_)) | None => None,
        })
    })
    .await
    .context("cannot read the tracked connections")
}

/// Watches the calling thread's network namespace until the receiver is dropped. Lost notifications are
/// counted in `health` and made good by a dump. [`super::Table`] turns the events into what is alive.
///
/// # Errors
/// No privilege (`CAP_NET_ADMIN`), no conntrack in this kernel. Later failures are retried and logged.
pub async fn watch(
    events: Sender<ConntrackEvent>,
    health: &WatchHealth,
    barrier: &Barrier,
) -> anyhow::Result<()> {
    // Listening before dumping: what happens during the dump is read after it and converges.
    let socket = NetlinkSocket::open(NETLINK_NETFILTER, &GROUPS, RECEIVE_BUFFER)?;
    let blind = sysctl::read_u64("net.netfilter.nf_conntrack_events") == Some(0);
    let begun = Instant::now();
    let first = dump().await?;
    let mut watcher = Watcher {
        socket,
        events,
        health,
        barrier,
        old: HashSet::new(),
        first: true,
        next: begun,
        rests: begun,
        blind,
    };
    let mut step = watcher.take_dump(first, begun.elapsed()).await;
    while step.is_ok() {
        step = watcher.step().await?;
    }
    Ok(())
}

/// The receiver is gone: nobody is left to tell.
struct Unheard;

struct Watcher<'a> {
    socket: NetlinkSocket,
    events: Sender<ConntrackEvent>,
    health: &'a WatchHealth,
    barrier: &'a Barrier,
    /// Connections whose end may not be announced: all that the first dump found.
    old: HashSet<ConnectionKey>,
    first: bool,
    /// When the next dump is due.
    next: Instant,
    /// Until when notifications may queue.
    rests: Instant,
    blind: bool,
}

impl Watcher<'_> {
    async fn step(&mut self) -> anyhow::Result<Result<(), Unheard>> {
        let (next, rests) = (self.next, self.rests);
        let receives = Instant::now() >= rests;
        tokio::select! {
            biased;
            () = self.events.closed() => Ok(Err(Unheard)),
            until = self.barrier.asked() => {
                let heard = self.catch_up(false).await?;
                // Without notifications nothing is heard before the next dump.
                if heard.is_ok() && !self.blind {
                    self.barrier.answer(until);
                }
                Ok(heard)
            }
            datagram = self.socket.receive(), if receives => {
                let (decoded, lost) = take(datagram?, self.health);
                if self.tell(decoded).await.is_err() {
                    return Ok(Err(Unheard));
                }
                let heard = self.catch_up(lost).await;
                self.rests = Instant::now() + PAUSE;
                heard
            }
            () = sleep_until(rests), if !receives => Ok(Ok(())),
            () = sleep_until(next) => Ok(self.dump_again().await),
        }
    }

    async fn tell(&mut self, decoded: Vec<Decoded>) -> Result<(), Unheard> {
        for decoded in decoded {
            if let Decoded::Destroy(connection) = decoded {
                self.old.remove(&connection.key());
            }
            self.send(ConntrackEvent::Live(decoded)).await?;
        }
        Ok(())
    }

    async fn send(&self, event: ConntrackEvent) -> Result<(), Unheard> {
        self.events.send(event).await.map_err(|_| Unheard)
    }

    /// Takes in what is queued, and what was lost by a dump. What is queued comes first: it is older than what was lost,
    /// and after the dump it could bring back what is gone.
    async fn catch_up(&mut self, mut lost: bool) -> anyhow::Result<Result<(), Unheard>> {
        while let Some(datagram) = self.socket.try_receive()? {
            let (decoded, more_lost) = take(datagram, self.health);
            lost |= more_lost;
            if self.tell(decoded).await.is_err() {
                return Ok(Err(Unheard));
            }
        }
        Ok(if lost { self.dump_again().await } else { Ok(()) })
    }

    async fn dump_again(&mut self) -> Result<(), Unheard> {
        let begun = Instant::now();
        match dump().await {
            Ok(dumped) => self.take_dump(dumped, begun.elapsed()).await,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "cannot read the tracked connections; trying again"
                );
                self.next = Instant::now() + RETRY;
                Ok(())
            }
        }
    }

    async fn take_dump(&mut self, dumped: Dumped<Connection>, took: Duration) -> Result<(), Unheard> {
        self.health.dump();
        self.health.undecoded(dumped.undecoded);
        self.health.incomplete(dumped.is_incomplete());
        let found: HashSet<ConnectionKey> = dumped.entries.iter().map(Connection::key).collect();
        if std::mem::replace(&mut self.first, false) {
            self.old = found;
        } else if !dumped.is_incomplete() {
            self.old.retain(|key| found.contains(key));
        }
        let pause = match (self.blind, self.old.is_empty()) {
            (true, _) => BLIND,
            (false, false) => OLD,
            (false, true) => AUDIT,
        };
        self.next = Instant::now() + pause.max(took * DUTY);
        self.send(ConntrackEvent::DumpBegins).await?;
        for chunk in dumped.entries.chunks(CHUNK) {
            self.send(ConntrackEvent::Dumped(chunk.to_vec())).await?;
        }
        let end = if dumped.is_incomplete() { ConntrackEvent::DumpAborted } else { ConntrackEvent::DumpEnds };
        self.send(end).await
    }
}

/// What one datagram says, and whether notifications were lost.
fn take(datagram: Datagram<'_>, health: &WatchHealth) -> (Vec<Decoded>, bool) {
    let Datagram::Messages(bytes) = datagram else {
        health.loss();
        return (Vec::new(), true);
    };
    let mut found = Vec::new();
    for message in messages(bytes) {
        match decode(message) {
            Ok(Some(decoded)) => {
                health.event();
                found.push(decoded);
            }
            Ok(None) => {}
            Err(_) => health.undecoded(1),
        }
    }
    (found, false)
}
