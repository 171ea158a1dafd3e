//! Datagrams → the changes they announce, and whether some were lost.

use std::collections::BTreeSet;

use super::super::{
    decode,
    health::WatchHealth,
    netlink::{Datagram, messages},
};

/// Decoded notifications in the order in which they came.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) changes: Vec<decode::Change>,
    pub(super) lost: bool,
}

impl Taken {
    /// Decodes one datagram more.
    pub(super) fn add(&mut self, datagram: Datagram<'_>, health: &WatchHealth) {
        let Datagram::Messages(bytes) = datagram else {
            health.loss();
            self.lost = true;
            return;
        };
        for message in messages(bytes) {
            match decode::change(message) {
                Ok(change) => {
                    health.event();
                    self.changes.push(change);
                }
                Err(decode::Malformed) => health.undecoded(1),
            }
        }
    }

    /// The links the notifications mention.
    pub(super) fn links(&self) -> BTreeSet<u32> {
        self.changes.iter().filter_map(decode::Change::link_index).collect()
    }
}
