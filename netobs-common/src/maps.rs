//! Names and default sizes of the kernel's tables. The collector may resize them when it loads.

/// Hash: interface index → [`crate::interface::Interface`].
pub const INTERFACES: &str = "INTERFACES";
/// Hash: [`crate::inner::InnerKey`] → [`crate::interface::Interface`].
pub const INNER: &str = "INNER";
/// Array of one `u32`: another number after each change of [`INTERFACES`], so that copies of them are renewed.
pub const GENERATION: &str = "GENERATION";
/// Hash: [`crate::key::AddressKey`] → [`crate::endpoint::Party`].
pub const ADDRESSES: &str = "ADDRESSES";
/// Longest prefix match: [`crate::key::PrefixKey`] → [`crate::endpoint::Party`].
pub const PREFIXES: &str = "PREFIXES";
/// Hash: [`crate::key::FlowKey`] → [`crate::counters::FlowCounters`].
pub const FLOWS: &str = "FLOWS";
/// Per-CPU hash: [`crate::key::PathKey`] → [`crate::counters::PathCounters`].
pub const PATHS: &str = "PATHS";
/// Per-CPU array by [`spill_index`] → [`crate::counters::Counters`].
pub const SPILL: &str = "SPILL";
/// Per-CPU hash: [`crate::key::SkipKey`] → [`crate::counters::Counters`].
pub const SKIPS: &str = "SKIPS";
/// Least recently used hash: [`crate::key::FragmentKey`] → [`crate::key::Datagram`]. A cache: what it loses
/// becomes a flow without ports, not a lost packet.
pub const FRAGMENTS: &str = "FRAGMENTS";
/// Least recently used hash: socket cookie → [`crate::owner::SocketOwner`].
pub const OWNERS: &str = "OWNERS";
/// Least recently used hash: [`crate::owner::BoundPort`] → [`crate::owner::SocketOwner`].
pub const PORTS: &str = "PORTS";
/// Hash: [`crate::drop::DropKey`] → [`crate::drop::DropCounters`].
pub const DROPS: &str = "DROPS";
/// Per-CPU hash: [`crate::drop::DropRestKey`] → [`crate::drop::Dropped`].
pub const DROP_REST: &str = "DROP_REST";
/// Hash: inode of a network namespace whose drops are counted → 1.
pub const DROP_NAMESPACES: &str = "DROP_NAMESPACES";
/// Array by the number of a reason → [`NO_DROP`] if it is none ([`DROPS_APART`] counts it), [`NO_DROP_IN_PLACES`] if it
/// is none in the functions of [`DROP_PLACES`].
pub const DROP_REASONS: &str = "DROP_REASONS";
/// Array: [`crate::drop::Place`], functions of the kernel.
pub const DROP_PLACES: &str = "DROP_PLACES";
/// Per-CPU array by the number of a reason → [`crate::drop::Dropped`] that are no drops; then [`APART_NOT_IP`] and
/// [`APART_UNCOUNTED`].
pub const DROPS_APART: &str = "DROPS_APART";
/// Hash: [`crate::icmp_error::IcmpErrorKey`] → [`crate::icmp_error::IcmpError`].
pub const ICMP_ERRORS: &str = "ICMP_ERRORS";
/// Per-CPU array by [`crate::icmp_error::IcmpErrorType`] → errors that [`ICMP_ERRORS`] does not have, each counted
/// where it enters this host or is made.
pub const ICMP_ERRORS_UNLISTED: &str = "ICMP_ERRORS_UNLISTED";
/// Program array of one: what the classifiers leave ICMP errors to.
pub const ICMP_ERROR_PROGRAM: &str = "ICMP_ERROR_PROGRAM";

/// Interfaces that can be observed at once.
pub const INTERFACES_CAPACITY: u32 = 4_096;
/// Interfaces inside endpoints that can be observed at once.
pub const INNER_CAPACITY: u32 = 4_096;
/// Addresses that can be told apart at once.
pub const ADDRESSES_CAPACITY: u32 = 16_384;
/// Prefixes that can be told apart at once.
pub const PREFIXES_CAPACITY: u32 = 1_024;
/// Flow sightings held in detail at once (`--max-flows`).
pub const FLOWS_CAPACITY: u32 = 65_536;
/// Paths counted exactly at once: interface × hook × endpoint pair × protocol.
pub const PATHS_CAPACITY: u32 = 8_192;
/// Kinds of skipped packets: interface × hook × reason.
pub const SKIPS_CAPACITY: u32 = 4_096;
/// Fragmented datagrams under way at once.
pub const FRAGMENTS_CAPACITY: u32 = 4_096;
/// Sockets whose owner is remembered.
pub const OWNERS_CAPACITY: u32 = 16_384;
/// Bound ports whose owner is remembered.
pub const PORTS_CAPACITY: u32 = 4_096;
/// Dropped packets told apart at once.
pub const DROPS_CAPACITY: u32 = 16_384;
/// Kinds of dropped packets without detail: namespace × interfaces × reason.
pub const DROP_REST_CAPACITY: u32 = 1_024;
/// Network namespaces whose drops are counted.
pub const DROP_NAMESPACES_CAPACITY: u32 = 4_096;
/// Reasons whose number is below are looked up; Linux 6.18 has 128. What a module adds of its own
/// (`SKB_DROP_REASON_SUBSYS_SHIFT`) has numbers from 65,536 up.
pub const DROP_REASONS_CAPACITY: u32 = 512;
/// In [`DROP_REASONS`]: what is freed for it is no drop.
pub const NO_DROP: u32 = 1;
/// In [`DROP_REASONS`]: it is none in certain functions.
pub const NO_DROP_IN_PLACES: u32 = 2;
/// Size of the [`DROP_PLACES`] array.
pub const DROP_PLACES_CAPACITY: u32 = 8;
/// Where [`DROPS_APART`] counts frames that are neither IPv4 nor IPv6.
pub const APART_NOT_IP: u32 = DROP_REASONS_CAPACITY;
/// Where [`DROPS_APART`] counts packets that not even [`DROP_REST`] had room for.
pub const APART_UNCOUNTED: u32 = DROP_REASONS_CAPACITY + 1;
/// Size of the [`DROPS_APART`] array.
pub const DROPS_APART_CAPACITY: u32 = DROP_REASONS_CAPACITY + 2;
/// ICMP errors held in detail at once.
pub const ICMP_ERRORS_CAPACITY: u32 = 4_096;
/// Size of the [`SPILL`] array.
pub const SPILL_CAPACITY: u32 =
    2 * crate::endpoint::Kind::COUNT * crate::endpoint::Kind::COUNT * crate::wire::Protocol::COUNT;

/// Where [`SPILL`] counts a packet that neither the flow table nor the path counters could take:
/// by whether the packet enters the host here, both kinds and the protocol.
#[must_use]
#[inline(always)]
pub const fn spill_index(
    counts: bool,
    source: crate::endpoint::Kind,
    destination: crate::endpoint::Kind,
    protocol: crate::wire::Protocol,
) -> u32 {
    let kinds = crate::endpoint::Kind::COUNT;
    let pair = (source.0 as u32 % kinds) * kinds + destination.0 as u32 % kinds;
    let protocols = crate::wire::Protocol::COUNT;
    ((counts as u32 * kinds * kinds) + pair) * protocols + protocol.0 as u32 % protocols
}
