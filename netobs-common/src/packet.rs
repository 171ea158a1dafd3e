//! Where the parser reads from: bytes in a test, a socket buffer in the kernel.

/// Read access to a packet. Bounds are checked here, so the parser's steps read like the header diagrams.
pub trait Packet {
    /// Length in bytes, of all of it.
    fn length(&self) -> u32;

    /// `N` bytes at `offset`, or `None` where the packet is shorter.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Packet for &[u8] {
    fn length(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}
