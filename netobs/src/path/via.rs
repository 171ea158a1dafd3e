//! What the source addressed, where that is not the destination itself.

use netobs_common::endpoint::Kind;

use crate::{
    flow::{conversation::Conversation, tuple::Peer},
    report::{Nat, Via},
};

/// What was addressed before the destination was translated.
#[must_use]
pub fn original_destination(conversation: &Conversation) -> Option<Peer> {
    matches!(conversation.nat(), Nat::Dnat | Nat::Both).then(|| conversation.original().destination)
}

/// How the destination was addressed. `is_host` tells whether an address is this host's.
#[must_use]
pub fn of(conversation: &Conversation, destination: Kind, is_host: impl Fn(&Peer) -> bool) -> Via {
    match (original_destination(conversation), destination) {
        (Some(addressed), Kind::CONTAINER) if is_host(&addressed) => Via::PublishedPort,
        (Some(addressed), Kind::POD) if is_host(&addressed) => Via::HostPort,
        _ => Via::Direct,
    }
}
