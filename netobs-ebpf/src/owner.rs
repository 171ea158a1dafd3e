//! Who opened a socket and who bound a port, recorded in process context, where the kernel still knows it.
//! Only of the agent's own network namespace: other stacks have interfaces, which say whose they are.

use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_cgroup_id, bpf_get_socket_cookie, generated::bpf_get_current_comm},
    programs::SockContext,
};
use netobs_common::{
    owner::{BoundPort, SocketOwner},
    wire::Proto,
};

use crate::{
    maps::{OWNERS, PORTS},
    task::{self, Namespaces},
};

/// The prefix of an IPv4 address mapped into IPv6 (RFC 4291, 2.5.5.2).
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];

/// Remembers the calling process as the owner of the socket: of one it opens, or of one it connects, which
/// another process may have opened.
#[inline(always)]
pub(crate) fn opened(ctx: &impl EbpfContext) {
    let namespaces = task::namespaces();
    if matches!(namespaces, Some(Namespaces { on_own_network: false, .. })) {
        return;
    }
    let owner = caller(ctx, namespaces.as_ref());
    remember(ctx, &owner);
}

/// The socket of an IPv4 address was bound.
#[inline(always)]
pub(crate) fn bound4(ctx: &SockContext) {
    // SAFETY: the context is valid while the program runs; the verifier knows its fields by word.
    let address = unsafe { (&raw const (*ctx.sock).src_ip4).read_volatile() }.to_ne_bytes();
    let mut mapped = MAPPED;
    mapped[12] = address[0];
    mapped[13] = address[1];
    mapped[14] = address[2];
    mapped[15] = address[3];
    bound(ctx, mapped);
}

/// The socket of an IPv6 address was bound.
#[inline(always)]
pub(crate) fn bound6(ctx: &SockContext) {
    let mut address = [0; 16];
    for word in 0..4 {
        // SAFETY: as above.
        let bytes = unsafe { (&raw const (*ctx.sock).src_ip6[word]).read_volatile() }.to_ne_bytes();
        address[word * 4] = bytes[0];
        address[word * 4 + 1] = bytes[1];
        address[word * 4 + 2] = bytes[2];
        address[word * 4 + 3] = bytes[3];
    }
    bound(ctx, address);
}

/// Remembers the calling process as the owner of the port, and of the socket.
#[inline(always)]
fn bound(ctx: &SockContext, address: [u8; 16]) {
    let Some(namespaces @ Namespaces { on_own_network: true, .. }) = task::namespaces() else { return };
    let owner = caller(ctx, Some(&namespaces));
    remember(ctx, &owner);
    // SAFETY: as above; the port is in host byte order here (`sk_num`).
    let (port, proto) = unsafe {
        ((&raw const (*ctx.sock).src_port).read_volatile(), (&raw const (*ctx.sock).protocol).read_volatile())
    };
    let key = BoundPort { address, port: port as u16, proto: Proto(proto as u8), padding: 0 };
    // As with owners, an error means no more than an owner not known later.
    let _remembered = PORTS.insert(&key, &owner, 0).is_ok();
}

#[inline(always)]
fn remember(ctx: &impl EbpfContext, owner: &SocketOwner) {
    // SAFETY: the context pointer is valid while the program runs.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // A full cache evicts, so an error here means no more than an unknown owner later.
    let _remembered = OWNERS.insert(&cookie, owner, 0).is_ok();
}

#[inline(always)]
fn caller(ctx: &impl EbpfContext, namespaces: Option<&Namespaces>) -> SocketOwner {
    let mut owner = SocketOwner {
        // SAFETY: the helper has no arguments and no effect.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        pid: ctx.tgid(),
        mount_namespace: namespaces.map_or(0, |namespaces| namespaces.mount),
        command: [0; 16],
    };
    // In place: a copy of the name would be read from the stack in pieces that are not aligned, which no
    // verifier accepts there. The helper pads with zeros; if it fails, the name stays empty.
    // SAFETY: the buffer is as long as it is said to be.
    let _named = unsafe { bpf_get_current_comm(owner.command.as_mut_ptr().cast(), 16) } == 0;
    owner
}
