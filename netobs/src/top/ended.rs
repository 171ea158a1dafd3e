//! A flow and the time → whether it is over. Pure.

use jiff::Timestamp;

use crate::{
    report::{FlowRow, ProtocolName, TcpState},
    table::flows::since,
};

/// Seconds without a packet after which a TCP flow is over (docs: word "flow").
const TCP_IDLE: u64 = 300;

/// The same for all other protocols.
const IDLE: u64 = 30;

/// Whether a flow is over and listed only because it ended less than 30 s ago.
#[must_use]
pub fn has_ended(flow: &FlowRow, now: Timestamp) -> bool {
    let state = flow.tcp.as_ref().map(|tcp| tcp.state);
    let idle = if flow.protocol == ProtocolName::Tcp { TCP_IDLE } else { IDLE };
    matches!(state, Some(TcpState::Closed | TcpState::Reset)) || since(flow.last_seen, now).as_secs() >= idle
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::top::made_up;

    #[test]
    fn a_reset_ends_a_flow_at_once() {
        let mut flow = made_up::tcp("1", "container/web", "container/db", 5432);
        assert!(!has_ended(&flow, made_up::now()));
        if let Some(tcp) = &mut flow.tcp {
            tcp.state = TcpState::Reset;
        }
        assert!(has_ended(&flow, made_up::now()));
    }

    #[test]
    fn silence_ends_udp_sooner_than_tcp() {
        let tcp = made_up::tcp("1", "container/web", "container/db", 5432);
        let udp = FlowRow { protocol: ProtocolName::Udp, tcp: None, ..tcp.clone() };
        let later = tcp.last_seen + SignedDuration::from_secs(40);
        assert!(has_ended(&udp, later));
        assert!(!has_ended(&tcp, later));
        assert!(has_ended(&tcp, later + SignedDuration::from_secs(260)));
    }
}
