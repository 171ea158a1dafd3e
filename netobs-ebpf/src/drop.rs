//! A packet the kernel gives up → counted, if that was in a network namespace of ours and is a drop at all.
//!
//! The tracepoint is the whole machine's: what is not ours is told by as few reads as can be.

use aya_ebpf::{bindings::BPF_NOEXIST, programs::BtfTracePointContext};
use netobs_common::{
    drop::{DropCounters, DropKey, DropLayout, DropRestKey, Dropped as Count},
    interface::LinkLayer,
    maps::{APART_NOT_IP, APART_UNCOUNTED},
    packet::Packet as _,
    parse::{Fragment, Headers, parse},
    wire::{EtherType, Network, TcpFlags},
};

use crate::{
    apart::{apart, is_no_drop},
    clock,
    count::add,
    dropped::{self, Buffer, Copied, Dropped, member, read},
    maps::{DROP_NAMESPACES, DROP_REST, DROP_SCRATCH, DROPS},
};

/// Inodes of namespaces begin here (`PROC_NET_INIT_INO`, `PROC_DYNAMIC_FIRST`; include/linux/proc_ns.h and
/// include/uapi/linux/nsfs.h, Linux 6.18).
const FIRST_INODE: u32 = 0xefff_fff0;

/// One per CPU. The program may interrupt a classifier, so this is not the classifiers' scratch; the kernel does not
/// let it interrupt itself (`__bpf_trace_run`, Linux 6.18: what it leaves out it counts as `recursion_misses`).
#[repr(C)]
pub(crate) struct DropScratch {
    buffer: Buffer,
    copied: Copied,
    headers: Headers,
    key: DropKey,
    rest: DropRestKey,
    counters: DropCounters,
}

/// Counts the packet the kernel is about to free.
#[inline(always)]
pub(crate) fn observe(ctx: &BtfTracePointContext) {
    // The only entry of an array: the verifier wants the question asked, the answer is always there.
    let Some(scratch) = DROP_SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own (see `DropScratch`).
    let scratch = unsafe { &mut *scratch };
    let layout = dropped::layout();
    let reason = ctx.arg::<u32>(2);
    if !dropped::copy(ctx.arg::<*const u8>(0) as u64, layout.size, &mut scratch.buffer) {
        return;
    }
    let receiver = if layout.tells_receiver == 0 { 0 } else { ctx.arg::<*const u8>(3) as u64 };
    if !place(receiver, &layout, scratch) {
        return;
    }
    let protocol = EtherType(u16::from_be(member(&scratch.buffer, layout.protocol)));
    if !matches!(protocol, EtherType::IPV4 | EtherType::IPV6) {
        // Messages between processes are socket buffers too, and on no device.
        if scratch.key.device != 0 {
            apart(APART_NOT_IP, Count { packets: 1, bytes: u64::from(length(scratch, &layout)) });
        }
        return;
    }
    let packet = Dropped::of(&scratch.buffer, &layout, &raw mut scratch.copied);
    let length = packet.as_ref().map_or_else(|| length(scratch, &layout), |packet| packet.length());
    let count = Count { packets: 1, bytes: u64::from(length) };
    let location = ctx.arg::<*const u8>(1) as u64;
    if is_no_drop(reason, location) {
        apart(reason, count);
        return;
    }
    scratch.key.reason = reason;
    scratch.key.location = location;
    scratch.headers = Headers::default();
    if let Some(packet) = packet {
        // What could be read before something was wrong tells who it was from and to all the same.
        let _whole = parse(&packet, LinkLayer::NONE, None, &mut scratch.headers).is_ok();
    }
    if scratch.headers.network == Network::ARP || !detail(scratch, count) {
        rest(scratch, count);
    }
}

