//! A packet that no hook tells of → the conversation it belongs to.

use netobs_common::{
    counters::FlowCounters,
    endpoint::{EndpointId, Party},
};

use super::{Context, Directory, FlowTable, identity};
use crate::{
    flow::{conversation::Conversation, translation::Way, tuple::Tuple},
    report::HopDirection,
};

impl FlowTable {
    /// The conversation of a packet that no hook tells of, and which way it went.
    pub fn of_packet<D: Directory>(
        &mut self,
        tuple: &Tuple,
        parties: [EndpointId; 2],
        context: &Context<'_, D>,
    ) -> Option<(&mut Conversation, HopDirection)> {
        // Of which zone's connection it is, nothing tells.
        if !context.translations.others(tuple).is_empty() {
            return None;
        }
        let (reference, tracked, along) = match context.translations.lookup(tuple) {
            Some((tracked, way)) => (tracked.original, Some(tracked), way == Way::Original),
            None => (*tuple, None, true),
        };
        let [source, destination] = parties.map(|id| Party { id, ..Party::UNKNOWN });
        let read = FlowCounters { source, destination, ..FlowCounters::default() };
        let number = *self.by_key.get(&identity(reference, tracked, along, &read, context))?;
        let conversation = self.conversations.moving(number)?;
        let along = if tracked.is_some() { along } else { *tuple == conversation.reference };
        let forward = along != conversation.flipped;
        Some((conversation, if forward { HopDirection::Forward } else { HopDirection::Reply }))
    }
}
