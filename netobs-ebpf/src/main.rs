//! Entry points. An observer has no verdict: `observe` returns nothing, and what every path returns
//! is "go on", so that programs and filters behind this one run as if it were not there.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "BPF's atomic add is only reachable as an intrinsic")]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "a key handed over by value is copied to the stack"
)]
#![allow(unreachable_pub, missing_docs, reason = "the program macros make items of their own")]

mod apart;
mod classify;
mod clock;
mod count;
mod drop;
mod dropped;
mod exact;
mod fragment;
mod icmp;
mod inner;
mod interface;
mod maps;
mod observe;
mod owner;
mod scratch;
mod skb;
mod task;
mod tcp;
mod tunnel;

use aya_ebpf::{
    bindings::TC_ACT_UNSPEC,
    macros::{btf_tracepoint, cgroup_sock, cgroup_sock_addr, classifier},
    programs::{BtfTracePointContext, SockAddrContext, SockContext, TcContext},
};
use netobs_common::hook::Hook;

// Inlined into what the macro makes around it: a program that calls functions cannot leave the rest to another one
// before Linux 6.0 on arm64 (`bpf_jit_supports_subprog_tailcalls`).

/// Packets an interface received.
#[classifier]
#[inline(always)]
pub fn netobs_ingress(ctx: TcContext) -> i32 {
    observe::observe(&ctx, Hook::INGRESS);
    TC_ACT_UNSPEC
}

/// Packets an interface is about to send.
#[classifier]
#[inline(always)]
pub fn netobs_egress(ctx: TcContext) -> i32 {
    observe::observe(&ctx, Hook::EGRESS);
    TC_ACT_UNSPEC
}

/// Packets an interface inside an endpoint received.
#[classifier]
#[inline(always)]
pub fn netobs_inner_ingress(ctx: TcContext) -> i32 {
    observe::inside(&ctx, Hook::INGRESS);
    TC_ACT_UNSPEC
}

/// Packets an interface inside an endpoint is about to send.
#[classifier]
#[inline(always)]
pub fn netobs_inner_egress(ctx: TcContext) -> i32 {
    observe::inside(&ctx, Hook::EGRESS);
    TC_ACT_UNSPEC
}

/// An ICMP error that one of the programs above has counted, left to this one.
#[classifier]
#[inline(always)]
pub fn netobs_icmp_error(ctx: TcContext) -> i32 {
    icmp::read(&ctx);
    TC_ACT_UNSPEC
}

/// Returned by the socket programs: the call goes on as it was made.
const ALLOW: i32 = 1;

/// A process opens a socket of either family.
#[cgroup_sock(sock_create)]
pub fn netobs_create(ctx: SockContext) -> i32 {
    owner::opened(&ctx);
    ALLOW
}

/// A process has bound an IPv4 socket.
#[cgroup_sock(post_bind4)]
pub fn netobs_bind4(ctx: SockContext) -> i32 {
    owner::bound4(&ctx);
    ALLOW
}

/// A process has bound an IPv6 socket.
#[cgroup_sock(post_bind6)]
pub fn netobs_bind6(ctx: SockContext) -> i32 {
    owner::bound6(&ctx);
    ALLOW
}

/// A process connects an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub fn netobs_connect4(ctx: SockAddrContext) -> i32 {
    owner::opened(&ctx);
    ALLOW
}

/// A process connects an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub fn netobs_connect6(ctx: SockAddrContext) -> i32 {
    owner::opened(&ctx);
    ALLOW
}

/// The kernel gives a packet up, in whatever network namespace.
#[btf_tracepoint(function = "kfree_skb")]
pub fn netobs_drop(ctx: BtfTracePointContext) -> i32 {
    drop::observe(&ctx);
    0
}

/// The helpers used are GPL-only; this section says so to the kernel.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // Endless on purpose: the verifier refuses a program in which a panic can be reached.
    loop {}
}
