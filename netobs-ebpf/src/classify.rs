//! Addresses and interface → who sends and who receives, from tables the collector keeps current.

use aya_ebpf::maps::lpm_trie::Key;
use netobs_common::{
    endpoint::{EndpointId, Party},
    hook::Hook,
    interface::{Interface, Role},
    key::{Address, AddressKey, PrefixKey},
    parse::Headers,
};

use crate::maps::{ADDRESSES, PREFIXES};

/// Where keys are made: in a table, because the stack has 512 bytes, and a prefix key's address lies at an
/// offset of 4 in it, where the verifier refuses to have eight bytes written.
#[repr(C)]
pub(crate) struct Keys {
    address: AddressKey,
    prefix: Key<PrefixKey>,
}

/// Sender and receiver of a packet.
#[inline(always)]
pub(crate) fn parties(
    interface: &Interface,
    hook: Hook,
    headers: &Headers,
    keys: &mut Keys,
) -> (Party, Party) {
    let owner = interface.owner();
    if interface.role == Role::LOOPBACK {
        let whose = if interface.inside == 0 { Party::HOST } else { owner.unwrap_or(Party::UNKNOWN) };
        return (whose, whose);
    }
    // Seen from outside, what comes in is what the owner sends.
    let sends = if interface.inside == 0 { Hook::INGRESS } else { Hook::EGRESS };
    let source = match owner {
        // Whatever address it writes, it is the owner who sends.
        Some(owner) if hook == sends => owner,
        _ => lookup(interface.segment, &headers.source, keys).unwrap_or(Party::EXTERNAL),
    };
    let destination = if headers.is_group() {
        Party::GROUP
    } else {
        match (lookup(interface.segment, &headers.destination, keys), owner) {
            // A bridge floods what it has no port for: the owner is not the receiver of all it gets.
            (Some(known), Some(_)) if hook != sends => known,
            (_, Some(owner)) if hook != sends => owner,
            (Some(known), _) => known,
            (None, _) => Party::EXTERNAL,
        }
    };
    (source, destination)
}

/// Whether a packet is addressed to this host, or to a group, which it may be a member of.
#[inline(always)]
pub(crate) fn is_hosts(segment: u32, headers: &Headers, keys: &mut Keys) -> bool {
    headers.is_group()
        || matches!(lookup(segment, &headers.destination, keys), Some(party) if party.id == EndpointId::HOST)
}

/// Who has the address: in the segment, else in the routed part of the host, else by prefix.
#[inline(always)]
fn lookup(segment: u32, address: &Address, keys: &mut Keys) -> Option<Party> {
    let key = &mut keys.address;
    key.address = *address;
    key.segment = segment;
    // SAFETY: the value is plain integers; the collector replaces it whole.
    if let Some(party) = unsafe { ADDRESSES.get(&*key) } {
        return Some(*party);
    }
    if segment != 0 {
        key.segment = 0;
        // SAFETY: as above.
        if let Some(party) = unsafe { ADDRESSES.get(&*key) } {
            return Some(*party);
        }
    }
    keys.prefix = Key::new(128, PrefixKey { address: *address });
    PREFIXES.get(&keys.prefix).copied()
}
