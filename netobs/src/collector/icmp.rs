//! ICMP errors by the packet they quote → the conversations they are about, and the counts of the metrics. Pure.

use std::collections::{BTreeMap, HashMap};

use netobs_common::{
    icmp_error::{IcmpError, IcmpErrorKey, IcmpErrorType},
    tunnel::Encapsulation,
};

use super::{AT_ONCE, Collector, Names, drops};
use crate::{
    flow::{
        conversation::{Conversation, Place},
        errors::QuotedError,
        table::{Directory, PATIENCE},
        translation::Translations,
        tuple::{Peer, Tuple},
    },
    path::entry,
    report::{KindName, PairLabels, Path},
};

/// How long errors wait for their conversation: until its sightings have waited for conntrack, and two readings more.
const WAIT: u64 = PATIENCE + 2_000_000_000;
/// How long equal errors keep their entry in the kernel's table after the latest one.
const QUIET: u64 = 10_000_000_000;

/// What was read of equal errors.
#[derive(Debug, Default)]
struct Known {
    counted: u64,
    /// The part that waits for its conversation, and since when.
    waits: u64,
    since: u64,
    changed: u64,
}

/// All that are in the kernel's table.
#[derive(Debug, Default)]
pub(super) struct IcmpErrors {
    known: HashMap<IcmpErrorKey, Known>,
    unlisted: BTreeMap<IcmpErrorType, u64>,
}

impl Collector {
    /// Takes in a reading of ICMP errors, after that of the flows.
    pub fn hear_errors(
        &mut self,
        errors: &[(IcmpErrorKey, IcmpError)],
        unlisted: &[(IcmpErrorType, u64)],
        names: &Names<'_>,
        translations: &Translations,
    ) {
        for (key, error) in errors {
            self.hear(key, error, names, translations);
        }
        for (class, count) in unlisted {
            let before = self.errors.unlisted.insert(*class, *count).unwrap_or(0);
            self.book_error(NOBODY, *class, count.saturating_sub(before));
        }
    }

    fn hear(
        &mut self,
        key: &IcmpErrorKey,
        error: &IcmpError,
        names: &Names<'_>,
        translations: &Translations,
    ) {
        let Self { errors, flows, interfaces, ledger, .. } = self;
        let now = ledger.now;
        let known = errors.known.entry(*key).or_default();
        let more = error.count.saturating_sub(known.counted);
        known.counted = error.count;
        if more > 0 {
            known.changed = now;
            // An error passes several hooks: it is one where it enters this host or is made, as any packet is.
            let counts = interfaces.get(key.quoted.interface).is_some_and(|one| {
                let encapsulated = key.quoted.encapsulation != Encapsulation::NONE;
                let (hook, receiver) = (key.quoted.hook, error.receiver);
                entry::is_entry(&one.kernel, hook, key.origin, encapsulated, receiver, names)
            });
            if counts && known.waits == 0 {
                known.since = now;
            }
            known.waits += if counts { more } else { 0 };
        }
        if known.waits == 0 {
            return;
        }
        if let Some(found) = flows.of_quoted(&key.quoted) {
            tell(found, key, error, std::mem::take(&mut known.waits));
            return;
        }
        // By then every sighting is in its place: an older conversation of the same tuple is not taken for a new one.
        let waited = now.saturating_sub(known.since);
        if waited >= PATIENCE {
            let context = drops::context(interfaces, names, translations, now);
            if let Some(found) = flows.of_unseen(&key.quoted, error.receiver, &context) {
                tell(found, key, error, std::mem::take(&mut known.waits));
                return;
            }
        }
        if waited >= WAIT {
            let count = std::mem::take(&mut known.waits);
            self.book_error(of_nobody(key, error, names), class(key), count);
        }
    }

    /// Entries the kernel's table needs no longer.
    #[must_use]
    pub fn quiet_errors(&self, now: u64) -> Vec<IcmpErrorKey> {
        let is_quiet = |one: &Known| one.waits == 0 && now.saturating_sub(one.changed) >= QUIET;
        let quiet = self.errors.known.iter().filter(|(_, one)| is_quiet(one));
        quiet.map(|(key, _)| *key).take(AT_ONCE).collect()
    }

    /// An entry was taken out of the kernel's table, with what it held at that moment.
    pub fn error_taken(
        &mut self,
        key: &IcmpErrorKey,
        last: Option<IcmpError>,
        names: &Names<'_>,
        translations: &Translations,
    ) {
        if let Some(last) = last {
            self.hear(key, &last, names, translations);
            let waits = self.errors.known.get(key).map_or(0, |one| one.waits);
            self.book_error(of_nobody(key, &last, names), class(key), waits);
        }
        self.errors.known.remove(key);
    }

    /// Errors of which only the type is known: there was no room, or what they quote cannot be read.
    #[must_use]
    pub fn unlisted_errors(&self) -> u64 {
        self.errors.unlisted.values().sum()
    }

    fn book_error(&mut self, labels: PairLabels, class: IcmpErrorType, more: u64) {
        if more > 0 {
            *self.ledger.totals.icmp_errors.entry((labels, class)).or_default() += more;
        }
    }
}

/// Tells a conversation of errors about what it sent.
fn tell((conversation, along): (&mut Conversation, bool), key: &IcmpErrorKey, error: &IcmpError, count: u64) {
    conversation.tell_error(QuotedError {
        network: key.quoted.network,
        kind: key.kind,
        code: key.code,
        along,
        place: Place { interface: key.quoted.interface, hook: key.quoted.hook },
        reporter: Peer::new(error.reporter, 0).address,
        mtu: error.mtu,
        count,
        booked: 0,
        first_seen: error.first_seen,
        last_seen: error.last_seen,
    });
}

const NOBODY: PairLabels =
    PairLabels { source_kind: KindName::Unknown, destination_kind: KindName::Unknown, path: Path::Unknown };

const fn class(key: &IcmpErrorKey) -> IcmpErrorType {
    IcmpErrorType::of(key.quoted.network, key.kind, key.code)
}

/// About a packet of no conversation that is known: its sender is the error's receiver.
fn of_nobody(key: &IcmpErrorKey, error: &IcmpError, names: &Names<'_>) -> PairLabels {
    let to = Tuple::of(&key.quoted).destination.address;
    let kind = |endpoint| KindName::from(names.kind(endpoint));
    PairLabels {
        source_kind: kind(error.receiver),
        destination_kind: names.holder(0, to).map_or(KindName::Unknown, kind),
        path: Path::Unknown,
    }
}
