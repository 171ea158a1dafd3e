//! A socket buffer as the parser reads it.

use core::ptr;

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_skb_load_bytes, programs::TcContext};
use netobs_common::packet::Packet;

/// Headers beyond this offset are not followed: the verifier wants a bound, and two tags, IPv6 and
/// eight extension headers of usual size stay well below.
const FURTHEST: usize = 1024;

/// The most bytes that are asked for at once.
const WIDEST: usize = 32;

/// Where bytes go that have to be copied. In a table, not on the stack, where the verifier refuses reads
/// at odd offsets on every machine.
pub(crate) type Copied = [u8; WIDEST];

/// What the classifier reads of a socket buffer.
pub(crate) struct Skb<'a> {
    ctx: &'a TcContext,
    copied: *mut Copied,
}

impl<'a> Skb<'a> {
    /// `copied` is this CPU's own.
    #[inline(always)]
    pub(crate) fn new(ctx: &'a TcContext, copied: *mut Copied) -> Self {
        Self { ctx, copied }
    }

    #[inline(always)]
    fn raw(&self) -> *mut __sk_buff {
        self.ctx.skb.skb
    }

    /// Index of the interface the program runs on.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        // SAFETY: the context pointer is valid while the program runs.
        unsafe { (*self.raw()).ifindex }
    }

    /// Index of the interface the packet was received on, 0 if it was made here.
    #[inline(always)]
    pub(crate) fn ingress_ifindex(&self) -> u32 {
        // SAFETY: as in `ifindex`.
        unsafe { (*self.raw()).ingress_ifindex }
    }

    /// The VLAN tag taken out of the frame.
    #[inline(always)]
    pub(crate) fn tag(&self) -> Option<u16> {
        // SAFETY: as in `ifindex`.
        let (present, tag) = unsafe { ((*self.raw()).vlan_present, (*self.raw()).vlan_tci) };
        (present != 0).then_some(tag as u16)
    }

    /// `gso_size` and `gso_segs`.
    #[inline(always)]
    pub(crate) fn offload(&self) -> (u32, u32) {
        // SAFETY: as in `ifindex`.
        unsafe { ((*self.raw()).gso_size, (*self.raw()).gso_segs) }
    }
}

impl Packet for Skb<'_> {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.ctx.len()
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > FURTHEST {
            return None;
        }
        let start = self.ctx.data() + offset;
        if start + N <= self.ctx.data_end() {
            // SAFETY: the bytes lie between `data` and `data_end`; an array of bytes has no alignment.
            return Some(unsafe { ptr::read_unaligned(start as *const [u8; N]) });
        }
        const { assert!(N <= WIDEST) };
        // The linear part ends before: the helper copies from the pages.
        // SAFETY: there is room for the `N` bytes asked for.
        let result =
            unsafe { bpf_skb_load_bytes(self.raw().cast(), offset as u32, self.copied.cast(), N as u32) };
        // SAFETY: as above, and an array of bytes has no alignment.
        (result == 0).then(|| unsafe { ptr::read_unaligned(self.copied.cast()) })
    }
}
