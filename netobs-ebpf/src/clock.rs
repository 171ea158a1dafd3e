//! The monotonic clock, precise or coarse.

use aya_ebpf::{
    Global,
    helpers::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
};

/// 1 where the kernel has the coarse clock (5.11 and later); the collector says so before it loads.
/// A constant to the verifier, so the helper an older kernel lacks is dead code there.
#[unsafe(no_mangle)]
static COARSE_CLOCK: Global<u8> = Global::new(0);

/// The coarse clock as of a timer tick. It moves with the ticks, so within one it need not be asked again.
#[repr(C)]
pub(crate) struct Tick {
    jiffies: u64,
    now: u64,
}

impl Tick {
    /// For ages: steps by a timer tick (4 ms at 250 Hz). The verifier turns the question for the tick into a
    /// load (`BPF_FUNC_jiffies64` in `do_misc_fixups`, Linux 5.6 and later); a clock is a call, 20 ns of 180.
    #[inline(always)]
    pub(crate) fn coarse(&mut self) -> u64 {
        // SAFETY: the helper has no arguments and no effect.
        let jiffies = unsafe { bpf_jiffies64() };
        if jiffies != self.jiffies {
            self.jiffies = jiffies;
            self.now = if COARSE_CLOCK.load() == 0 {
                precise()
            } else {
                // SAFETY: as above.
                unsafe { bpf_ktime_get_coarse_ns() }
            };
        }
        self.now
    }
}

/// For order and duration.
#[inline(always)]
pub(crate) fn precise() -> u64 {
    // SAFETY: the helper has no arguments and no effect.
    unsafe { bpf_ktime_get_ns() }
}
