//! How far a TCP connection has come, kept from tick to tick.

/// What is known of a connection besides its counters. Times in nanoseconds, directions as forward, reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// From the first SYN to the ACK that ends the handshake, as its initiator's first hop saw it.
    pub handshake: Option<u64>,
    /// From a packet to its echo, the latest.
    pub round_trip: Option<u64>,
    /// The same for each side alone, where the first hop lies between: forward is what lies beyond it.
    pub sides: [Option<u64>; 2],
    /// Segments each direction sent again; the metrics have them.
    pub retransmits: [u64; 2],
    /// The part of them that was sent again since something of the other direction arrived.
    pub unanswered: [u64; 2],
    /// The latest packet of each direction when the first of those were found.
    pub unanswered_since: [u64; 2],
    /// When something of each direction arrived last, at the first hop of the other one.
    pub arrived: [u64; 2],
    /// Times a receiver had no room, as told by each direction.
    pub zero_windows: [u64; 2],
    /// Whether its reset is in the metrics.
    pub reset_booked: bool,
    /// The packets that were timed last and before, of each direction: timestamp, time.
    pub timed: [[(u32, u64); 2]; 2],
    /// The echoes that were used last.
    pub matched: [u64; 2],
    /// The latest packet when it was found last that something was sent again.
    pub repeated_at: u64,
}
