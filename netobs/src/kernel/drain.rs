//! Everything the kernel side counted, as one reading.

use std::collections::HashMap;

use anyhow::Result;
use netobs_common::{
    counters::{Counters, FlowCounters, PathCounters},
    icmp_error::{IcmpError, IcmpErrorKey, IcmpErrorType},
    key::{FlowKey, PathKey, SkipKey},
    maps::SPILL_CAPACITY,
    pod,
};

use super::{Kernel, drops::Drops};

/// One reading of all tables. Counters since the agent's start, never since the last reading.
#[derive(Debug, Default)]
pub struct Drain {
    /// Flow sightings.
    pub flows: Vec<(FlowKey, FlowCounters)>,
    /// Exact path counters, summed over the CPUs.
    pub paths: Vec<(PathKey, PathCounters)>,
    /// Packets without a flow.
    pub skips: HashMap<SkipKey, Counters>,
    /// What neither flow table nor path counters could take, by [`netobs_common::maps::spill_index`].
    pub spill: Vec<(u32, Counters)>,
    /// What the kernel dropped.
    pub drops: Drops,
    /// ICMP errors by the packet they quote.
    pub errors: Vec<(IcmpErrorKey, IcmpError)>,
    /// ICMP errors that are not in `errors`, each counted where it enters this host or is made.
    pub unlisted_errors: Vec<(IcmpErrorType, u64)>,
    /// How full the tables are.
    pub fill: Vec<Fill>,
}

/// How full a table is.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Its name, lower case.
    pub table: &'static str,
    /// Entries now.
    pub entries: u64,
    /// Entries it can hold.
    pub capacity: u64,
}

impl Kernel {
    /// Reads all tables into `drain`, whose buffers are used again.
    ///
    /// # Errors
    /// Where the kernel refuses a batch.
    pub fn drain(&mut self, drain: &mut Drain) -> Result<()> {
        drain.flows.clear();
        drain.paths.clear();
        drain.skips.clear();
        drain.spill.clear();
        drain.fill.clear();
        // Flows before paths: what arrives in between is in the path counters and not in the flows, so
        // the flows never hold more than the paths.
        let entries =
            self.flows.read(|key, values| drain.flows.extend(values.next().map(|one| (key, one))))?;
        drain.fill.push(Fill { table: "flows", entries, capacity: self.flows.capacity() });
        let entries = self.paths.read(|key, values| drain.paths.push((key, sum(values))))?;
        drain.fill.push(Fill { table: "paths", entries, capacity: self.paths.capacity() });
        let entries = self.skips.read(|key, values| {
            let sum = drain.skips.entry(key).or_default();
            values.for_each(|one: Counters| sum.add(one));
        })?;
        drain.fill.push(Fill { table: "skips", entries, capacity: self.skips.capacity() });
        drain.fill.push(Fill {
            table: "addresses",
            entries: self.written_addresses.len() as u64,
            capacity: u64::from(netobs_common::maps::ADDRESSES_CAPACITY),
        });
        self.read_spill(drain)?;
        self.read_errors(drain)?;
        // Last: what was dropped has been seen at the hops before, and is then in both readings.
        self.drain_drops(&mut drain.drops, &mut drain.fill)
    }

    /// Takes a flow sighting out of the table, with what it held at that moment.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_flow(&mut self, key: &FlowKey) -> Result<Option<FlowCounters>> {
        let mut last = None;
        self.flows.take(key, |values| last = values.next())?;
        Ok(last)
    }

    /// Takes a path counter out of the table, with what it held at that moment.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_path(&mut self, key: &PathKey) -> Result<Option<PathCounters>> {
        let mut last = None;
        self.paths.take(key, |values| last = Some(sum(values)))?;
        Ok(last)
    }

    /// Takes the count of a kind of skipped packets out of the table, with what it held at that moment.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_skip(&mut self, key: &SkipKey) -> Result<Option<Counters>> {
        let mut last = None;
        self.skips.take(key, |values| {
            let mut sum = Counters::ZERO;
            values.for_each(|one| sum.add(one));
            last = Some(sum);
        })?;
        Ok(last)
    }

    fn read_spill(&self, drain: &mut Drain) -> Result<()> {
        // Spilling begins when the path counters are full, and they never shrink.
        let full = drain.paths.len() as u64 >= self.paths.capacity();
        for index in (0..SPILL_CAPACITY).take_while(|_| full) {
            let mut sum = Counters::ZERO;
            for bytes in self.spill.get(&index, 0)?.iter() {
                sum.add(pod::read(bytes).unwrap_or_default());
            }
            if !sum.is_zero() {
                drain.spill.push((index, sum));
            }
        }
        Ok(())
    }
}

fn sum(values: &mut dyn Iterator<Item = PathCounters>) -> PathCounters {
    let mut sum = PathCounters::default();
    for one in values {
        sum.all.add(one.all);
        sum.unlisted.add(one.unlisted);
    }
    sum
}
