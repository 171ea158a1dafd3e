//! Bookings of drops → rows, one for all packets that differ in nothing that is shown. Bounded.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use netobs_common::{
    drop::{DropKey, Dropped},
    endpoint::EndpointId,
    wire::Protocol,
};

use crate::{
    collector::{Clock, Names},
    evidence::reasons::{Class, Reason},
    flow::{
        conversation::Place,
        interfaces::Interfaces,
        table::Directory as _,
        tuple::{Peer, Tuple},
    },
    report::{DropClass, DropHop, DropRow, Party, ProtocolName},
};

/// How long a row is listed after the last packet.
pub(super) const LISTED_FOR: u64 = 600_000_000_000;
/// Rows at most. Beyond, rows are told apart by endpoints and no longer by addresses.
const ROWS: usize = 2_048;
/// From here up the kernel chooses ports for those that ask (`net.ipv4.ip_local_port_range`): they tell nothing, and
/// would make a row of every attempt.
const CHOSEN_PORTS: u16 = 32_768;

/// What makes a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    ends: [EndpointId; 2],
    peers: [Peer; 2],
    protocol: u8,
    reason: Arc<str>,
    location: u64,
    last_hop: Option<Place>,
    expected: Option<Place>,
}

impl Key {
    pub(super) fn of(
        key: &DropKey,
        tuple: &Tuple,
        ends: [EndpointId; 2],
        last_hop: Option<Place>,
        expected: Option<Place>,
        reason: &Reason,
    ) -> Self {
        let protocol = tuple.protocol();
        let ported = matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP);
        let peer = |peer: Peer| {
            let told = ported && peer.port < CHOSEN_PORTS;
            Peer { port: if told { peer.port } else { 0 }, ..peer }
        };
        Self {
            ends,
            peers: [peer(tuple.source), peer(tuple.destination)],
            protocol: protocol.0,
            reason: Arc::clone(&reason.name),
            location: key.location,
            last_hop,
            expected,
        }
    }

    pub(super) fn without_detail(last_hop: Option<Place>, reason: &Reason) -> Self {
        Self {
            ends: [EndpointId::UNKNOWN; 2],
            peers: [NOBODY; 2],
            protocol: Protocol::OTHER.0,
            reason: Arc::clone(&reason.name),
            location: 0,
            last_hop,
            expected: None,
        }
    }
}

const NOBODY: Peer = Peer { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 };

#[derive(Clone, Debug)]
struct Row {
    count: Dropped,
    first_seen: u64,
    last_seen: u64,
    attempted: Option<u64>,
    stack: Option<EndpointId>,
}

/// All rows.
#[derive(Debug, Default)]
pub struct Rows {
    rows: BTreeMap<Key, Row>,
    /// Functions of the kernel by the addresses in them; `None` where the kernel does not tell.
    pub symbols: BTreeMap<u64, Option<Arc<str>>>,
}

impl Rows {
    pub(super) fn add(
        &mut self,
        mut key: Key,
        more: Dropped,
        (first_seen, last_seen): (u64, u64),
        is_attempt: bool,
        stack: Option<EndpointId>,
    ) {
        if self.rows.len() >= ROWS && !self.rows.contains_key(&key) {
            key.peers = [NOBODY; 2];
        }
        if key.location != 0 {
            self.symbols.entry(key.location).or_default();
        }
        let row = self.rows.entry(key).or_insert(Row {
            count: Dropped::ZERO,
            first_seen,
            last_seen,
            attempted: None,
            stack,
        });
        if is_attempt {
            row.attempted = row.attempted.max(Some(last_seen));
        }
        row.count.add(more);
        row.first_seen = row.first_seen.min(first_seen);
        row.last_seen = row.last_seen.max(last_seen);
    }

    pub(super) fn forget(&mut self, now: u64) {
        self.rows.retain(|_, row| now.saturating_sub(row.last_seen) < LISTED_FOR);
    }

    /// As they are published, the most packets first.
    #[must_use]
    pub fn written(
        &self,
        interfaces: &Interfaces,
        names: &Names<'_>,
        clock: Clock,
        class: impl Fn(&str) -> Class,
    ) -> Vec<DropRow> {
        let hop = |place: Option<Place>| {
            let place = place?;
            let interface = interfaces.get(place.interface)?;
            Some(DropHop {
                interface: Arc::clone(&interface.name),
                hook: place.hook.into(),
                role: interface.role().into(),
            })
        };
        let shown = self.rows.iter().filter(|(key, _)| !key.ends.iter().any(|end| names.is_hidden(*end)));
        let mut rows: Vec<DropRow> = shown
            .map(|(key, row)| {
                let [source, destination] = [0, 1].map(|side| party(key, side, names));
                DropRow {
                    source,
                    destination,
                    protocol: ProtocolName::from(Protocol(key.protocol)),
                    reason: Arc::clone(&key.reason),
                    class: match class(&key.reason) {
                        Class::Answered => DropClass::Answered,
                        Class::Unreachable => DropClass::Unreachable,
                        Class::Dropped | Class::Benign => DropClass::Dropped,
                    },
                    location: self.symbols.get(&key.location).cloned().flatten(),
                    inside: row.stack.map(|stack| names.id(stack)),
                    last_hop: hop(key.last_hop),
                    expected_next_hop: hop(key.expected),
                    attempted: row.attempted.map(|at| clock.wall_time(at)),
                    packets: row.count.packets,
                    bytes: row.count.bytes,
                    first_seen: clock.wall_time(row.first_seen),
                    last_seen: clock.wall_time(row.last_seen),
                }
            })
            .collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.packets), std::cmp::Reverse(row.last_seen)));
        rows
    }
}

fn party(key: &Key, side: usize, names: &Names<'_>) -> Party {
    let peer = key.peers[side];
    Party {
        endpoint: names.id(key.ends[side]),
        kind: names.kind(key.ends[side]).into(),
        address: peer.address,
        port: peer.port,
        process: None,
    }
}
