//! A side that is the host → the container on the host's stack whose socket it is, if it is one's.

use netobs_common::endpoint::EndpointId;

use super::{conversation::Conversation, table::Directory};
use crate::report::HopDirection;

/// Who has a socket of the host's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The host itself, for all that is known.
    Host,
    /// A container on the host's network.
    Endpoint(EndpointId),
    /// It may turn out to be a container's in a moment.
    Unsettled,
}

/// Puts the owners of its sockets in the place of the host; whether both are settled. An owner once known
/// stays: a socket's process may be gone before the conversation is.
pub(super) fn tell(conversation: &mut Conversation, directory: &impl Directory) -> bool {
    let ends =
        [(HopDirection::Forward, conversation.source), (HopDirection::Reply, conversation.destination)];
    let mut settled = true;
    for (side, (sends, endpoint)) in ends.into_iter().enumerate() {
        if endpoint != EndpointId::HOST {
            continue;
        }
        let owner = conversation.owners[side].map_or_else(
            || of(conversation, sends, directory),
            |known| Owner::Endpoint(directory.current(known)),
        );
        match owner {
            Owner::Host => {}
            Owner::Unsettled => settled = false,
            Owner::Endpoint(owner) => {
                // Before that the sides may be exchanged yet.
                if conversation.settled {
                    conversation.owners[side] = Some(owner);
                }
                *[&mut conversation.source, &mut conversation.destination][side] = owner;
            }
        }
    }
    settled
}

/// By the socket that sent, else by the addresses: an accepted connection's socket was opened by nobody.
fn of(conversation: &Conversation, sends: HopDirection, directory: &impl Directory) -> Owner {
    let mut sockets = conversation.toward(sends).map(|sighting| sighting.latest.socket);
    if let Some(owner) = sockets.find_map(|cookie| directory.socket(cookie)) {
        return owner;
    }
    let (local, remote) = match sends {
        HopDirection::Forward => (conversation.original().source, conversation.original().destination),
        HopDirection::Reply => (conversation.translated().destination, conversation.translated().source),
    };
    directory.connection(conversation.reference.proto, local, remote)
}
