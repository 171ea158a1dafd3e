//! The program that counts what the kernel drops, and its tables → a reading.

use std::{collections::BTreeMap, os::fd::AsFd as _};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Btf,
    maps::{Array, HashMap, Map, MapData, PerCpuArray},
    programs::BtfTracePoint,
};
use netobs_common::{
    drop::{DropCounters, DropKey, DropLayout, DropRestKey, Dropped, Place},
    maps, pod,
};

use super::{
    Kernel,
    drain::Fill,
    layout,
    load::refused,
    syscall,
    table::Table,
    write::{array, reconcile},
};

const PROGRAM: &str = "netobs_drop";
const TRACEPOINT: &str = "kfree_skb";

/// One reading of what was dropped, since the agent's start.
#[derive(Debug, Default)]
pub struct Drops {
    /// Whom it was dropped on the way to, and why.
    pub detailed: Vec<(DropKey, DropCounters)>,
    /// What has no detail, summed over the CPUs.
    pub rest: Vec<(DropRestKey, Dropped)>,
    /// What is no drop of a packet, by the number of the reason, or [`maps::APART_NOT_IP`],
    /// [`maps::APART_UNCOUNTED`].
    pub apart: Vec<(u32, Dropped)>,
    /// Events of the whole machine that came while the program was running on the same CPU.
    pub missed: u64,
}

/// Names and numbers of the kernel's reasons; why there are none.
pub(super) type Named = Result<Vec<(String, u32)>, &'static str>;

/// What of the kernel side is about drops.
pub(super) struct DropTables {
    detailed: Table<DropKey, DropCounters>,
    rest: Table<DropRestKey, Dropped>,
    apart: PerCpuArray<MapData, [u8; size_of::<Dropped>()]>,
    namespaces: HashMap<MapData, u32, u8>,
    reasons: Array<MapData, u32>,
    places: Array<MapData, [u8; size_of::<Place>()]>,
    /// What stands in `namespaces`, so that only differences are written.
    written: BTreeMap<u32, u8>,
    /// The reasons' names and numbers; why there are none.
    described: Named,
    /// The numbers of those that are no drops.
    benign: Vec<u32>,
    watching: bool,
}

/// How many reasons this kernel has for dropping packets, if it tells of them.
///
/// # Errors
/// What it does not tell.
pub fn tells_drops() -> Result<usize, &'static str> {
    layout::drops(&layout::description()).map(|drops| drops.reasons.len())
}

/// What is to be known before the kernel side is loaded.
pub(super) fn described(description: &[u8]) -> (DropLayout, Named) {
    match layout::drops(description) {
        Ok(layout::Drops { layout, reasons }) => (layout, Ok(reasons)),
        Err(why) => (DropLayout::default(), Err(why)),
    }
}

impl DropTables {
    pub(super) fn new(mut take: impl FnMut(&'static str) -> Result<Map>, described: Named) -> Result<Self> {
        Ok(Self {
            detailed: Table::new(take(maps::DROPS)?, maps::DROPS)?,
            rest: Table::new(take(maps::DROP_REST)?, maps::DROP_REST)?,
            apart: take(maps::DROPS_APART)?.try_into()?,
            namespaces: take(maps::DROP_NAMESPACES)?.try_into()?,
            reasons: take(maps::DROP_REASONS)?.try_into()?,
            places: take(maps::DROP_PLACES)?.try_into()?,
            written: BTreeMap::new(),
            described,
            benign: Vec::new(),
            watching: false,
        })
    }
}

impl Kernel {
    /// Begins to count what the kernel drops, but what is dropped for a reason that `is_benign`, or is in `places`.
    ///
    /// # Errors
    /// What the kernel does not say or refuses; then nothing is known of drops, and the rest goes on.
    pub fn watch_drops(
        &mut self,
        is_benign: impl Fn(&str) -> bool,
        is_benign_in_places: impl Fn(&str) -> bool,
        places: &[Place],
    ) -> Result<()> {
        let drops = &mut self.drops;
        let reasons = drops.described.as_ref().map_err(|why| anyhow!(*why))?;
        let told = |name: &str| match name {
            name if is_benign(name) => Some(maps::NO_DROP),
            name if is_benign_in_places(name) => Some(maps::NO_DROP_IN_PLACES),
            _ => None,
        };
        let told = reasons.iter().filter_map(|(name, number)| Some((*number, told(name)?)));
        for (number, told) in told.filter(|(number, _)| *number < maps::DROP_REASONS_CAPACITY) {
            drops
                .reasons
                .set(number, told, 0)
                .context("telling the kernel side which reasons are no drops")?;
            drops.benign.push(number);
        }
        for (index, place) in (0..maps::DROP_PLACES_CAPACITY).zip(places) {
            drops.places.set(index, array(place), 0).context("telling the kernel side of functions")?;
        }
        // What aya wants for the number of a type; it is large, and let go of at once.
        let btf = Btf::from_sys_fs().context("reading the kernel's description of its structures")?;
        let program: &mut BtfTracePoint = self
            .ebpf
            .program_mut(PROGRAM)
            .with_context(|| format!("the kernel side has no program {PROGRAM}"))?
            .try_into()?;
        program.load(TRACEPOINT, &btf).map_err(|error| refused(PROGRAM, &error))?;
        program.attach().with_context(|| format!("attaching to the tracepoint {TRACEPOINT}"))?;
        drops.watching = true;
        Ok(())
    }

