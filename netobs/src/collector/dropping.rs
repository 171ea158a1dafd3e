//! The collector's part in drops: the book of drops, the ledger and the conversations together.

use netobs_common::drop::{DropCounters, DropKey, DropRestKey, Dropped};

use super::{
    Clock, Collector, DropReading, Names,
    drops::{self, Booked},
};
use crate::{
    evidence::reasons::{self, Class},
    flow::translation::Translations,
    path::ledger::Ledger,
    report::{DropRow, Outcome},
};

impl Collector {
    pub(super) fn read_drops(
        &mut self,
        reading: &DropReading<'_>,
        names: &Names<'_>,
        translations: &Translations,
    ) {
        let Self { drops, flows, interfaces, ledger, .. } = self;
        let context = drops::context(interfaces, names, translations, ledger.now);
        drops.read(reading, flows, &context, |booked| book(ledger, &booked, names));
    }

    /// A count of drops was taken out of the kernel's table, with what it held at that moment.
    pub fn drop_taken(
        &mut self,
        key: &DropKey,
        last: Option<DropCounters>,
        names: &Names<'_>,
        translations: &Translations,
    ) {
        let Self { drops, flows, interfaces, ledger, .. } = self;
        let context = drops::context(interfaces, names, translations, ledger.now);
        drops.taken(key, last, flows, &context, |booked| book(ledger, &booked, names));
    }

    /// A count of drops without detail was taken out of the kernel's table.
    pub fn drop_rest_taken(
        &mut self,
        key: &DropRestKey,
        last: Option<Dropped>,
        names: &Names<'_>,
        translations: &Translations,
    ) {
        let Self { drops, interfaces, ledger, .. } = self;
        let context = drops::context(interfaces, names, translations, ledger.now);
        drops.rest_taken(key, last, &context, |booked| book(ledger, &booked, names));
    }

    /// What the kernel dropped in the last minutes, the most packets first.
    #[must_use]
    pub fn drop_rows(&self, names: &Names<'_>, clock: Clock) -> Vec<DropRow> {
        self.drops.rows.written(&self.interfaces, names, clock, reasons::class)
    }
}

fn book(ledger: &mut Ledger, booked: &Booked<'_>, names: &Names<'_>) {
    let outcome = booked.is_attempt.map(|class| match class {
        Class::Answered => Outcome::Refused,
        Class::Unreachable => Outcome::Unreachable,
        Class::Dropped | Class::Benign => Outcome::Dropped,
    });
    ledger.book_drop(booked.labels, booked.ends, booked.count, (booked.is_evidence, outcome), names);
}
