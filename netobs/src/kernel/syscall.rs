//! Operations that aya 0.14 does not have: batches and look-up with delete on maps; and which programs stand on
//! a hook, which aya answers by opening each of them, and that needs `CAP_SYS_ADMIN`.
//! `union bpf_attr` in `include/uapi/linux/bpf.h`.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

const LOOKUP_ELEM: libc::c_long = 1;
const DELETE_ELEM: libc::c_long = 3;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const PROG_QUERY: libc::c_long = 16;
const LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;
const LOOKUP_BATCH: libc::c_long = 24;

/// The `batch` member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct BatchAttributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The anonymous element member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct ElementAttributes {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The `query` member of `union bpf_attr`, as far as Linux 6.6 has it.
#[repr(C)]
#[derive(Default)]
struct QueryAttributes {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// The `info` member of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct InfoAttributes {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// Where `struct bpf_prog_info` has `recursion_misses` (Linux 5.12; what comes before it never moves).
const RECURSION_MISSES: usize = 208;

/// How often a program was not run, because it was running on the same CPU already.
///
/// # Errors
/// What the kernel says.
pub(super) fn missed(program: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = [0_u64; RECURSION_MISSES / 8 + 1];
    let mut attributes = InfoAttributes {
        bpf_fd: program.as_raw_fd().cast_unsigned(),
        info_len: size_of_val(&info) as u32,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: the pointer leads to as many bytes as `info_len` says, which outlive the call; all zero, they ask for
    // none of the lists that the kernel would write elsewhere.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, (&raw mut attributes).cast(), size_of::<InfoAttributes>()) }?;
    Ok(info[RECURSION_MISSES / 8])
}

/// `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS` of `enum bpf_attach_type`.
pub(super) const TCX_HOOKS: [u32; 2] = [46, 47];
/// Programs a TCX hook can have (`BPF_MPROG_MAX`).
const CHAIN: usize = 64;

/// The program that runs first at a TCX hook of an interface of the calling thread's network namespace.
///
/// # Errors
/// `EINVAL` before Linux 6.6; `ENODEV` where there is no such interface.
pub(super) fn first_on(index: u32, hook: u32) -> io::Result<Option<u32>> {
    let mut programs = [0_u32; CHAIN];
    let mut attributes = QueryAttributes {
        target_ifindex: index,
        attach_type: hook,
        prog_ids: programs.as_mut_ptr() as u64,
        count: CHAIN as u32,
        ..QueryAttributes::default()
    };
    // SAFETY: the pointer leads to room for as many numbers as `count` says, which outlives the call.
    unsafe { bpf(PROG_QUERY, (&raw mut attributes).cast(), size_of::<QueryAttributes>()) }?;
    Ok(programs.first().copied().filter(|_| attributes.count > 0))
}

/// Where the next batch goes on. Opaque: for a hash it is a bucket number.
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor(u64);

/// What a batch brought.
pub(super) struct Batch {
    /// Entries read.
    pub(super) count: usize,
    /// Where the next one goes on; `None` at the end of the table.
    pub(super) next: Option<Cursor>,
}

/// Reads up to as many entries as both buffers hold, from `from` on (`None`: from the start).
///
/// `keys` and `values` are as long as the entries asked for times the kernel's size of one.
///
/// # Errors
/// `ENOSPC` where a bucket holds more entries than were asked for; `EINVAL` before Linux 5.6.
pub(super) fn lookup_batch(
    map: BorrowedFd<'_>,
    from: Option<Cursor>,
    keys: &mut [u8],
    values: &mut [u8],
    count: usize,
) -> io::Result<Batch> {
    let mut next = Cursor::default();
    let mut attributes = BatchAttributes {
        in_batch: from.as_ref().map_or(0, |cursor| (&raw const cursor.0) as u64),
        out_batch: (&raw mut next.0) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        map_fd: map.as_raw_fd().cast_unsigned(),
        ..BatchAttributes::default()
    };
    // SAFETY: the pointers lead to buffers that outlive the call and hold `count` keys and values.
    let result = unsafe { bpf(LOOKUP_BATCH, (&raw mut attributes).cast(), size_of::<BatchAttributes>()) };
    match result {
        Ok(()) => Ok(Batch { count: attributes.count as usize, next: Some(next) }),
        // The end of the table; the entries before it are there.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
            Ok(Batch { count: attributes.count as usize, next: None })
        }
        Err(error) => Err(error),
    }
}

/// Takes one entry out; `false` if it was not there.
///
/// # Errors
/// `EINVAL` before Linux 5.14, which has no such operation on a hash.
pub(super) fn take(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attributes = ElementAttributes {
        map_fd: map.as_raw_fd().cast_unsigned(),
        key: key.as_ptr() as u64,
        value: value.as_mut_ptr() as u64,
        ..ElementAttributes::default()
    };
    // SAFETY: the pointers lead to buffers of the map's key and value size that outlive the call.
    let result =
        unsafe { bpf(LOOKUP_AND_DELETE_ELEM, (&raw mut attributes).cast(), size_of::<ElementAttributes>()) };
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Looks an entry up, then removes it; `false` if it was not there.
///
/// # Errors
/// What the kernel says.
pub(super) fn take_in_two_steps(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attributes = ElementAttributes {
        map_fd: map.as_raw_fd().cast_unsigned(),
        key: key.as_ptr() as u64,
        value: value.as_mut_ptr() as u64,
        ..ElementAttributes::default()
    };
    for command in [LOOKUP_ELEM, DELETE_ELEM] {
        // SAFETY: the pointers lead to buffers of the map's key and value size that outlive the call.
        let result = unsafe { bpf(command, (&raw mut attributes).cast(), size_of::<ElementAttributes>()) };
        match result {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// # Safety
/// `attributes` points to `size` bytes of the form `command` wants, whose pointers are valid.
unsafe fn bpf(command: libc::c_long, attributes: *mut libc::c_void, size: usize) -> io::Result<()> {
    // SAFETY: the caller's.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
