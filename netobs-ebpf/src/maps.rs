//! The tables. Names and sizes are `netobs_common::maps`'s; the reasons for each type stand here.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, ProgramArray},
};
use netobs_common::{
    counters::{Counters, FlowCounters, PathCounters},
    drop::{DropCounters, DropKey, DropRestKey, Dropped, Place},
    endpoint::Party,
    icmp_error::{IcmpError, IcmpErrorKey, IcmpErrorType},
    inner::InnerKey,
    interface::Interface,
    key::{AddressKey, Datagram, FlowKey, FragmentKey, PathKey, PrefixKey, SkipKey},
    maps::{
        ADDRESSES_CAPACITY, DROP_NAMESPACES_CAPACITY, DROP_PLACES_CAPACITY, DROP_REASONS_CAPACITY,
        DROP_REST_CAPACITY, DROPS_APART_CAPACITY, DROPS_CAPACITY, FLOWS_CAPACITY, FRAGMENTS_CAPACITY,
        ICMP_ERRORS_CAPACITY, INNER_CAPACITY, INTERFACES_CAPACITY, OWNERS_CAPACITY, PATHS_CAPACITY,
        PORTS_CAPACITY, PREFIXES_CAPACITY, SKIPS_CAPACITY, SPILL_CAPACITY,
    },
    owner::{BoundPort, SocketOwner},
};

use crate::{
    drop::DropScratch,
    interface::{KNOWN_CAPACITY, Known},
    scratch::Scratch,
};

/// A hash, not an array: interface indexes grow without bound on a node with churn.
#[map]
pub(crate) static INTERFACES: HashMap<u32, Interface> = HashMap::with_max_entries(INTERFACES_CAPACITY, 0);

/// Interfaces inside endpoints: see [`crate::inner`].
#[map]
pub(crate) static INNER: HashMap<InnerKey, Interface> = HashMap::with_max_entries(INNER_CAPACITY, 0);

/// One entry: how often the collector has changed [`INTERFACES`].
#[map]
pub(crate) static GENERATION: Array<u32> = Array::with_max_entries(1, 0);

/// Copies of [`INTERFACES`]: see [`crate::interface`].
#[map]
pub(crate) static KNOWN: PerCpuArray<Known> = PerCpuArray::with_max_entries(KNOWN_CAPACITY, 0);

#[map]
pub(crate) static ADDRESSES: HashMap<AddressKey, Party> = HashMap::with_max_entries(ADDRESSES_CAPACITY, 0);

#[map]
pub(crate) static PREFIXES: LpmTrie<PrefixKey, Party> = LpmTrie::with_max_entries(PREFIXES_CAPACITY, 0);

/// One table for all CPUs with atomic adds: its memory does not grow with the CPUs, and it is
/// preallocated, so that a full table is an error code and never an eviction (an LRU table would forget
/// in silence).
#[map]
pub(crate) static FLOWS: HashMap<FlowKey, FlowCounters> = HashMap::with_max_entries(FLOWS_CAPACITY, 0);

/// Per CPU: a few hot keys take every packet, and the CPUs would fight over them. A tc program is not
/// interrupted by another one on its CPU (bottom halves are off), so plain adds are exact.
#[map]
pub(crate) static PATHS: PerCpuHashMap<PathKey, PathCounters> =
    PerCpuHashMap::with_max_entries(PATHS_CAPACITY, 0);

/// One entry: see [`Scratch`].
#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Empty path counters, to begin an entry with: 48 bytes of zeros that need not stand on the stack.
#[map]
pub(crate) static NOTHING: PerCpuArray<PathCounters> = PerCpuArray::with_max_entries(1, 0);

#[map]
pub(crate) static SPILL: PerCpuArray<Counters> = PerCpuArray::with_max_entries(SPILL_CAPACITY, 0);

#[map]
pub(crate) static SKIPS: PerCpuHashMap<SkipKey, Counters> =
    PerCpuHashMap::with_max_entries(SKIPS_CAPACITY, 0);

/// A cache, so the least recently used may go: what it loses becomes a flow without ports.
#[map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, Datagram> =
    LruHashMap::with_max_entries(FRAGMENTS_CAPACITY, 0);

/// A cache as well: a forgotten owner is an owner not known.
#[map]
pub(crate) static OWNERS: LruHashMap<u64, SocketOwner> = LruHashMap::with_max_entries(OWNERS_CAPACITY, 0);

/// A cache as well, since nothing says when a port is given back: the next one to bind it overwrites.
#[map]
pub(crate) static PORTS: LruHashMap<BoundPort, SocketOwner> = LruHashMap::with_max_entries(PORTS_CAPACITY, 0);

/// As [`FLOWS`]: one table for all CPUs with atomic adds.
#[map]
pub(crate) static DROPS: HashMap<DropKey, DropCounters> = HashMap::with_max_entries(DROPS_CAPACITY, 0);

/// Per CPU: what has no detail is what comes in masses. The kernel does not run a program that is running on this CPU
/// already, so plain adds are exact.
#[map]
pub(crate) static DROP_REST: PerCpuHashMap<DropRestKey, Dropped> =
    PerCpuHashMap::with_max_entries(DROP_REST_CAPACITY, 0);

#[map]
pub(crate) static DROP_NAMESPACES: HashMap<u32, u8> = HashMap::with_max_entries(DROP_NAMESPACES_CAPACITY, 0);

#[map]
pub(crate) static DROP_REASONS: Array<u32> = Array::with_max_entries(DROP_REASONS_CAPACITY, 0);

#[map]
pub(crate) static DROP_PLACES: Array<Place> = Array::with_max_entries(DROP_PLACES_CAPACITY, 0);

#[map]
pub(crate) static DROPS_APART: PerCpuArray<Dropped> = PerCpuArray::with_max_entries(DROPS_APART_CAPACITY, 0);

/// One entry: see [`DropScratch`].
#[map]
pub(crate) static DROP_SCRATCH: PerCpuArray<DropScratch> = PerCpuArray::with_max_entries(1, 0);

/// As [`FLOWS`]: a full one is an error code.
#[map]
pub(crate) static ICMP_ERRORS: HashMap<IcmpErrorKey, IcmpError> =
    HashMap::with_max_entries(ICMP_ERRORS_CAPACITY, 0);

#[map]
pub(crate) static ICMP_ERRORS_UNLISTED: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(IcmpErrorType::COUNT, 0);

/// One entry: `netobs_icmp_error`.
#[map]
pub(crate) static ICMP_ERROR_PROGRAM: ProgramArray = ProgramArray::with_max_entries(1, 0);
