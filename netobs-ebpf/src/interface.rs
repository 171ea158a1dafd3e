//! An interface's index → what the collector says of it, from this CPU's copy where that is still good.
//!
//! A look-up in a hash is a call, 30 ns of 180 a packet; look-ups in arrays the verifier turns into loads
//! (`array_map_gen_lookup`; `percpu_array_map_gen_lookup`, Linux 6.10). An array alone will not do: indexes
//! grow without bound, and what another CPU writes to an array is read in pieces.

use netobs_common::interface::Interface;

use crate::maps::{GENERATION, INTERFACES, KNOWN};

/// Copies a CPU keeps, by the low bits of the index. Where two interfaces share a place, both are looked up.
pub(crate) const KNOWN_CAPACITY: u32 = 256;

/// A copy, and when it was made.
#[repr(C)]
pub(crate) struct Known {
    interface: Interface,
    index: u32,
    generation: u32,
}

/// What the interface is; `None` where the collector has not told of it.
///
/// The collector writes the table first and the generation after it, so a copy of the new generation is never
/// of the old table.
#[inline(always)]
pub(crate) fn find(index: u32) -> Option<Interface> {
    let generation = GENERATION.get(0).map_or(0, |generation| {
        // SAFETY: the entry of an array is always there; volatile, for the collector may be writing it.
        unsafe { core::ptr::read_volatile(generation) }
    });
    let known = KNOWN.get_ptr_mut(index & (KNOWN_CAPACITY - 1))?;
    // SAFETY: this CPU's own, and no other program of this CPU runs meanwhile (see `Scratch`).
    let known = unsafe { &mut *known };
    // No index is 0, so what was never written is nobody's copy.
    if known.index != index || known.generation != generation {
        // SAFETY: the value is plain integers; the collector replaces it whole.
        known.interface = *unsafe { INTERFACES.get(&index) }?;
        known.index = index;
        known.generation = generation;
    }
    Some(known.interface)
}
