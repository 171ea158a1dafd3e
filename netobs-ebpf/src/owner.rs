//! Who opened a socket, recorded in process context, where the kernel still knows it.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_cgroup_id, bpf_get_socket_cookie, generated::bpf_get_current_comm},
    programs::SockAddrContext,
};
use netobs_common::owner::SocketOwner;

use crate::maps::OWNERS;

/// Remembers the calling process as the owner of the socket.
#[inline(always)]
pub(crate) fn record(ctx: &SockAddrContext) {
    // SAFETY: the context pointer is valid while the program runs.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let mut owner = SocketOwner {
        // SAFETY: the helper has no arguments and no effect.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        pid: ctx.tgid(),
        padding: 0,
        command: [0; 16],
    };
    // In place: a copy of the name would be read from the stack in pieces that are not aligned, which no
    // verifier accepts there. The helper pads with zeros; if it fails, the name stays empty.
    // SAFETY: the buffer is as long as it is said to be.
    let _named = unsafe { bpf_get_current_comm(owner.command.as_mut_ptr().cast(), 16) } == 0;
    // A full cache evicts, so an error here means no more than an unknown owner later.
    let _remembered = OWNERS.insert(&cookie, &owner, 0).is_ok();
}
