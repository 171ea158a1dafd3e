//! A sighting → its flow entry, where there is room for one.

use aya_ebpf::{EbpfContext, bindings::BPF_NOEXIST, helpers::bpf_get_socket_cookie, programs::TcContext};
use netobs_common::{
    counters::{Counters, FlowCounters},
    endpoint::Party,
    hook::Hook,
    interface::Interface,
    key::Origin,
    parse::{Fragment, Headers},
    tunnel::Encapsulation,
    wire::Proto,
};

use crate::{classify, clock, exact, maps::FLOWS, scratch::Scratch, tcp};

/// One packet at one hook; its headers and key are in the scratch.
pub(crate) struct Seen<'a> {
    pub(crate) interface: &'a Interface,
    pub(crate) hook: Hook,
    pub(crate) origin: Origin,
    pub(crate) ingress_ifindex: u32,
    pub(crate) counters: Counters,
}

/// Counts a packet that has a flow.
#[inline(always)]
pub(crate) fn seen(ctx: &TcContext, scratch: &mut Scratch, seen: &Seen<'_>) {
    let (parties, listed) = match FLOWS.get_ptr_mut(&scratch.flow_key) {
        Some(flow) => {
            update(flow, &scratch.headers, seen, scratch.tick.coarse());
            // SAFETY: the pointer is the entry's until the program ends; both parties are written once.
            (unsafe { ((*flow).source, (*flow).destination) }, true)
        }
        None => begin(ctx, scratch, seen),
    };
    exact::path(scratch, seen, parties, listed);
}

/// Adds a packet to a flow entry that other CPUs may be adding to.
#[inline(always)]
fn update(flow: *mut FlowCounters, headers: &Headers, seen: &Seen<'_>, now: u64) {
    // SAFETY: the entry is valid while the program runs; the sums are added atomically, and every other
    // field is written whole, with a value any CPU may write.
    unsafe {
        add(&raw mut (*flow).counters.packets, seen.counters.packets);
        add(&raw mut (*flow).counters.segments, seen.counters.segments);
        add(&raw mut (*flow).counters.bytes, seen.counters.bytes);
        (*flow).last_seen = now;
        if headers.proto == Proto::TCP {
            tcp::follow(&mut *flow, headers, seen.counters.segments);
        } else if headers.asks != 0 {
            (*flow).asks = (*flow).asks.wrapping_add(1);
        }
        if headers.fragment != Fragment::WHOLE {
            (*flow).fragmented = 1;
        }
    }
}

/// Classifies the packet and makes a flow entry; whether the packet is in one now.
#[inline(always)]
fn begin(ctx: &TcContext, scratch: &mut Scratch, seen: &Seen<'_>) -> ((Party, Party), bool) {
    let parties = classify::parties(seen.interface, seen.hook, &scratch.headers, &mut scratch.party_keys);
    let now = clock::precise();
    let local = seen.hook == Hook::EGRESS && seen.origin == Origin::LOCAL;
    let flow = &mut scratch.flow;
    *flow = FlowCounters::default();
    flow.counters = seen.counters;
    flow.first_seen = now;
    flow.last_seen = now;
    if local {
        // SAFETY: the context pointer is valid while the program runs.
        flow.socket = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    }
    if scratch.flow_key.encapsulation != Encapsulation::NONE {
        flow.outer = scratch.outer;
    }
    (flow.source, flow.destination) = parties;
    flow.ingress_ifindex = seen.ingress_ifindex;
    flow.source_mac = scratch.headers.source_mac;
    flow.fragmented = u8::from(scratch.headers.fragment != Fragment::WHOLE);
    flow.hop_limit = scratch.headers.hop_limit;
    flow.asks = scratch.headers.asks.into();
    if scratch.headers.proto == Proto::TCP {
        // SAFETY: no other program of this CPU runs meanwhile (see `Scratch`).
        unsafe { tcp::follow(flow, &scratch.headers, seen.counters.segments) };
    }
    if FLOWS.insert(&scratch.flow_key, &*flow, BPF_NOEXIST.into()).is_ok() {
        // Once a flow, never a packet, and not at all in a release.
        #[cfg(feature = "log")]
        aya_log_ebpf::debug!(
            ctx,
            "new flow at interface {} hook {}: {} -> {}",
            scratch.flow_key.interface,
            scratch.flow_key.hook.0,
            parties.0.id.0,
            parties.1.id.0
        );
        return (parties, true);
    }
    // Another CPU made the entry in between, or the table is full.
    match FLOWS.get_ptr_mut(&scratch.flow_key) {
        Some(flow) => {
            update(flow, &scratch.headers, seen, now);
            (parties, true)
        }
        None => (parties, false),
    }
}

/// Adds atomically.
///
/// # Safety
/// `to` points to a field of a map entry.
#[inline(always)]
pub(crate) unsafe fn add(to: *mut u64, more: u64) {
    // SAFETY: the caller's; relaxed, because the sums are read long after.
    unsafe {
        core::intrinsics::atomic_xadd::<u64, u64, { core::intrinsics::AtomicOrdering::Relaxed }>(to, more)
    };
}
