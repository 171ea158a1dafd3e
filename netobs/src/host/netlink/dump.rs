//! One dump request → every message of the answer, complete or an error, in bounded time.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::timeout;

use super::{Datagram, Message, NetlinkSocket, message::request, messages};

/// A dump that takes longer is given up; the kernel answers at memory speed.
const PATIENCE: Duration = Duration::from_secs(10);
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
    /// Whether entries are missing: too many, or the subject did not hold still.
    pub incomplete: bool,
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
    mut decode: impl FnMut(Message<'_>) -> Result<Option<T>, E>,
) -> anyhow::Result<Dumped<T>> {
    let mut attempt = 1;
    loop {
        let dumped = timeout(PATIENCE, once(protocol, kind, fixed, &mut decode))
            .await
            .context("the kernel did not finish a netlink dump in time")??;
        match dumped {
            (dumped, Interrupted(true)) if attempt < ATTEMPTS => drop(dumped),
            (mut dumped, Interrupted(interrupted)) => {
                dumped.incomplete |= interrupted;
                return Ok(dumped);
            }
        }
        attempt += 1;
    }
}

struct Interrupted(bool);

async fn once<T, E>(
    protocol: isize,
    kind: u16,
    fixed: &[u8],
    decode: &mut impl FnMut(Message<'_>) -> Result<Option<T>, E>,
) -> anyhow::Result<(Dumped<T>, Interrupted)> {
    const SEQUENCE: u32 = 1;
    let mut socket = NetlinkSocket::open(protocol, &[], RECEIVE_BUFFER)?;
    socket.send(&request(kind, SEQUENCE, fixed)).await.context("cannot send a netlink request")?;
    let mut dumped = Dumped { entries: Vec::new(), undecoded: 0, incomplete: false };
    let mut interrupted = false;
    loop {
        let Datagram::Messages(datagram) = socket.receive().await.context("cannot read a netlink dump")?
        else {
            interrupted = true;
            continue;
        };
        for message in messages(datagram).filter(|message| message.sequence == SEQUENCE) {
            interrupted |= message.is_interrupted();
            match message.kind {
                NLMSG_DONE | NLMSG_ERROR if message.error() != 0 => {
                    let error = std::io::Error::from_raw_os_error(message.error());
                    bail!("the kernel refused a netlink dump of type {kind}: {error}");
                }
                NLMSG_DONE | NLMSG_ERROR => return Ok((dumped, Interrupted(interrupted))),
                _ => match decode(message) {
                    Ok(Some(_)) if dumped.entries.len() >= MOST => dumped.incomplete = true,
                    Ok(Some(entry)) => dumped.entries.push(entry),
                    Ok(None) => {}
                    Err(_) => dumped.undecoded += 1,
                },
            }
        }
    }
}
