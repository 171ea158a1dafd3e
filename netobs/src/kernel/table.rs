//! A kernel hash table → its entries, in batches, into buffers that are kept.

use std::{marker::PhantomData, os::fd::AsFd as _};

use anyhow::{Context as _, Result, bail};
use aya::maps::{Map, MapData};
use netobs_common::pod::{self, Pod};

use super::syscall::{self, Cursor};

/// Entries asked for at once: a batch of the largest table is some 600 KiB.
const BATCH: usize = 4096;

/// A hash table with its buffers. `K` and `V` are what the kernel side stores.
pub(super) struct Table<K, V> {
    map: MapData,
    name: &'static str,
    capacity: u64,
    keys: Vec<u8>,
    values: Vec<u8>,
    /// Bytes of one entry's value: of all possible CPUs, each rounded up to 8, where it is per CPU.
    stride: usize,
    types: PhantomData<(K, V)>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Takes a table of the loaded object.
    pub(super) fn new(map: Map, name: &'static str) -> Result<Self> {
        let (map, cpus) = match map {
            Map::HashMap(map) | Map::LruHashMap(map) => (map, None),
            Map::PerCpuHashMap(map) | Map::PerCpuLruHashMap(map) => (map, Some(possible_cpus()?)),
            _ => bail!("the kernel side's table {name} is not a hash"),
        };
        let info = map.info().with_context(|| format!("reading about the table {name}"))?;
        let stride = cpus.map_or(size_of::<V>(), |cpus| cpus * size_of::<V>().next_multiple_of(8));
        let capacity = u64::from(info.max_entries());
        // A bucket can hold more than a batch only if the table can.
        let count = BATCH.min(usize::try_from(capacity).unwrap_or(BATCH)).max(1);
        Ok(Self {
            map,
            name,
            capacity,
            keys: vec![0; count * size_of::<K>()],
            values: vec![0; count * stride],
            stride,
            types: PhantomData,
        })
    }

    /// How many entries it can hold.
    pub(super) const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Shows every entry to `each`: its key, and its value on each CPU (one where it is not per CPU).
    /// An entry that is added or removed meanwhile may be missed or shown, never torn.
    pub(super) fn read(&mut self, mut each: impl FnMut(K, &mut dyn Iterator<Item = V>)) -> Result<u64> {
        let mut entries = 0;
        let mut from: Option<Cursor> = None;
        loop {
            let count = self.keys.len() / size_of::<K>();
            let batch =
                syscall::lookup_batch(self.map.fd().as_fd(), from, &mut self.keys, &mut self.values, count);
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                    self.grow();
                    continue;
                }
                Err(error) => return Err(error).with_context(|| format!("reading the table {}", self.name)),
            };
            entries += batch.count as u64;
            let keys = self.keys.chunks_exact(size_of::<K>());
            let values = self.values.chunks_exact(self.stride);
            for (key, values) in keys.zip(values).take(batch.count) {
                let Some(key) = pod::read(key) else { continue };
                each(key, &mut values.chunks(size_of::<V>().next_multiple_of(8)).filter_map(pod::read));
            }
            match batch.next {
                Some(next) => from = Some(next),
                None => return Ok(entries),
            }
        }
    }

    /// Takes one entry out with what it held at that moment; `each` is shown its value on each CPU (one where
    /// it is not per CPU). Whether there was one.
    pub(super) fn take(&mut self, key: &K, each: impl FnOnce(&mut dyn Iterator<Item = V>)) -> Result<bool> {
        let value = self.values.get_mut(..self.stride).unwrap_or_default();
        let key = pod::bytes(key);
        let taken = match syscall::take(self.map.fd().as_fd(), key, value) {
            // Before Linux 5.14 it takes two steps: what is counted between them is lost.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                syscall::take_in_two_steps(self.map.fd().as_fd(), key, value)
            }
            taken => taken,
        };
        let found = taken.with_context(|| format!("removing an entry of the table {}", self.name))?;
        if found {
            each(&mut value.chunks(size_of::<V>().next_multiple_of(8)).filter_map(pod::read));
        }
        Ok(found)
    }

    fn grow(&mut self) {
        let count = self.keys.len() / size_of::<K>() * 2;
        self.keys.resize(count * size_of::<K>(), 0);
        self.values.resize(count * self.stride, 0);
    }
}

/// How many values an entry of a per-CPU table has: possible CPUs, not those online.
pub(super) fn possible_cpus() -> Result<usize> {
    aya::util::nr_cpus()
        .map_err(|(path, error)| anyhow::anyhow!("reading {path}: {error}"))
        .context("counting the possible CPUs")
}
