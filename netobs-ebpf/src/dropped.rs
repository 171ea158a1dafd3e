//! A socket buffer in the kernel's memory → its fields, and its packet as the parser reads it. By the layout the
//! collector read from the kernel's BTF.

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};
use netobs_common::{
    drop::{BUFFER, DropLayout},
    packet::Packet,
};

/// All zero where the kernel does not describe itself; then the program is not loaded.
#[unsafe(no_mangle)]
static DROP_LAYOUT: Global<DropLayout> = Global::new(DropLayout {
    size: 0,
    device: 0,
    socket: 0,
    length: 0,
    paged: 0,
    ingress: 0,
    protocol: 0,
    network_header: 0,
    head: 0,
    data: 0,
    device_index: 0,
    device_network: 0,
    socket_network: 0,
    inode: 0,
    tells_receiver: 0,
});

/// Headers beyond this offset are not followed, as in the classifier.
const FURTHEST: usize = 1024;

#[inline(always)]
pub(crate) fn layout() -> DropLayout {
    DROP_LAYOUT.load()
}

/// `sk_buff`, copied, and room for its widest member at the end: offsets are masked, so that the verifier need not
/// know them.
pub(crate) type Buffer = [u8; BUFFER as usize + 8];

/// Copies as much of a structure as is looked at; whether it could be read.
#[inline(always)]
pub(crate) fn copy(from: u64, size: u32, buffer: &mut Buffer) -> bool {
    if size > BUFFER {
        return false;
    }
    // SAFETY: there is room for what is asked for; the helper checks the address.
    unsafe { bpf_probe_read_kernel(buffer.as_mut_ptr().cast(), size, from as *const _) == 0 }
}

/// A member of the copied structure.
#[inline(always)]
pub(crate) fn member<T: Copy>(buffer: &Buffer, offset: u32) -> T {
    const { assert!(size_of::<T>() <= 8) };
    let offset = (offset & (BUFFER - 1)) as usize;
    // SAFETY: masked, the offset is at least eight bytes from the end; only integers are asked for.
    unsafe { buffer.as_ptr().add(offset).cast::<T>().read_unaligned() }
}

/// A member of a structure elsewhere.
#[inline(always)]
pub(crate) fn read<T>(structure: u64, offset: u32) -> Option<T> {
    let field = structure.wrapping_add(u64::from(offset)) as *const T;
    // SAFETY: the helper checks the address; one that cannot be read is an error, not a fault.
    unsafe { aya_ebpf::helpers::bpf_probe_read_kernel(field) }.ok()
}

/// The most bytes that are asked for at once.
const WIDEST: usize = 32;

/// Where a packet's bytes are copied to: on the stack the verifier refuses reads at odd offsets.
pub(crate) type Copied = [u8; WIDEST];

/// A packet from its network header on.
pub(crate) struct Dropped {
    copied: *mut Copied,
    /// Where that is.
    start: u64,
    /// Bytes from there to the packet's end.
    length: u32,
    /// How many of them are in one piece. What follows is in pages, and is no header of a packet that the kernel
    /// has looked at.
    linear: u32,
}

impl Dropped {
    /// The packet of a buffer; `None` where nobody has said where its network header is.
    #[inline(always)]
    pub(crate) fn of(buffer: &Buffer, layout: &DropLayout, copied: *mut Copied) -> Option<Self> {
        let head = member::<u64>(buffer, layout.head);
        let data = member::<u64>(buffer, layout.data);
        let length = member::<u32>(buffer, layout.length);
        let paged = member::<u32>(buffer, layout.paged);
        let network = u32::from(member::<u16>(buffer, layout.network_header));
        // The packet may have been pulled beyond its network header, or pushed before it.
        let end = (data.wrapping_sub(head) as u32).wrapping_add(length);
        let length = end.wrapping_sub(network);
        let linear = length.wrapping_sub(paged);
        // Wrapped around, it is larger than what a socket buffer holds (BIG TCP: 512 KiB).
        if network == 0 || length > 1 << 20 || linear > length {
            return None;
        }
        Some(Self { copied, start: head.wrapping_add(u64::from(network)), length, linear })
    }
}

impl Packet for Dropped {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > FURTHEST || (offset + N) as u32 > self.linear {
            return None;
        }
        const { assert!(N <= WIDEST) };
        let from = self.start.wrapping_add(offset as u64) as *const _;
        // SAFETY: there is room for the `N` bytes asked for; the helper checks the address.
        let result = unsafe { bpf_probe_read_kernel(self.copied.cast(), N as u32, from) };
        // SAFETY: as above, and an array of bytes has no alignment.
        (result == 0).then(|| unsafe { self.copied.cast::<[u8; N]>().read_unaligned() })
    }
}
