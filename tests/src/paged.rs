//! A frame → a socket buffer most of which lies in pages: what zero-copy senders and guests make, and what a
//! test run cannot (Linux 6.18). Only the first bytes are where a program can read them without copying.

use std::{io, os::fd::AsRawFd as _};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `PACKET_VNET_HDR` (`include/uapi/linux/if_packet.h`): each frame is preceded by a `struct virtio_net_hdr`.
const PACKET_VNET_HDR: libc::c_int = 15;

/// Longer than a page: below it the kernel makes the buffer in one piece (`packet_alloc_skb`).
pub const LONG: usize = 5_000;

/// Sends a frame by an interface of the calling thread's namespace, with as little of it in one piece as the
/// kernel allows: the 16 bytes it reserves for an Ethernet header.
///
/// # Errors
/// Without privilege, or for a frame shorter than [`LONG`].
pub fn send(interface: u32, frame: &[u8]) -> Result<()> {
    ensure!(frame.len() >= LONG, "a frame of {} bytes would lie in one piece", frame.len());
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let on: libc::c_int = 1;
    // SAFETY: the option is an integer, and the pointer leads to one.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_VNET_HDR,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    ensure!(set == 0, "PACKET_VNET_HDR: {}", io::Error::last_os_error());
    // Flags, kind of offload, length of the headers (14, the least there is), and three numbers more.
    let bytes = [&[0, 0, 14, 0, 0, 0, 0, 0, 0, 0][..], frame].concat();
    let to = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::sa_family_t,
        sll_protocol: u16::from_ne_bytes([frame[12], frame[13]]),
        sll_ifindex: interface.try_into()?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointers lead to the bytes and the address, of the lengths said.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            0,
            (&raw const to).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    ensure!(usize::try_from(sent) == Ok(bytes.len()), "sending a frame: {}", io::Error::last_os_error());
    Ok(())
}

/// `lo` of every namespace.
pub const LO: u32 = 1;

/// Pads a frame so that it does not lie in one piece.
#[must_use]
pub fn lengthened(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(LONG), 0);
    frame
}

/// Sends frames by `lo` of a namespace.
///
/// # Errors
/// As [`send`].
pub fn send_within(stack: &crate::netns::Stack, frames: &[Vec<u8>]) -> Result<()> {
    stack.within(|| frames.iter().try_for_each(|frame| send(LO, frame)))?.context("sending paged frames")
}
