//! Bytes and numbers of which not every bit is known. Pure.

use super::Mark;

/// A byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    set: u8,
    known: u8,
}

impl Bits {
    /// Nothing is known.
    pub(super) const UNKNOWN: Self = Self { set: 0, known: 0 };

    /// All is.
    pub(super) const fn of(byte: u8) -> Self {
        Self { set: byte, known: u8::MAX }
    }

    /// Of a byte, the bits of the mask.
    pub(super) const fn partly(byte: u8, known: u8) -> Self {
        Self { set: byte & known, known }
    }

    /// The byte, where all is known.
    pub(super) const fn value(self) -> Option<u8> {
        if self.known == u8::MAX { Some(self.set) } else { None }
    }

    /// Whether it may be this byte.
    pub(super) const fn may_be(self, byte: u8) -> bool {
        (self.set ^ byte) & self.known == 0
    }

    /// `(self & mask) ^ flip`.
    pub(super) const fn masked(self, mask: u8, flip: u8) -> Self {
        Self { set: (self.set & mask) ^ flip, known: self.known | !mask }
    }
}

/// Whether bytes are these.
pub(super) fn equal(bytes: &[Bits], with: &[u8]) -> Option<bool> {
    if bytes.iter().zip(with).any(|(bits, byte)| !bits.may_be(*byte)) {
        return Some(false);
    }
    bytes.iter().all(|bits| bits.value().is_some()).then_some(true)
}

/// How bytes compare with others, as one number in the network's order.
pub(super) fn compare(bytes: &[Bits], with: &[u8]) -> Option<std::cmp::Ordering> {
    for (bits, byte) in bytes.iter().zip(with) {
        match bits.value()?.cmp(byte) {
            std::cmp::Ordering::Equal => {}
            other => return Some(other),
        }
    }
    Some(std::cmp::Ordering::Equal)
}

/// A number of 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    set: u32,
    known: u32,
}

impl Word {
    pub(super) const UNKNOWN: Self = Self { set: 0, known: 0 };

    pub(super) const fn of(value: u32) -> Self {
        Self { set: value, known: u32::MAX }
    }

    /// Of a number, the bits of the mask.
    pub(super) const fn partly(value: u32, known: u32) -> Self {
        Self { set: value & known, known }
    }

    /// As anybody may know it.
    pub(super) const fn told(self) -> Mark {
        Mark { value: self.set & self.known, known: self.known }
    }

    /// What both say.
    pub(super) const fn merge(self, other: Self) -> Self {
        let known = self.known & other.known & !(self.set ^ other.set);
        Self { set: self.set & known, known }
    }

    pub(super) const fn masked(self, mask: u32, flip: u32) -> Self {
        Self { set: (self.set & mask) ^ flip, known: self.known | !mask }
    }

    pub(super) const fn flipped(self, other: Self) -> Self {
        let known = self.known & other.known;
        Self { set: (self.set ^ other.set) & known, known }
    }

    /// Whether it is `value` under `mask`.
    pub(super) const fn is(self, value: u32, mask: u32) -> Option<bool> {
        // The value may have bits beyond the mask, and then it never is.
        let seen = self.masked(mask, 0);
        if (seen.set ^ value) & seen.known != 0 {
            Some(false)
        } else if seen.known == u32::MAX {
            Some(true)
        } else {
            None
        }
    }

    /// In the host's order.
    pub(super) fn bytes(self) -> [Bits; 4] {
        let (set, known) = (self.set.to_ne_bytes(), self.known.to_ne_bytes());
        std::array::from_fn(|at| Bits::partly(set[at], known[at]))
    }

    pub(super) fn from_bytes(bytes: [Bits; 4]) -> Self {
        Self {
            set: u32::from_ne_bytes(bytes.map(|bits| bits.set)),
            known: u32::from_ne_bytes(bytes.map(|bits| bits.known)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_in_a_known_bit_is_not_equal_and_the_rest_is_open() {
        let half = [Bits::partly(0xa0, 0xf0)];
        assert_eq!(equal(&half, &[0xab]), None);
        assert_eq!(equal(&half, &[0xbb]), Some(false));
        assert_eq!(equal(&[half[0].masked(0xf0, 0)], &[0xa0]), Some(true));
    }

    #[test]
    fn an_order_is_known_as_far_as_the_first_unknown_byte() {
        assert_eq!(compare(&[Bits::of(1), Bits::UNKNOWN], &[2, 0]), Some(Ordering::Less));
        assert_eq!(compare(&[Bits::of(2), Bits::UNKNOWN], &[2, 0]), None);
    }

    proptest! {
        #[test]
        fn a_known_word_stays_known_and_right(value: u32, mask: u32, flip: u32, other: u32) {
            let word = Word::of(value).masked(mask, flip);
            prop_assert_eq!(word.told(), Mark::from((value & mask) ^ flip));
            prop_assert_eq!(Word::from_bytes(word.bytes()), word);
            prop_assert_eq!(word.is(other, mask), Some(((value & mask) ^ flip) & mask == other));
            prop_assert_eq!(Word::of(value).merge(Word::of(other)).is(value, u32::MAX),
                if value == other { Some(true) } else { None });
        }
    }
}
