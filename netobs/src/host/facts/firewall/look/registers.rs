//! The registers of a rule: sixteen of four bytes, of which four of sixteen bytes are another view
//! (include/uapi/linux/netfilter/nf_tables.h, `enum nft_registers`). Pure.

use std::net::IpAddr;

use super::super::bits::{Bits, Word};

/// Bytes of all.
pub(super) const SIZE: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Registers([Bits; SIZE]);

impl Default for Registers {
    fn default() -> Self {
        Self([Bits::UNKNOWN; SIZE])
    }
}

fn place(register: u32) -> usize {
    let at = match register {
        1..=4 => (register - 1) * 16,
        8..=23 => (register - 8) * 4,
        _ => return SIZE,
    };
    usize::try_from(at).unwrap_or(SIZE)
}

impl Registers {
    /// The kernel fills the last word up with zeros.
    pub(super) fn store(&mut self, register: u32, bytes: &[Bits]) {
        let filled = bytes.len().next_multiple_of(4);
        let bytes = bytes.iter().copied().chain(std::iter::repeat(Bits::of(0))).take(filled);
        for (to, from) in self.0.iter_mut().skip(place(register)).zip(bytes) {
            *to = from;
        }
    }

    /// What lies beyond the registers is not known.
    pub(super) fn read(&self, register: u32, length: usize) -> Vec<Bits> {
        let bytes = self.0.iter().copied().skip(place(register));
        bytes.chain(std::iter::repeat(Bits::UNKNOWN)).take(length.min(SIZE)).collect()
    }

    pub(super) fn mask(&mut self, from: u32, to: u32, mask: &[u8], flip: &[u8]) {
        let bytes = self.read(from, mask.len());
        let masked =
            bytes.iter().zip(mask.iter().zip(flip)).map(|(bits, (mask, flip))| bits.masked(*mask, *flip));
        let masked: Vec<Bits> = masked.collect();
        self.store(to, &masked);
    }

    /// On a host of the network's own order there is nothing to turn.
    pub(super) fn swap(&mut self, from: u32, to: u32, size: u32, length: u32) {
        let mut bytes = self.read(from, usize::try_from(length).unwrap_or(SIZE));
        if cfg!(target_endian = "little") {
            let size = usize::try_from(size).unwrap_or(SIZE).max(1);
            bytes.chunks_mut(size).for_each(<[Bits]>::reverse);
        }
        self.store(to, &bytes);
    }

    pub(super) fn word(&self, register: u32) -> Word {
        self.read(register, 4).first_chunk().map_or(Word::UNKNOWN, |bytes| Word::from_bytes(*bytes))
    }

    fn known<const N: usize>(&self, register: u32) -> Option<[u8; N]> {
        let bytes: Vec<u8> = self.read(register, N).into_iter().map(Bits::value).collect::<Option<_>>()?;
        bytes.first_chunk().copied()
    }

    pub(super) fn address(&self, register: u32, ipv6: bool) -> Option<IpAddr> {
        if ipv6 {
            self.known::<16>(register).map(IpAddr::from)
        } else {
            self.known::<4>(register).map(IpAddr::from)
        }
    }

    pub(super) fn port(&self, register: u32) -> Option<u16> {
        self.known::<2>(register).map(u16::from_be_bytes)
    }
}

/// The name of an interface as the kernel puts it into a register.
pub(super) fn name(name: Option<&str>) -> Vec<Bits> {
    /// `IFNAMSIZ`.
    const LENGTH: usize = 16;
    match name {
        Some(name) => name.bytes().map(Bits::of).chain(std::iter::repeat(Bits::of(0))).take(LENGTH).collect(),
        None => vec![Bits::UNKNOWN; LENGTH],
    }
}
