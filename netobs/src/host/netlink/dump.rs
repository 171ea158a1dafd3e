//! One dump request → every message of the answer, complete or an error, in bounded time and memory.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, timeout_at};

use super::{
    Datagram, Message, NetlinkSocket,
    message::{knock, request},
    messages,
};

/// A dump that takes longer, repetitions included, is given up; the kernel answers at memory speed.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How often a dump is started again because its subject changed meanwhile.
const ATTEMPTS: u32 = 5;
/// More entries than this are not kept from one dump: memory stays bounded on a router with full tables.
const MOST: usize = 524_288;
const RECEIVE_BUFFER: usize = 1024 * 1024;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// What a dump brought.
#[derive(Debug)]
pub struct Dumped<T> {
    /// What the messages were decoded to.
    pub entries: Vec<T>,
    /// Messages that could not be decoded.
    pub undecoded: u64,
    /// Whether there were more entries than are kept.
    pub truncated: bool,
    /// Whether the subject never held still: something may be missing.
    pub interrupted: bool,
}

impl<T> Dumped<T> {
    /// Whether what is not among the entries may exist all the same.
    #[must_use]
    pub const fn is_incomplete(&self) -> bool {
        self.truncated || self.interrupted
    }
}

/// How much is kept of a dump, and until when it is waited for.
#[derive(Debug)]
pub struct Limits<T> {
    /// Entries.
    pub entries: usize,
    /// What all entries weigh together.
    pub weight: usize,
    /// What one weighs, by the same measure.
    pub weigh: fn(&T) -> usize,
    /// When it is given up.
    pub deadline: Instant,
}

impl<T> Limits<T> {
    /// So many entries, whatever they weigh; given up when a dump usually is.
    #[must_use]
    pub fn of(entries: usize) -> Self {
        Self { entries, weight: usize::MAX, weigh: |_| 0, deadline: Instant::now() + PATIENCE }
    }

    /// The same, given up at this moment if that comes first.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self { deadline: self.deadline.min(deadline), ..self }
    }
}

/// Asks for a dump on a socket of its own, in the calling thread's network namespace, and decodes each
/// message. `decode` says `Ok(None)` for what does not belong to the answer.
///
/// # Errors
/// The kernel refused, or did not answer in time.
pub async fn dump<T, E>(
    protocol: isize,
    kind: u16,
    fixed: &[u8],
    decode: impl FnMut(Message<'_>) -> Result<Option<T>, E>,
) -> anyhow::Result<Dumped<T>> {
    dump_within(Limits::of(MOST), protocol, kind, fixed, decode).await
}

/// [`dump`] of messages that hold any number of entries, of which no more are kept than the limits say; it ends at the
/// first that is too much. `fixed` may have attributes behind it, where they say of what the dump is to be.
///
/// # Errors
/// The kernel refused, or did not answer in time.
pub async fn dump_within<I: IntoIterator, E>(
    limits: Limits<I::Item>,
    protocol: isize,
    kind: u16,
    fixed: &[u8],
    mut decode: impl FnMut(Message<'_>) -> Result<I, E>,
) -> anyhow::Result<Dumped<I::Item>> {
    let mut attempt = 1;
    loop {
        let dumped = timeout_at(limits.deadline, once(&limits, protocol, kind, fixed, &mut decode))
            .await
            .context("the kernel did not finish a netlink dump in time")??;
        if !dumped.interrupted || attempt >= ATTEMPTS {
            return Ok(dumped);
        }
        attempt += 1;
    }
}

async fn once<I: IntoIterator, E>(
    limits: &Limits<I::Item>,
    protocol: isize,
    kind: u16,
    fixed: &[u8],
    decode: &mut impl FnMut(Message<'_>) -> Result<I, E>,
) -> anyhow::Result<Dumped<I::Item>> {
    const SEQUENCE: u32 = 2;
    let mut socket = NetlinkSocket::open(protocol, &[], RECEIVE_BUFFER)?;
    // The kernel makes the pieces of a dump as large as the largest buffer that was read into, and the first is made
    // before anything was: it has a page. An entry larger than that ends the dump as if there were no more
    // (netlink_dump and netlink_recvmsg, net/netlink/af_netlink.c, Linux 6.18). So something is read before.
    socket.send(&knock(SEQUENCE - 1)).await.context("cannot send a netlink request")?;
    socket.receive().await.context("cannot read a netlink answer")?;
    socket.send(&request(kind, SEQUENCE, fixed)).await.context("cannot send a netlink request")?;
    let mut dumped = Dumped { entries: Vec::new(), undecoded: 0, truncated: false, interrupted: false };
    let mut weight = 0_usize;
    loop {
        let Datagram::Messages(datagram) = socket.receive().await.context("cannot read a netlink dump")?
        else {
            dumped.interrupted = true;
            continue;
        };
        for message in messages(datagram).filter(|message| message.sequence == SEQUENCE) {
            dumped.interrupted |= message.is_interrupted();
            match message.kind {
                NLMSG_DONE | NLMSG_ERROR if message.error() != 0 => {
                    let error = std::io::Error::from_raw_os_error(message.error());
                    bail!("the kernel refused a netlink dump of type {kind}: {error}");
                }
                NLMSG_DONE | NLMSG_ERROR => return Ok(dumped),
                _ => match decode(message) {
                    Ok(entries) => {
                        for entry in entries {
                            weight = weight.saturating_add((limits.weigh)(&entry));
                            if dumped.entries.len() >= limits.entries || weight > limits.weight {
                                dumped.truncated = true;
                                return Ok(dumped);
                            }
                            dumped.entries.push(entry);
                        }
                    }
                    Err(_) => dumped.undecoded += 1,
                },
            }
        }
    }
}
