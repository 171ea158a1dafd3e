//! The monotonic clock, precise or coarse.

use aya_ebpf::{
    Global,
    helpers::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
};

/// 1 where the kernel has the coarse clock (5.11 and later); the collector says so before it loads.
/// A constant to the verifier, so the helper an older kernel lacks is dead code there.
#[unsafe(no_mangle)]
static COARSE_CLOCK: Global<u8> = Global::new(0);

/// For ages: steps by a timer tick (4 ms at 250 Hz), costs next to nothing.
#[inline(always)]
pub(crate) fn coarse() -> u64 {
    if COARSE_CLOCK.load() == 0 {
        return precise();
    }
    // SAFETY: the helper has no arguments and no effect.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// For order and duration.
#[inline(always)]
pub(crate) fn precise() -> u64 {
    // SAFETY: the helper has no arguments and no effect.
    unsafe { bpf_ktime_get_ns() }
}
