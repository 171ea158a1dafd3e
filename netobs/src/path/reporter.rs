//! Where this host stands in a direction: near the sender, near the receiver, or between.

use netobs_common::endpoint::{EndpointId, Kind};

use crate::report::Reporter;

/// Whether an endpoint is on this host. Other nodes and what is on them are not.
#[must_use]
pub const fn is_local(endpoint: EndpointId, kind: Kind) -> bool {
    !matches!(kind, Kind::EXTERNAL)
        && !endpoint.is_elsewhere()
        && !matches!(endpoint, EndpointId::EXTERNAL | EndpointId::GROUP | EndpointId::UNKNOWN)
}

/// The reporter of one direction.
#[must_use]
pub const fn of(sender_is_local: bool, receiver_is_local: bool) -> Reporter {
    match (sender_is_local, receiver_is_local) {
        (true, _) => Reporter::Source,
        (false, true) => Reporter::Destination,
        (false, false) => Reporter::Transit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_local_endpoints_only_the_sender_reports() {
        assert_eq!(of(true, true), Reporter::Source);
        assert_eq!(of(true, false), Reporter::Source);
        assert_eq!(of(false, true), Reporter::Destination);
        assert_eq!(of(false, false), Reporter::Transit);
    }

    #[test]
    fn outside_and_nobody_are_not_local() {
        assert!(is_local(EndpointId::HOST, Kind::HOST));
        assert!(is_local(EndpointId(16), Kind::UNKNOWN), "behind an interface of this host, whoever it is");
        assert!(!is_local(EndpointId::EXTERNAL, Kind::EXTERNAL));
        assert!(!is_local(EndpointId::GROUP, Kind::UNKNOWN));
    }
}
