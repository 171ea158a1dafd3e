//! Packets without flow detail → booked by kinds and protocol, each once.

use std::collections::HashMap;

use netobs_common::{
    counters::{Counters, PathCounters},
    endpoint::{EndpointId, Kind},
    hook::Hook,
    interface::{Interface, Role},
    key::{Origin, PathKey},
};

use super::{
    class, entry, reporter,
    translated::{Ends, Held, Listed, Translated},
};
use crate::{
    flow::{interfaces::Interfaces, table::Directory},
    report::{Direction, Nat, PathLabels},
};

/// What of the packets without flow detail is booked already, and what waits.
#[derive(Debug, Default)]
pub struct Overflow {
    before: HashMap<PathKey, PathCounters>,
    translated: Translated,
}

impl Overflow {
    /// Takes in a reading of the path counters; whether packets lacked flow detail since the last one.
    /// `book` is given what counts and is beyond doubt; the rest waits for [`Overflow::settle`].
    pub fn read<D: Directory>(
        &mut self,
        paths: &[(PathKey, PathCounters)],
        interfaces: &Interfaces,
        directory: &D,
        mut book: impl FnMut(PathLabels, [EndpointId; 2], Counters),
    ) -> bool {
        let mut overflowing = false;
        for (key, counters) in paths {
            let before = self.before.entry(*key).or_default();
            let (all, unlisted) = (counters.all.since(before.all), counters.unlisted.since(before.unlisted));
            if all.is_zero() && unlisted.is_zero() {
                continue;
            }
            *before = *counters;
            overflowing |= !unlisted.is_zero();
            let Some(interface) = interfaces.get(key.interface) else { continue };
            let parties = [directory.current(key.source), directory.current(key.destination)];
            let ends = Ends { sender: parties[0], receiver: parties[1], protocol: key.protocol };
            let encapsulated = key.encapsulated != 0;
            let receiver = key.destination;
            let counted =
                entry::is_entry(&interface.kernel, key.hook, key.origin, encapsulated, receiver, directory);
            if counted && key.hook == Hook::INGRESS && parties[1] != EndpointId::HOST {
                self.translated.entered(ends, all);
            } else if leaves(&interface.kernel, key, directory) {
                self.translated.left(ends, all);
            }
            if !counted || unlisted.is_zero() {
                continue;
            }
            if key.hook == Hook::INGRESS && parties[1] == EndpointId::HOST {
                self.translated.hold(ends, *key, unlisted);
            } else {
                book(labels(key, interface.role(), parties, interfaces, directory), parties, unlisted);
            }
        }
        overflowing
    }

    /// Books what was addressed to this host, as the host's or as that of whom it was passed on to, as far
    /// as it can be told by now. `listed` is what flows say of their own translated packets.
    pub fn settle<D: Directory>(
        &mut self,
        listed: &Listed,
        interfaces: &Interfaces,
        directory: &D,
        mut book: impl FnMut(PathLabels, [EndpointId; 2], Counters),
    ) {
        for (held, receiver, counters) in self.translated.settle(listed) {
            let Held { key, .. } = held;
            let parties = [directory.current(key.source), receiver];
            let key = PathKey { destination: receiver, destination_kind: directory.kind(receiver), ..key };
            let role = interfaces.get(key.interface).map_or(Role::OTHER, |one| one.role());
            book(labels(&key, role, parties, interfaces, directory), parties, counters);
        }
    }

    /// A path counter is no longer in the kernel's table.
    pub fn forget(&mut self, key: &PathKey) {
        self.before.remove(key);
    }

    /// Bytes that wait.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        self.translated.held_bytes()
    }
}

/// Whether this is the last place at which a packet passed on is seen.
fn leaves(interface: &Interface, key: &PathKey, directory: &impl Directory) -> bool {
    let to_somebody = !matches!(key.destination, EndpointId::HOST | EndpointId::GROUP);
    let passed_on = key.hook == Hook::EGRESS && key.origin == Origin::FORWARDED;
    let receivers = match interface.owner() {
        Some(owner) => directory.current(owner.id) == directory.current(key.destination),
        None => !matches!(interface.role, Role::BRIDGE | Role::LOOPBACK),
    };
    passed_on && to_somebody && receivers && key.source != EndpointId::HOST
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
        encapsulated: key.encapsulated != 0,
        on_parent: directory.is_on_parent(source, None) || directory.is_on_parent(destination, None),
        bridged_uplink: interfaces
            .get(key.interface)
            .is_some_and(|one| class::is_bridged_uplink(&one.kernel)),
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
