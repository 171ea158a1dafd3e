//! Later fragments carry no ports: the first one's are remembered for them.

use netobs_common::{
    hook::Hook,
    interface::Interface,
    key::{Datagram, FragmentKey, Ports},
    parse::{Fragment, Headers},
    tunnel::Encapsulation,
};

use crate::maps::FRAGMENTS;

/// Fills in the ports of the datagram this packet is (part) of; false for a later fragment of an unknown one.
///
/// `datagram` is room: on the stack it would be written in pieces that are not aligned, which no verifier accepts.
#[inline(always)]
pub(crate) fn ports(
    interface: &Interface,
    hook: Hook,
    headers: &mut Headers,
    key: &mut FragmentKey,
    datagram: &mut Datagram,
) -> bool {
    match headers.fragment {
        Fragment::LATER => {
            describe(interface, hook, headers, key);
            let Some(datagram) = recall(key) else {
                headers.ports = Ports { source: 0, destination: 0 };
                return false;
            };
            headers.ports = datagram.ports;
        }
        Fragment::FIRST => {
            // What it carries besides means something with an encapsulation only.
            datagram.ports = headers.ports;
            datagram.encapsulation = Encapsulation::NONE;
            remember(interface, hook, headers, key, datagram);
        }
        _ => {}
    }
    true
}

/// Remembers what the datagram of this first fragment carries.
#[inline(always)]
pub(crate) fn remember(
    interface: &Interface,
    hook: Hook,
    headers: &Headers,
    key: &mut FragmentKey,
    datagram: &Datagram,
) {
    describe(interface, hook, headers, key);
    // A full cache evicts, so an error here means no more than an unknown datagram later.
    let _remembered = FRAGMENTS.insert(&*key, datagram, 0).is_ok();
}

/// What the datagram carries, if its first fragment is remembered.
#[inline(always)]
pub(crate) fn recall(key: &FragmentKey) -> Option<&'static Datagram> {
    // SAFETY: the value is integers; one that changes meanwhile is still integers.
    unsafe { FRAGMENTS.get(key) }
}

#[inline(always)]
fn describe(interface: &Interface, hook: Hook, headers: &Headers, key: &mut FragmentKey) {
    key.source = headers.source;
    key.destination = headers.destination;
    key.identification = headers.identification;
    // Each hook sees the fragments for itself.
    key.interface = interface.id;
    key.proto = headers.proto;
    key.hook = hook;
    key.padding = [0; 2];
}
