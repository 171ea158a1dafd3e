//! Room for what does not fit a 512-byte stack.

use netobs_common::{
    counters::FlowCounters,
    icmp_error::{IcmpError, IcmpErrorKey},
    key::{Datagram, FlowKey, FragmentKey, PathKey},
    parse::Headers,
    tunnel::Outer,
};

use crate::{classify::Keys, clock::Tick, skb::Copied};

/// One per CPU: a tc program is not interrupted by another one on its CPU, so each has it for itself.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) headers: Headers,
    pub(crate) inner: Headers,
    pub(crate) outer: Outer,
    pub(crate) datagram: Datagram,
    pub(crate) flow_key: FlowKey,
    pub(crate) flow: FlowCounters,
    pub(crate) path_key: PathKey,
    pub(crate) fragment_key: FragmentKey,
    pub(crate) party_keys: Keys,
    pub(crate) copied: Copied,
    pub(crate) tick: Tick,
    pub(crate) error_key: IcmpErrorKey,
    pub(crate) error: IcmpError,
    /// 1 where the error is counted at this hook.
    pub(crate) error_counts: u64,
}
