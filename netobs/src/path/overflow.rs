//! Packets without flow detail → booked by kinds and protocol, each once.

use std::collections::HashMap;

use netobs_common::{
    counters::{Counters, PathCounters},
    counting::counts,
    endpoint::{EndpointId, Kind, Party},
    interface::Role,
    key::PathKey,
};

use super::{class, reporter};
use crate::{
    flow::{interfaces::Interfaces, table::Directory},
    report::{Direction, Nat, PathLabels},
};

/// What of the packets without flow detail is booked already.
#[derive(Debug, Default)]
pub struct Overflow {
    unlisted: HashMap<PathKey, Counters>,
}

impl Overflow {
    /// Takes in a reading of the path counters; whether packets lacked flow detail since the last one.
    /// `book` is given what counts.
    pub fn read<D: Directory>(
        &mut self,
        paths: &[(PathKey, PathCounters)],
        interfaces: &Interfaces,
        directory: &D,
        mut book: impl FnMut(PathLabels, [EndpointId; 2], Counters),
    ) -> bool {
        let mut overflowing = false;
        for (key, counters) in paths {
            if counters.unlisted.is_zero() {
                continue;
            }
            let before = self.unlisted.entry(*key).or_default();
            let more = counters.unlisted.since(*before);
            if more.is_zero() {
                continue;
            }
            overflowing = true;
            *before = counters.unlisted;
            let Some(interface) = interfaces.get(key.interface) else { continue };
            let own = |endpoint, kind| {
                let owned = interfaces.iter().any(|(_, one)| one.owner() == Some(endpoint));
                Party::new(endpoint, kind, owned)
            };
            let source = own(key.source, key.source_kind);
            let destination = own(key.destination, key.destination_kind);
            if counts(&interface.kernel, key.hook, key.origin, source, destination, key.client) {
                let parties = [directory.current(key.source), directory.current(key.destination)];
                book(labels(key, interface.role(), parties, interfaces, directory), parties, more);
            }
        }
        overflowing
    }
}

/// The labels of packets of which only the path is known. The sender is taken for the source.
fn labels<D: Directory>(
    key: &PathKey,
    role: Role,
    [source, destination]: [EndpointId; 2],
    interfaces: &Interfaces,
    directory: &D,
) -> PathLabels {
    let kind = |endpoint, seen: Kind| match directory.kind(endpoint) {
        Kind::UNKNOWN => seen,
        known => known,
    };
    let (source_kind, destination_kind) =
        (kind(source, key.source_kind), kind(destination, key.destination_kind));
    let bridge = |endpoint| {
        interfaces
            .iter()
            .find(|(_, one)| one.alive && one.owner() == Some(endpoint))
            .and_then(|(_, one)| (one.kernel.port != 0).then_some(one.kernel.segment))
    };
    let same_bridge = match (bridge(key.source), bridge(key.destination)) {
        (Some(one), Some(other)) => one == other,
        (Some(_), None) => destination == EndpointId::GROUP,
        _ => false,
    };
    let path = class::classify(&class::Way {
        source: (source, source_kind),
        destination: (destination, destination_kind),
        roles: 1 << role.0,
        same_bridge,
        nat: Nat::Unknown,
    });
    PathLabels {
        source_kind: source_kind.into(),
        destination_kind: destination_kind.into(),
        path,
        nat: Nat::Unknown,
        protocol: key.protocol.into(),
        direction: Direction::Unknown,
        reporter: reporter::of(
            reporter::is_local(source, source_kind),
            reporter::is_local(destination, destination_kind),
        ),
    }
}
