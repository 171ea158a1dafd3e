//! Sequence numbers of one direction of a TCP connection at one hook → what is new, what was sent again, and what came
//! in another order. Pure: the same code runs in a test and in the kernel.

use crate::{parse::Segment, wire::TcpFlags};

/// What the TCP headers of one direction tell of its progress.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpProgress {
    /// Segments sent again: all that they hold was seen before.
    pub retransmits: u64,
    /// Segments that filled a gap, longer after it was seen than packets that overtook each other do: they were sent
    /// again, unless nothing can have been lost before this hook.
    pub filled: u64,
    /// The first packet with ACK and without SYN: what ends a handshake, in the initiator's direction. 0 for none.
    pub acknowledged_at: u64,
    /// When the packet passed that is timed: nanoseconds of the monotonic clock, 0 for none.
    pub timed_at: u64,
    /// When its echo, or another one's, passed in this direction.
    pub echoed_at: u64,
    /// Packets that said that the sender has no room: a window of zero, not in a RST.
    pub zero_windows: u64,
    /// When the gap was seen.
    pub gap_at: u64,
    /// The numbers that were left out latest: from here …
    pub gap_from: u32,
    /// … to here; none where they are equal.
    pub gap_to: u32,
    /// The timestamp of the packet that is timed: the first one with data since the sender's clock passed a multiple
    /// of 1,024 (about a second).
    pub timed: u32,
    /// The first echo since the other side's clock passed such a multiple.
    pub echoed: u32,
    /// One more than the highest sequence number seen.
    pub next: u32,
    /// 1 once `next` is known.
    pub has_next: u8,
    /// Zero.
    pub padding: [u8; 3],
}

const _: () = assert!(size_of::<TcpProgress>() == 7 * 8 + 5 * 4 + 4);

/// Farther back than any window reaches (2^30, RFC 7323, 2.3).
const FAR: i32 = 1 << 30;

/// A packet that fills a gap sooner was overtaken on its way, nanoseconds. A sender needs three later packets, or a timer,
/// to take it for lost.
const OVERTAKEN_WITHIN: u64 = 3_000_000;

/// What a packet is to its direction.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers(pub u8);

impl Numbers {
    /// It holds none, or some that were not seen yet.
    pub const NEW: Self = Self(0);
    /// All that it holds was seen before.
    pub const AGAIN: Self = Self(1);
    /// It fills a gap a moment after another packet made it.
    pub const OVERTAKEN: Self = Self(2);
    /// It fills a gap later than that.
    pub const FILLED: Self = Self(3);
}

