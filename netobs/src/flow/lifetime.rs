//! When a flow is over. Durations in nanoseconds of the monotonic clock.

use netobs_common::wire::Protocol;

use crate::report::Close;

const SECOND: u64 = 1_000_000_000;
/// TCP without a packet.
pub const TCP_IDLE: u64 = 300 * SECOND;
/// Anything else without a packet.
pub const IDLE: u64 = 30 * SECOND;
/// After both sides finished: what is still on its way.
pub const LINGER: u64 = 2 * SECOND;
/// How long a flow that is over is listed.
pub const LISTED: u64 = 30 * SECOND;

/// What is known of a flow's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The initiator's FIN was seen.
    pub forward_fin: bool,
    /// The other side's FIN was seen.
    pub reply_fin: bool,
    /// A RST was seen.
    pub rst: bool,
    /// Latest packet.
    pub last_seen: u64,
}

/// Whether a flow has been silent for so long that it is over.
#[must_use]
pub fn is_idle(protocol: Protocol, last_seen: u64, now: u64) -> bool {
    let patience = if protocol == Protocol::TCP { TCP_IDLE } else { IDLE };
    now.saturating_sub(last_seen) >= patience
}

/// Whether the flow is over, and why.
#[must_use]
pub fn ended(protocol: Protocol, signs: &Signs, now: u64) -> Option<Close> {
    let quiet = now.saturating_sub(signs.last_seen);
    if protocol == Protocol::TCP {
        if signs.rst {
            return Some(Close::Rst);
        }
        if signs.forward_fin && signs.reply_fin && quiet >= LINGER {
            return Some(Close::Fin);
        }
    }
    is_idle(protocol, signs.last_seen, now).then_some(Close::Idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000 * SECOND;

    fn quiet_for(seconds: u64) -> Signs {
        Signs { last_seen: NOW - seconds * SECOND, ..Signs::default() }
    }

    #[test]
    fn tcp_ends_on_rst_at_once() {
        assert_eq!(ended(Protocol::TCP, &Signs { rst: true, ..quiet_for(0) }, NOW), Some(Close::Rst));
    }

    #[test]
    fn tcp_ends_two_seconds_after_both_fins() {
        let one = Signs { forward_fin: true, ..quiet_for(5) };
        assert_eq!(ended(Protocol::TCP, &one, NOW), None, "half closed is open");
        let both = |seconds| Signs { forward_fin: true, reply_fin: true, ..quiet_for(seconds) };
        assert_eq!(ended(Protocol::TCP, &both(1), NOW), None);
        assert_eq!(ended(Protocol::TCP, &both(2), NOW), Some(Close::Fin));
    }

    #[test]
    fn silence_ends_tcp_later_than_the_rest() {
        assert_eq!(ended(Protocol::TCP, &quiet_for(299), NOW), None);
        assert_eq!(ended(Protocol::TCP, &quiet_for(300), NOW), Some(Close::Idle));
        assert_eq!(ended(Protocol::UDP, &quiet_for(29), NOW), None);
        assert_eq!(ended(Protocol::UDP, &quiet_for(30), NOW), Some(Close::Idle));
    }

    #[test]
    fn a_clock_that_lags_ends_nothing() {
        assert_eq!(ended(Protocol::UDP, &Signs { last_seen: NOW + SECOND, ..Signs::default() }, NOW), None);
    }
}
