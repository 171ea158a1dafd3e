//! Later fragments carry no ports: the first one's are remembered for them.

use netobs_common::{
    hook::Hook,
    interface::Interface,
    key::{FragmentKey, Ports},
    parse::{Fragment, Headers},
};

use crate::maps::FRAGMENTS;

/// The ports of the datagram this packet is (part) of; `None` for a later fragment of an unknown one.
#[inline(always)]
pub(crate) fn ports(
    interface: &Interface,
    hook: Hook,
    headers: &Headers,
    key: &mut FragmentKey,
) -> Option<Ports> {
    if headers.fragment == Fragment::WHOLE {
        return Some(headers.ports);
    }
    key.source = headers.source;
    key.destination = headers.destination;
    key.identification = headers.identification;
    // Each hook sees the fragments for itself.
    key.interface = interface.id;
    key.proto = headers.proto;
    key.hook = hook;
    key.padding = [0; 2];
    if headers.fragment == Fragment::FIRST {
        // A full cache evicts, so an error here means no more than an unknown datagram later.
        let _remembered = FRAGMENTS.insert(&*key, &headers.ports, 0).is_ok();
        return Some(headers.ports);
    }
    // SAFETY: the value is two integers; one that changes meanwhile is still two integers.
    unsafe { FRAGMENTS.get(&*key) }.copied()
}
