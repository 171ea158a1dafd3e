//! What neither flow table nor path counters could take → labels, as far as kinds and protocol say them.

use netobs_common::{
    endpoint::{EndpointId, Kind},
    maps::{SPILL_CAPACITY, spill_index},
    wire::Protocol,
};

use super::reporter;
use crate::report::{Direction, Nat, Path, PathLabels};

/// The labels of an index of the spill; `None` where the sighting is not the one that counts.
#[must_use]
pub fn labels(index: u32) -> Option<(PathLabels, [EndpointId; 2])> {
    let (source, destination, protocol) = (0..Kind::COUNT)
        .flat_map(|source| (0..Kind::COUNT).map(move |destination| (source, destination)))
        .flat_map(|(source, destination)| (0..Protocol::COUNT).map(move |one| (source, destination, one)))
        .map(|(source, destination, one)| (Kind(source as u8), Kind(destination as u8), Protocol(one as u8)))
        .find(|(source, destination, one)| spill_index(true, *source, *destination, *one) == index)?;
    debug_assert!(index < SPILL_CAPACITY);
    let endpoint = |kind| match kind {
        Kind::HOST => EndpointId::HOST,
        Kind::EXTERNAL => EndpointId::EXTERNAL,
        _ => EndpointId::UNKNOWN,
    };
    let local = |kind: Kind| !matches!(kind, Kind::EXTERNAL | Kind::UNKNOWN);
    let labels = PathLabels {
        source_kind: source.into(),
        destination_kind: destination.into(),
        path: Path::Unknown,
        nat: Nat::Unknown,
        protocol: protocol.into(),
        direction: Direction::Unknown,
        reporter: reporter::of(local(source), local(destination)),
    };
    Some((labels, [endpoint(source), endpoint(destination)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{KindName, ProtocolName};

    #[test]
    fn an_index_reads_back() {
        let index = spill_index(true, Kind::CONTAINER, Kind::HOST, Protocol::UDP);
        let (labels, _) = labels(index).unwrap();
        assert_eq!(
            (labels.source_kind, labels.destination_kind, labels.protocol),
            (KindName::Container, KindName::Host, ProtocolName::Udp)
        );
    }

    #[test]
    fn sightings_that_do_not_count_are_not_booked() {
        assert_eq!(labels(spill_index(false, Kind::CONTAINER, Kind::HOST, Protocol::UDP)), None);
        assert_eq!(labels(SPILL_CAPACITY), None);
    }
}
