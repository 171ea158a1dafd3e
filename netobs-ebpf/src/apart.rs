//! A freed packet's reason, and where it was freed → whether it is a drop at all; the counts of what is none.

use netobs_common::{
    drop::Dropped as Count,
    maps::{DROP_PLACES_CAPACITY, NO_DROP, NO_DROP_IN_PLACES},
};

use crate::maps::{DROP_PLACES, DROP_REASONS, DROPS_APART};

/// Whether nothing that anybody waits for was lost.
#[inline(always)]
pub(crate) fn is_no_drop(reason: u32, location: u64) -> bool {
    match DROP_REASONS.get(reason).copied().unwrap_or(0) {
        NO_DROP => true,
        NO_DROP_IN_PLACES => {
            let calls = |index| DROP_PLACES.get(index).is_some_and(|place| place.calls(location));
            (0..DROP_PLACES_CAPACITY).any(calls)
        }
        _ => false,
    }
}

/// Counts what is no drop of a packet.
#[inline(always)]
pub(crate) fn apart(index: u32, count: Count) {
    if let Some(known) = DROPS_APART.get_ptr_mut(index) {
        // SAFETY: per CPU, and the program does not interrupt itself.
        unsafe { (*known).add(count) };
    }
}
