//! The kernel side, as `cargo xtask build-ebpf` made it, embedded.

use anyhow::{Result, bail};

/// Aligned, because the loader reads ELF headers in place.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NETOBS_BPF_OBJECT"));

/// The embedded object file.
///
/// # Errors
/// A development build made without it.
pub(super) fn bytes() -> Result<&'static [u8]> {
    if OBJECT.is_empty() {
        bail!("this agent was built without its kernel side: run `cargo xtask build-ebpf`, then build again");
    }
    Ok(OBJECT)
}
