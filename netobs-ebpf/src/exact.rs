//! A packet → the exact counter of its path, and where that has no room, the spill; or its reason to have no flow.

use aya_ebpf::bindings::BPF_NOEXIST;
use netobs_common::{
    counters::Counters, endpoint::Party, entry, hook::Hook, key::SkipKey, maps::spill_index, skip::Skip,
    tunnel::Encapsulation,
};

use crate::{
    count::Seen,
    maps::{NOTHING, PATHS, SKIPS, SPILL},
    scratch::Scratch,
};

/// Counts a packet that has none.
#[inline(always)]
pub(crate) fn skipped(interface: u32, hook: Hook, reason: Skip, counters: Counters) {
    let key = SkipKey { interface, hook, reason, padding: [0; 2] };
    if let Some(skips) = SKIPS.get_ptr_mut(&key) {
        // SAFETY: per CPU, and no other program of this CPU runs meanwhile.
        unsafe { (*skips).add(counters) };
    } else if SKIPS.insert(&key, &counters, BPF_NOEXIST.into()).is_err() {
        // Another CPU made the entry, or the table is full; the collector sees a full table by its size.
        if let Some(skips) = SKIPS.get_ptr_mut(&key) {
            // SAFETY: as above.
            unsafe { (*skips).add(counters) };
        }
    }
}

/// Adds to the exact counter of the path, or to the spill where that is full too.
#[inline(always)]
pub(crate) fn path(
    scratch: &mut Scratch,
    seen: &Seen<'_>,
    (source, destination): (Party, Party),
    listed: bool,
) {
    let protocol = scratch.headers.protocol();
    let key = &mut scratch.path_key;
    key.interface = seen.interface.id;
    key.source = source.id;
    key.destination = destination.id;
    key.source_kind = source.kind;
    key.destination_kind = destination.kind;
    key.protocol = protocol;
    key.hook = seen.hook;
    key.origin = seen.origin;
    let encapsulated = scratch.flow_key.encapsulation != Encapsulation::NONE;
    key.encapsulated = u8::from(encapsulated);
    key.padding = [0; 2];

    let mut counters = PATHS.get_ptr_mut(&*key);
    if counters.is_none()
        && let Some(nothing) = NOTHING.get(0)
    {
        // An error means that another CPU was faster, or that the table is full: the second look tells.
        let _made = PATHS.insert(&*key, nothing, BPF_NOEXIST.into()).is_ok();
        counters = PATHS.get_ptr_mut(&*key);
    }
    if let Some(counters) = counters {
        // SAFETY: per CPU, and no other program of this CPU runs meanwhile.
        unsafe {
            (*counters).all.add(seen.counters);
            if !listed {
                (*counters).unlisted.add(seen.counters);
            }
        }
    } else if !listed {
        let counts = entry::is_entry(
            seen.interface,
            seen.hook,
            seen.origin,
            encapsulated,
            destination.id,
            |owner, receiver| owner == receiver,
        );
        if let Some(spill) = SPILL.get_ptr_mut(spill_index(counts, source.kind, destination.kind, protocol)) {
            // SAFETY: as above.
            unsafe { (*spill).add(seen.counters) };
        }
        skipped(seen.interface.id, seen.hook, Skip::PATHS_FULL, seen.counters);
    }
}