impl TcpProgress {
    /// Takes in a packet's numbers; `now` is asked where a gap is concerned alone. A probe of an idle connection or of
    /// a closed window holds nothing (Linux `tcp_xmit_probe_skb`), and is none.
    #[inline(always)]
    pub fn take(&mut self, segment: &Segment, tcp: TcpFlags, now: impl Fn() -> u64) -> Numbers {
        let numbers = segment.data + tcp.has(TcpFlags::SYN) as u32 + tcp.has(TcpFlags::FIN) as u32;
        let (from, to) = (segment.sequence, segment.sequence.wrapping_add(numbers));
        // One byte that was there before asks whether the other side still lives (RFC 9293, 3.8.4).
        if numbers == 0 || segment.data == 1 && numbers == 1 && to == self.next {
            return Numbers::NEW;
        }
        let ahead = to.wrapping_sub(self.next) as i32;
        // A connection that takes the place of an earlier one begins anew, and one that was elsewhere for long goes on.
        if self.has_next == 0 || tcp.has(TcpFlags::SYN) && ahead != 0 || ahead < -FAR {
            (self.next, self.has_next) = (to, 1);
            self.gap_to = self.gap_from;
            return Numbers::NEW;
        }
        if ahead > 0 {
            if from.wrapping_sub(self.next) as i32 > 0 {
                (self.gap_from, self.gap_to, self.gap_at) = (self.next, from, now());
            }
            self.next = to;
            return Numbers::NEW;
        }
        let gap = self.gap_to.wrapping_sub(self.gap_from);
        let (begin, end) = (from.wrapping_sub(self.gap_from), to.wrapping_sub(self.gap_from));
        if begin >= gap || end > gap {
            return Numbers::AGAIN;
        }
        let overtaken = now().wrapping_sub(self.gap_at) < OVERTAKEN_WITHIN;
        if begin == 0 {
            self.gap_from = to;
        } else if end == gap {
            self.gap_to = from;
        }
        if overtaken { Numbers::OVERTAKEN } else { Numbers::FILLED }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    const NONE: TcpFlags = TcpFlags(0);
    const NEW: Numbers = Numbers::NEW;
    const AGAIN: Numbers = Numbers::AGAIN;
    const OVERTAKEN: Numbers = Numbers::OVERTAKEN;
    const FILLED: Numbers = Numbers::FILLED;

    /// What packets of so many bytes from such a number are, each at its millisecond.
    fn taken(packets: &[(u32, u32, u64)]) -> std::vec::Vec<Numbers> {
        let mut progress = TcpProgress::default();
        let mut take = |(sequence, data, at): &(u32, u32, u64)| {
            let segment = Segment { sequence: *sequence, data: *data, ..Segment::default() };
            progress.take(&segment, NONE, || *at * 1_000_000)
        };
        packets.iter().map(&mut take).collect()
    }

    #[test]
    fn what_was_seen_before_is_sent_again() {
        assert_eq!(
            taken(&[(100, 50, 0), (150, 50, 1), (100, 50, 2), (120, 80, 3), (200, 10, 4)]),
            [NEW, NEW, AGAIN, AGAIN, NEW]
        );
        assert_eq!(taken(&[(100, 50, 0), (100, 80, 1)]), [NEW, NEW], "some of it is new");
    }

    #[test]
    fn numbers_wrap() {
        assert_eq!(taken(&[(u32::MAX - 9, 10, 0), (0, 10, 1), (u32::MAX - 9, 20, 2)]), [NEW, NEW, AGAIN]);
    }

    #[test]
    fn what_fills_a_gap_at_once_was_overtaken_and_what_fills_it_late_was_lost() {
        assert_eq!(taken(&[(100, 50, 0), (200, 50, 1), (150, 50, 3)]), [NEW, NEW, OVERTAKEN]);
        assert_eq!(taken(&[(100, 50, 0), (200, 50, 1), (150, 50, 4)]), [NEW, NEW, FILLED]);
    }

    #[test]
    fn a_gap_is_filled_once() {
        let packets = [(100, 50, 0), (300, 50, 1), (150, 50, 1), (200, 100, 1), (150, 50, 2), (250, 50, 2)];
        assert_eq!(taken(&packets), [NEW, NEW, OVERTAKEN, OVERTAKEN, AGAIN, AGAIN]);
        let from_its_end = [(100, 50, 0), (300, 50, 1), (250, 50, 1), (150, 100, 1), (250, 50, 2)];
        assert_eq!(taken(&from_its_end), [NEW, NEW, OVERTAKEN, OVERTAKEN, AGAIN]);
    }

    #[test]
    fn what_reaches_beyond_a_gap_was_seen_in_part_and_is_sent_again() {
        assert_eq!(
            taken(&[(100, 50, 0), (200, 50, 1), (140, 60, 1), (190, 20, 1)]),
            [NEW, NEW, AGAIN, AGAIN]
        );
    }

    #[test]
    fn probes_hold_nothing() {
        assert_eq!(taken(&[(100, 50, 0), (149, 0, 1), (149, 1, 2)]), [NEW, NEW, NEW]);
    }

    #[test]
    fn a_connection_in_anothers_place_begins_anew() {
        let mut progress = TcpProgress::default();
        let mut take = |sequence, data, tcp| {
            let segment = Segment { sequence, data, ..Segment::default() };
            progress.take(&segment, tcp, || 0)
        };
        assert_eq!(take(5_000, 0, TcpFlags::SYN), NEW);
        assert_eq!(take(5_000, 0, TcpFlags::SYN), AGAIN, "the same SYN");
        assert_eq!(take(5_001, 100, NONE), NEW);
        assert_eq!(take(200, 0, TcpFlags::SYN), NEW, "another one");
        assert_eq!(take(201, 10, NONE), NEW);
        assert_eq!(take(201_u32.wrapping_sub(1 << 30).wrapping_sub(20), 10, NONE), NEW, "far back");
    }
}