    /// The reasons this kernel has for dropping packets: names and numbers.
    #[must_use]
    pub fn drop_reasons(&self) -> &[(String, u32)] {
        self.drops.described.as_deref().unwrap_or_default()
    }

    /// Makes the network namespaces whose drops are counted equal to `wanted`; how many found no room.
    pub fn set_drop_namespaces(&mut self, wanted: impl Iterator<Item = u32>) -> usize {
        let DropTables { namespaces, written, .. } = &mut self.drops;
        let wanted = wanted.map(|inode| (inode, 1)).collect();
        reconcile(written, wanted, |inode, wanted| match wanted {
            Some(one) => namespaces.insert(inode, one, 0),
            None => namespaces.remove(inode),
        })
    }

    /// Reads the tables into `read`, whose buffers are used again, and says in `fill` how full they are.
    ///
    /// # Errors
    /// Where the kernel refuses a batch.
    pub(super) fn drain_drops(&mut self, read: &mut Drops, fill: &mut Vec<Fill>) -> Result<()> {
        read.detailed.clear();
        read.rest.clear();
        read.apart.clear();
        let drops = &mut self.drops;
        if !drops.watching {
            return Ok(());
        }
        let entries =
            drops.detailed.read(|key, values| read.detailed.extend(values.next().map(|one| (key, one))))?;
        fill.push(Fill { table: "drops", entries, capacity: drops.detailed.capacity() });
        let entries = drops.rest.read(|key, values| read.rest.push((key, sum(values))))?;
        fill.push(Fill { table: "drop_rest", entries, capacity: drops.rest.capacity() });
        let others = [maps::APART_NOT_IP, maps::APART_UNCOUNTED];
        for index in drops.benign.iter().chain(&others) {
            let all = drops.apart.get(index, 0)?;
            let count = sum(&mut all.iter().filter_map(|bytes| pod::read(bytes)));
            if count != Dropped::ZERO {
                read.apart.push((*index, count));
            }
        }
        let program: &BtfTracePoint =
            self.ebpf.program(PROGRAM).context("the kernel side lost a program")?.try_into()?;
        read.missed = syscall::missed(program.fd()?.as_fd()).unwrap_or(read.missed);
        Ok(())
    }

    /// Takes a count out of the table, with what it held at that moment.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_drop(&mut self, key: &DropKey) -> Result<Option<DropCounters>> {
        let mut last = None;
        self.drops.detailed.take(key, |values| last = values.next())?;
        Ok(last)
    }

    /// Takes a count without detail out of the table, with what it held at that moment.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_drop_rest(&mut self, key: &DropRestKey) -> Result<Option<Dropped>> {
        let mut last = None;
        self.drops.rest.take(key, |values| last = Some(sum(values)))?;
        Ok(last)
    }
}

fn sum(values: &mut dyn Iterator<Item = Dropped>) -> Dropped {
    let mut sum = Dropped::ZERO;
    values.for_each(|one| sum.add(one));
    sum
}
