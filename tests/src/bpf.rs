//! The few bpf system calls the cases need: load a program that drops everything, attach it behind ours, and
//! ask what is attached to an interface.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
};

use anyhow::{Context, Result};

use crate::netns::Stack;

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP: libc::c_long = 1;
const PROG_LOAD: libc::c_long = 5;
const OBJ_PIN: libc::c_long = 6;
const PROG_QUERY: libc::c_long = 16;
const LINK_CREATE: libc::c_long = 28;
const SCHED_CLS: u32 = 3;

/// The two places of a TCX program (`enum bpf_attach_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcx {
    /// `BPF_TCX_INGRESS`.
    Ingress = 46,
    /// `BPF_TCX_EGRESS`.
    Egress = 47,
}

/// The arguments of `bpf(2)`: fields at fixed offsets, every byte beyond them zero, as the kernel demands.
pub(crate) struct Arguments([u8; 128]);

impl Arguments {
    pub(crate) fn new() -> Self {
        Self([0; 128])
    }

    pub(crate) fn u32(mut self, offset: usize, value: u32) -> Self {
        self.0[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    pub(crate) fn u64(mut self, offset: usize, value: u64) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    /// What the kernel wrote back at an offset.
    pub(crate) fn told(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_ne_bytes(bytes)
    }

    pub(crate) fn call(&mut self, what: libc::c_long) -> io::Result<libc::c_long> {
        // SAFETY: the buffer is as long as said, and the addresses in it point to memory the callers keep.
        let result = unsafe { libc::syscall(libc::SYS_bpf, what, self.0.as_mut_ptr(), self.0.len()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }
}

pub(crate) fn owned(result: libc::c_long) -> Result<OwnedFd> {
    let fd = RawFd::try_from(result)?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes an array of `count` values of `size` bytes.
pub(crate) fn array(size: usize, count: u32) -> Result<OwnedFd> {
    const ARRAY: u32 = 2;
    let mut arguments = Arguments::new().u32(0, ARRAY).u32(4, 4).u32(8, size.try_into()?).u32(12, count);
    owned(arguments.call(MAP_CREATE).context("making an array")?)
}

/// Reads a value of an array into `value`, which must be as long as its values are.
pub(crate) fn read_array(array: &OwnedFd, index: u32, value: &mut [u8]) -> Result<()> {
    let mut arguments = Arguments::new()
        .u32(0, number(array))
        .u64(8, std::ptr::from_ref(&index).addr() as u64)
        .u64(16, value.as_mut_ptr().addr() as u64);
    arguments.call(MAP_LOOKUP).context("reading an array")?;
    Ok(())
}

pub(crate) fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Loads a tc program that returns `TC_ACT_SHOT` for every packet.
///
/// # Errors
/// Without privilege.
pub fn load_dropper() -> Result<OwnedFd> {
    // r0 = 2 (TC_ACT_SHOT); exit
    load(b"lab_drop", &[0x0000_0002_0000_00b7, 0x95])
}

/// Loads a tc program of these instructions.
pub(crate) fn load(called: &[u8], instructions: &[u64]) -> Result<OwnedFd> {
    let license = c"GPL";
    let mut name = [0; 16];
    name[..called.len()].copy_from_slice(called);
    let mut arguments = Arguments::new()
        .u32(0, SCHED_CLS)
        .u32(4, instructions.len().try_into()?)
        .u64(8, instructions.as_ptr().addr() as u64)
        .u64(16, license.as_ptr().addr() as u64);
    arguments.0[48..64].copy_from_slice(&name);
    owned(arguments.call(PROG_LOAD).with_context(|| called.escape_ascii().to_string())?)
}

/// Attaches a program at the end of an interface's TCX chain; detached when the link is dropped.
///
/// # Errors
/// Where the kernel has no TCX, or the interface is not in the namespace.
pub fn attach_tcx(stack: &Stack, program: &OwnedFd, interface: &str, place: Tcx) -> Result<OwnedFd> {
    link_tcx(stack, program, interface, place, 0)
}

/// As [`attach_tcx`], at the head of the chain.
///
/// # Errors
/// As [`attach_tcx`].
pub fn attach_tcx_first(stack: &Stack, program: &OwnedFd, interface: &str, place: Tcx) -> Result<OwnedFd> {
    /// `BPF_F_BEFORE`; relative to nothing is before all.
    const BEFORE: u32 = 1 << 3;
    link_tcx(stack, program, interface, place, BEFORE)
}

fn link_tcx(stack: &Stack, program: &OwnedFd, interface: &str, place: Tcx, flags: u32) -> Result<OwnedFd> {
    let program = number(program);
    stack.within(|| {
        let index = index_of(interface)?;
        let mut arguments =
            Arguments::new().u32(0, program).u32(4, index).u32(8, place as u32).u32(12, flags);
        owned(arguments.call(LINK_CREATE).with_context(|| format!("TCX on {interface}"))?)
    })?
}

/// Ids of the programs on an interface's TCX chain, in the order they run.
///
/// # Errors
/// When the interface is not in the namespace.
pub fn tcx_programs(stack: &Stack, interface: &str, place: Tcx) -> Result<Vec<u32>> {
    stack.within(|| {
        let index = index_of(interface)?;
        let mut ids = [0u32; 64];
        let mut arguments = Arguments::new()
            .u32(0, index)
            .u32(4, place as u32)
            .u64(16, ids.as_mut_ptr().addr() as u64)
            .u32(24, ids.len().try_into()?);
        arguments.call(PROG_QUERY).with_context(|| format!("TCX programs of {interface}"))?;
        let count = u32::from_ne_bytes(arguments.0[24..28].try_into()?);
        Ok(ids[..usize::try_from(count)?.min(ids.len())].to_vec())
    })?
}

/// Pins a program below bpffs, for `tc` to find.
///
/// # Errors
/// When the path is taken or on no bpffs.
pub fn pin(program: &OwnedFd, path: &Path) -> Result<()> {
    let text = CString::new(path.display().to_string())?;
    let mut arguments = Arguments::new().u64(0, text.as_ptr().addr() as u64).u32(8, number(program));
    arguments.call(OBJ_PIN).with_context(|| format!("pinning {}", path.display()))?;
    Ok(())
}

/// The index of an interface of the calling thread's namespace.
fn index_of(interface: &str) -> Result<u32> {
    nix::net::if_::if_nametoindex(interface).with_context(|| format!("interface {interface}"))
}
