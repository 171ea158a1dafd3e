//! An ICMP error, counted like any packet → counted once more by the packet it quotes.

use aya_ebpf::{bindings::BPF_NOEXIST, programs::TcContext};
use netobs_common::{
    entry,
    icmp_error::{IcmpError, IcmpErrorType},
    parse::{Fragment, quote},
    tunnel::Encapsulation,
};

use crate::{
    clock,
    count::{self, Seen},
    maps::{ICMP_ERROR_PROGRAM, ICMP_ERRORS, ICMP_ERRORS_UNLISTED, SCRATCH},
    scratch::Scratch,
    skb::Skb,
};

/// Looks at a packet that was counted: its headers, flow and path are in the scratch. An error is left to a program of
/// its own, for the verifier walks that once, and what is called here again for each way that leads here.
#[inline(always)]
pub(crate) fn look(ctx: &TcContext, scratch: &mut Scratch, seen: &Seen<'_>) {
    let error = scratch.headers.icmp_error();
    if error == IcmpErrorType::NONE {
        return;
    }
    scratch.error_key.origin = seen.origin;
    let counts = entry::is_entry(
        seen.interface,
        seen.hook,
        seen.origin,
        scratch.flow_key.encapsulation != Encapsulation::NONE,
        scratch.path_key.destination,
        |owner, receiver| owner == receiver,
    );
    scratch.error_counts = u64::from(counts);
    // SAFETY: nothing here waits to be dropped, and the program returns what this one would.
    unsafe { ICMP_ERROR_PROGRAM.tail_call(ctx, 0) };
    // Only where there is no such program.
    unlisted(scratch);
}

/// Counts the error by its quote, or by its type alone.
#[inline(always)]
pub(crate) fn read(ctx: &TcContext) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own, as the classifier left it, and no other program of this CPU runs meanwhile.
    let scratch = unsafe { &mut *scratch };
    if !listed(ctx, scratch) {
        unlisted(scratch);
    }
}

/// Of which only the type is known: where it enters this host or is made, for that passes exactly one place.
#[inline(always)]
fn unlisted(scratch: &Scratch) {
    let error = scratch.headers.icmp_error();
    if let Some(unlisted) = ICMP_ERRORS_UNLISTED.get_ptr_mut(error.0.into()) {
        // SAFETY: per CPU, and no other program of this CPU runs meanwhile.
        unsafe { *unlisted += scratch.error_counts };
    }
}

/// Whether the quote could be read and there was room.
#[inline(always)]
fn listed(ctx: &TcContext, scratch: &mut Scratch) -> bool {
    let skb = Skb::new(ctx, &raw mut scratch.copied);
    let Ok(mtu) = quote(&skb, &scratch.headers, &mut scratch.inner) else { return false };
    let key = &mut scratch.error_key;
    key.quoted = scratch.flow_key;
    key.quoted.source = scratch.inner.source;
    key.quoted.destination = scratch.inner.destination;
    key.quoted.source_port = scratch.inner.ports.source;
    key.quoted.destination_port = scratch.inner.ports.destination;
    key.quoted.network = scratch.inner.network;
    key.quoted.proto = scratch.inner.proto;
    key.quoted.fragment = u8::from(scratch.inner.fragment == Fragment::LATER);
    [key.kind, key.code] = scratch.headers.ports.destination.to_be_bytes();
    key.padding = 0;
    let now = clock::precise();
    let error = &mut scratch.error;
    error.count = 1;
    error.first_seen = now;
    error.last_seen = now;
    error.reporter = scratch.headers.source;
    error.receiver = scratch.path_key.destination;
    error.mtu = mtu;
    if let Some(known) = ICMP_ERRORS.get_ptr_mut(&scratch.error_key) {
        again(known, &scratch.error);
        return true;
    }
    if ICMP_ERRORS.insert(&scratch.error_key, &scratch.error, BPF_NOEXIST.into()).is_ok() {
        return true;
    }
    // Another CPU made the entry in between, or the table is full.
    let Some(known) = ICMP_ERRORS.get_ptr_mut(&scratch.error_key) else { return false };
    again(known, &scratch.error);
    true
}

/// One more of a kind that other CPUs may be counting.
#[inline(always)]
fn again(known: *mut IcmpError, error: &IcmpError) {
    // SAFETY: the entry is valid while the program runs; the count is added atomically, and the rest is of the latest
    // error, whichever CPU had it.
    unsafe {
        count::add(&raw mut (*known).count, 1);
        (*known).last_seen = error.last_seen;
        (*known).reporter = error.reporter;
        (*known).receiver = error.receiver;
        (*known).mtu = error.mtu;
    }
}
