//! The clsact queueing discipline: added where filters need it, taken away again if we added it and nobody
//! else has come to use it. Blocking, one second at most.

use std::{io, time::Duration};

use anyhow::{Context as _, Result};
use aya::programs::tc::{self, TcError};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sys::{
    socket::{setsockopt, sockopt::ReceiveTimeout},
    time::TimeVal,
};

/// `TC_H_CLSACT`, and its two places for filters (`linux/pkt_sched.h`).
const CLSACT: u32 = 0xffff_fff1;
const PLACES: [u32; 2] = [0xffff_fff2, 0xffff_fff3];
/// The handle a clsact always has.
const HANDLE: u32 = 0xffff_0000;
const HEADER: usize = 16;
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes sure the interface has one; whether it had none before.
pub(super) fn add(interface: &str) -> Result<bool> {
    match tc::qdisc_add_clsact(interface) {
        Ok(()) => Ok(true),
        Err(error) if is_there_already(&error) => Ok(false),
        Err(error) => Err(error).context("adding the clsact queueing discipline"),
    }
}

/// Takes it away, unless it carries a filter.
pub(super) fn remove_if_empty(index: u32) -> io::Result<()> {
    for place in PLACES {
        if has_filter(index, place)? {
            return Ok(());
        }
    }
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    ask(libc::RTM_DELQDISC, flags, index, HANDLE, CLSACT, |_| {})
}

fn is_there_already(error: &TcError) -> bool {
    match error {
        TcError::AlreadyAttached => true,
        TcError::NetlinkError(error) => error.raw_os_error() == Some(libc::EEXIST),
        _ => false,
    }
}

fn has_filter(index: u32, place: u32) -> io::Result<bool> {
    let mut found = false;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    ask(libc::RTM_GETTFILTER, flags, index, 0, place, |kind| found |= kind == libc::RTM_NEWTFILTER)?;
    Ok(found)
}

/// Sends one `struct tcmsg` and shows the type of every answer until the last one.
fn ask(
    kind: u16,
    flags: u16,
    index: u32,
    handle: u32,
    parent: u32,
    mut each: impl FnMut(u16),
) -> io::Result<()> {
    let mut request = Vec::with_capacity(36);
    request.extend(36_u32.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    // Sequence, port; then family with padding, and the fields of the message.
    for word in [1, 0, 0, index, handle, parent, 0] {
        request.extend(word.to_ne_bytes());
    }
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(PATIENCE.as_secs().cast_signed(), 0))?;
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
            let [l0, l1, l2, l3, k0, k1, ..] = *header;
            let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
            match i32::from(u16::from_ne_bytes([k0, k1])) {
                libc::NLMSG_DONE => return Ok(()),
                libc::NLMSG_ERROR => return error(rest.get(HEADER..)),
                _ => each(u16::from_ne_bytes([k0, k1])),
            }
            match rest.get(length.next_multiple_of(4)..) {
                Some(next) if length >= HEADER => rest = next,
                _ => break,
            }
        }
    }
}

/// `struct nlmsgerr` starts with the negative error number; 0 is the acknowledgement.
fn error(payload: Option<&[u8]>) -> io::Result<()> {
    match payload.and_then(|bytes| bytes.first_chunk()).map(|number| i32::from_ne_bytes(*number)) {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