/// Which namespace, and which interfaces of it; whether it is one of ours.
#[inline(always)]
fn place(receiver: u64, layout: &DropLayout, scratch: &mut DropScratch) -> bool {
    let buffer = &scratch.buffer;
    let key = &mut scratch.key;
    key.device = 0;
    key.ingress = member(buffer, layout.ingress);
    let device = member::<u64>(buffer, layout.device);
    if let Some(inode) = inode(device, layout.device_network, layout) {
        if is_ours(inode) {
            key.namespace = inode;
            key.device = read(device, layout.device_index).unwrap_or(0);
            return true;
        }
        // The member is a device's in most of a packet's life, and something else's in some queues. What is said
        // there to be a namespace and cannot be one is no reason to believe that the packet is another's.
        if inode >= FIRST_INODE {
            return false;
        }
    }
    let socket = if receiver == 0 { member::<u64>(buffer, layout.socket) } else { receiver };
    let Some(inode) = inode(socket, layout.socket_network, layout) else { return false };
    key.namespace = inode;
    is_ours(inode)
}

#[inline(always)]
fn inode(structure: u64, network: u32, layout: &DropLayout) -> Option<u32> {
    if structure == 0 {
        return None;
    }
    read(read::<u64>(structure, network)?, layout.inode)
}

#[inline(always)]
fn is_ours(inode: u32) -> bool {
    DROP_NAMESPACES.get_ptr(&inode).is_some()
}

#[inline(always)]
fn length(scratch: &DropScratch, layout: &DropLayout) -> u32 {
    member(&scratch.buffer, layout.length)
}

/// Counts under everything that is known; false where there is no room for it.
#[inline(always)]
fn detail(scratch: &mut DropScratch, count: Count) -> bool {
    let headers = &scratch.headers;
    let key = &mut scratch.key;
    key.source = headers.source;
    key.destination = headers.destination;
    key.source_port = headers.ports.source;
    key.destination_port = headers.ports.destination;
    key.network = headers.network;
    key.proto = headers.proto;
    key.fragment = u8::from(headers.fragment == Fragment::LATER);
    key.padding = 0;
    let now = clock::precise();
    let syn = headers.tcp.has(TcpFlags::SYN) && !headers.tcp.has(TcpFlags::ACK);
    if let Some(known) = DROPS.get_ptr_mut(&scratch.key) {
        update(known, count, syn, now);
        return true;
    }
    let counters = &mut scratch.counters;
    counters.dropped = count;
    counters.first_seen = now;
    counters.last_seen = now;
    counters.syn = u8::from(syn);
    counters.padding = [0; 7];
    if DROPS.insert(&scratch.key, &scratch.counters, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    // Another CPU made the entry in between, or the table is full.
    let Some(known) = DROPS.get_ptr_mut(&scratch.key) else { return false };
    update(known, count, syn, now);
    true
}

#[inline(always)]
fn update(known: *mut DropCounters, count: Count, syn: bool, now: u64) {
    // SAFETY: the entry is valid while the program runs; the sums are added atomically, and every other field is
    // written whole, with a value any CPU may write.
    unsafe {
        add(&raw mut (*known).dropped.packets, count.packets);
        add(&raw mut (*known).dropped.bytes, count.bytes);
        (*known).last_seen = now;
        if syn {
            (*known).syn = 1;
        }
    }
}

/// Counts without detail: by namespace, interfaces and reason.
#[inline(always)]
fn rest(scratch: &mut DropScratch, count: Count) {
    let key = &mut scratch.rest;
    key.namespace = scratch.key.namespace;
    key.device = scratch.key.device;
    key.ingress = scratch.key.ingress;
    key.reason = scratch.key.reason;
    if let Some(known) = DROP_REST.get_ptr_mut(&scratch.rest) {
        // SAFETY: per CPU, and the program does not interrupt itself.
        unsafe { (*known).add(count) };
    } else if DROP_REST.insert(&scratch.rest, &count, BPF_NOEXIST.into()).is_err() {
        match DROP_REST.get_ptr_mut(&scratch.rest) {
            // SAFETY: as above.
            Some(known) => unsafe { (*known).add(count) },
            None => apart(APART_UNCOUNTED, count),
        }
    }
}
