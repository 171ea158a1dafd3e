//! A program and bytes → its verdict, the bytes after it, and how long it took (`BPF_PROG_TEST_RUN`).

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, Result};

use crate::bpf::Arguments;

const TEST_RUN: libc::c_long = 10;

/// What is said of the packet beside its bytes (`struct __sk_buff`, `include/uapi/linux/bpf.h`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Index of the interface it came in by; 0 for packets made here.
    pub ingress_ifindex: u32,
    /// Payload of a segment on a cable.
    pub gso_size: u32,
    /// How many there are.
    pub gso_segs: u32,
}

impl Context {
    /// The fields at their places. Which device it is stays 0: `lo` of the namespace, index 1.
    fn bytes(&self) -> [u8; 192] {
        let mut bytes = [0; 192];
        for (offset, value) in [(36, self.ingress_ifindex), (164, self.gso_segs), (176, self.gso_size)] {
            bytes[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the program returned.
    pub verdict: u32,
    /// Nanoseconds a run, the mean of all.
    pub nanoseconds: u32,
    /// The packet after the last run.
    pub packet: Vec<u8>,
}

/// Runs a program on a packet of at least 14 bytes. The kernel's own buffer is used again for each run.
///
/// # Errors
/// `EINVAL` for packets that are too short or longer than a page.
pub fn run(program: BorrowedFd<'_>, packet: &[u8], context: &Context, repeat: u32) -> Result<Outcome> {
    let context = context.bytes();
    // A program may make a packet longer; ours must not, and this would show it.
    let mut out = vec![0; packet.len() + 64];
    let mut arguments = Arguments::new()
        .u32(0, program.as_raw_fd().unsigned_abs())
        .u32(8, packet.len().try_into()?)
        .u32(12, out.len().try_into()?)
        .u64(16, packet.as_ptr().addr() as u64)
        .u64(24, out.as_mut_ptr().addr() as u64)
        .u32(32, repeat)
        .u32(40, context.len().try_into()?)
        .u64(48, context.as_ptr().addr() as u64);
    arguments.call(TEST_RUN).with_context(|| format!("running a program on {} bytes", packet.len()))?;
    out.truncate(arguments.told(12).try_into()?);
    Ok(Outcome { verdict: arguments.told(4), nanoseconds: arguments.told(36), packet: out })
}
