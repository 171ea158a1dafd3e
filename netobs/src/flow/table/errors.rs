//! The packet that an ICMP error quotes → the conversation that sent it.

use netobs_common::{endpoint::EndpointId, hook::Hook, key::FlowKey};

use super::{Context, Directory, FlowTable};
use crate::{
    flow::{conversation::Conversation, tuple::Tuple},
    report::HopDirection,
};

impl FlowTable {
    /// The conversation that sent the packet, and whether as its reference does. `quoted` has the hook of the error,
    /// which comes the other way: so the packet itself was seen at the same interface's other hook, with the same
    /// addresses whatever is translated before or behind it.
    pub fn of_quoted(&mut self, quoted: &FlowKey) -> Option<(&mut Conversation, bool)> {
        let hook = if quoted.hook == Hook::INGRESS { Hook::EGRESS } else { Hook::INGRESS };
        let (number, at) = *self.by_sighting.get(&FlowKey { hook, ..*quoted })?;
        let conversation = self.conversations.moving(number)?;
        let along = conversation.sightings.get(at as usize)?.along;
        Some((conversation, along))
    }

    /// The same where that hook did not see it: by its addresses and by who sent it, as of any packet that no hook tells
    /// of.
    pub fn of_unseen<D: Directory>(
        &mut self,
        quoted: &FlowKey,
        sender: EndpointId,
        context: &Context<'_, D>,
    ) -> Option<(&mut Conversation, bool)> {
        let tuple = Tuple::of(quoted);
        let receiver = context.directory.holder(0, tuple.destination.address).unwrap_or(EndpointId::UNKNOWN);
        let (conversation, direction) = self.of_packet(&tuple, [sender, receiver], context)?;
        let along = (direction == HopDirection::Forward) != conversation.flipped;
        Some((conversation, along))
    }
}
