//! The kernel side: loading it, putting it on interfaces, telling it who is who, reading what it counted.

mod attach;
mod btf;
mod cleanup;
mod clsact;
mod drain;
mod drops;
mod errors;
mod inside;
mod layout;
mod load;
#[cfg(feature = "kernel-log")]
mod log;
mod object;
mod owners;
mod syscall;
mod table;
mod test_run;
mod write;

pub use attach::{AttachMode, Attached};
pub use cleanup::cleanup;
pub use drain::{Drain, Fill};
pub use drops::{Drops, tells_drops};
pub use load::{Kernel, Options};

/// The programs, as they are called in the kernel: what a leftover filter is told by.
pub(crate) const INGRESS: &str = "netobs_ingress";
/// See [`INGRESS`].
pub(crate) const EGRESS: &str = "netobs_egress";
/// What both leave ICMP errors to.
const ICMP_ERROR: &str = "netobs_icmp_error";

/// Nanoseconds of the clock the kernel side stamps with (`CLOCK_MONOTONIC`).
#[must_use]
pub fn monotonic_now() -> u64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}
