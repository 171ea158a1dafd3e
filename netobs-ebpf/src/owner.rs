//! Who opened a socket, recorded in process context, where the kernel still knows it.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_cgroup_id, bpf_get_socket_cookie},
    programs::SockAddrContext,
};
use netobs_common::owner::SocketOwner;

use crate::maps::OWNERS;

/// Remembers the calling process as the owner of the socket.
#[inline(always)]
pub(crate) fn record(ctx: &SockAddrContext) {
    // SAFETY: the context pointer is valid while the program runs.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let owner = SocketOwner {
        // SAFETY: the helper has no arguments and no effect.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        pid: ctx.tgid(),
        padding: 0,
        command: ctx.command().unwrap_or_default(),
    };
    // A full cache evicts, so an error here means no more than an unknown owner later.
    let _remembered = OWNERS.insert(&cookie, &owner, 0).is_ok();
}
