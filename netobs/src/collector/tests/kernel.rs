//! Packets at hooks → the readings the kernel side would give, tables that fill up included.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use netobs_common::{
    counters::{Counters, FlowCounters, PathCounters},
    endpoint::Party,
    hook::Hook,
    interface::{Interface, Role},
    key::{Address, FlowKey, Origin, PathKey},
    parse::mapped,
    wire::TcpFlags,
};

use crate::flow::tuple::Tuple;

/// A packet as one hook sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) tuple: Tuple,
    pub(super) flags: TcpFlags,
    pub(super) length: u32,
    /// To a multicast or broadcast hardware address.
    pub(super) group: bool,
    /// Asks for a neighbour.
    pub(super) asks: bool,
    pub(super) mac: [u8; 6],
}

/// The kernel's tables.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    /// By interface number.
    pub(super) interfaces: HashMap<u32, Interface>,
    pub(super) addresses: HashMap<(u32, IpAddr), Party>,
    /// Networks on the host's own side.
    pub(super) prefixes: Vec<IpNet>,
    pub(super) flows: BTreeMap<FlowKey, FlowCounters>,
    pub(super) paths: BTreeMap<PathKey, PathCounters>,
    /// Entries the flow table takes; `None` for no limit.
    pub(super) capacity: Option<usize>,
}

impl Kernel {
    /// A packet at a hook. `from` is the `ingress_ifindex`.
    pub(super) fn see(&mut self, number: u32, hook: Hook, from: u32, frame: &Frame, now: u64) {
        let interface = self.interfaces[&number];
        let one = Counters::one(1, frame.length);
        let key = flow_key(number, hook, &frame.tuple);
        let fresh = self.classify(&interface, hook, frame);
        let full = self.capacity.is_some_and(|capacity| self.flows.len() >= capacity);
        let entry = if full {
            self.flows.get_mut(&key)
        } else {
            let new = FlowCounters {
                first_seen: now,
                source: fresh.0,
                destination: fresh.1,
                ingress_ifindex: from,
                source_mac: frame.mac,
                ..FlowCounters::default()
            };
            Some(self.flows.entry(key).or_insert(new))
        };
        let listed = entry.is_some();
        let parties = match entry {
            Some(entry) => {
                entry.counters.add(one);
                entry.last_seen = now;
                note(entry, frame.flags, now);
                entry.asks = entry.asks.wrapping_add(frame.asks.into());
                (entry.source, entry.destination)
            }
            None => fresh,
        };
        let forwarded = hook == Hook::EGRESS && from != 0;
        let protocol = frame.tuple.protocol();
        let key = PathKey {
            interface: number,
            source: parties.0.id,
            destination: parties.1.id,
            source_kind: parties.0.kind,
            destination_kind: parties.1.kind,
            protocol,
            hook,
            origin: if forwarded { Origin::FORWARDED } else { Origin::LOCAL },
            encapsulated: 0,
            padding: [0; 2],
        };
        let path = self.paths.entry(key).or_default();
        path.all.add(one);
        if !listed {
            path.unlisted.add(one);
        }
    }

    /// As `netobs-ebpf/src/classify.rs`.
    pub(super) fn classify(&self, interface: &Interface, hook: Hook, frame: &Frame) -> (Party, Party) {
        if interface.role == Role::LOOPBACK {
            return (Party::HOST, Party::HOST);
        }
        let owner = interface.owner();
        let lookup = |address| self.lookup(interface.segment, address);
        let source = match owner {
            Some(owner) if hook == Hook::INGRESS => owner,
            _ => lookup(frame.tuple.source.address).unwrap_or(Party::EXTERNAL),
        };
        if frame.group || is_multicast(frame.tuple.destination.address) {
            return (source, Party::GROUP);
        }
        let destination = match (lookup(frame.tuple.destination.address), owner) {
            (Some(known), _) => known,
            (None, Some(owner)) if hook == Hook::EGRESS => owner,
            (None, _) => Party::EXTERNAL,
        };
        (source, destination)
    }

    fn lookup(&self, segment: u32, address: IpAddr) -> Option<Party> {
        let known = self.addresses.get(&(segment, address)).or_else(|| self.addresses.get(&(0, address)));
        let inner = || self.prefixes.iter().any(|prefix| prefix.contains(&address)).then_some(Party::UNKNOWN);
        known.copied().or_else(inner)
    }
}

fn is_multicast(address: IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(four) if four.is_broadcast())
}

fn note(entry: &mut FlowCounters, flags: TcpFlags, now: u64) {
    match (flags.has(TcpFlags::SYN), flags.has(TcpFlags::ACK)) {
        (true, true) => entry.syn_ack = 1,
        (true, false) => entry.syn += 1,
        (false, true) if entry.tcp.acknowledged_at == 0 && !flags.has(TcpFlags::RST) => {
            entry.tcp.acknowledged_at = now;
        }
        _ => {}
    }
    entry.fin |= u8::from(flags.has(TcpFlags::FIN));
    entry.rst |= u8::from(flags.has(TcpFlags::RST));
}

pub(super) fn flow_key(interface: u32, hook: Hook, tuple: &Tuple) -> FlowKey {
    FlowKey {
        source: stored(tuple.source.address),
        destination: stored(tuple.destination.address),
        interface,
        source_port: tuple.source.port,
        destination_port: tuple.destination.port,
        network: tuple.network,
        proto: tuple.proto,
        hook,
        ..FlowKey::default()
    }
}

fn stored(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => mapped(address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}
