//! ICMP errors the kernel side counted → their part of a reading, and entries out of the table.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{MapData, ProgramArray},
    programs::SchedClassifier,
};
use netobs_common::{
    icmp_error::{IcmpError, IcmpErrorKey, IcmpErrorType},
    maps,
};

use super::{Drain, Fill, ICMP_ERROR, Kernel};

/// Tells the classifiers which program they leave ICMP errors to; it is loaded.
pub(super) fn told(ebpf: &mut Ebpf) -> Result<ProgramArray<MapData>> {
    let map = ebpf.take_map(maps::ICMP_ERROR_PROGRAM).context("the kernel side has no table of programs")?;
    let mut told: ProgramArray<MapData> = map.try_into()?;
    let program = ebpf.program(ICMP_ERROR).with_context(|| format!("the kernel side has no {ICMP_ERROR}"))?;
    let program: &SchedClassifier = program.try_into()?;
    told.set(0, program.fd()?, 0).context("telling the kernel side of its program for ICMP errors")?;
    Ok(told)
}

impl Kernel {
    pub(super) fn read_errors(&mut self, drain: &mut Drain) -> Result<()> {
        drain.errors.clear();
        drain.unlisted_errors.clear();
        let entries =
            self.errors.read(|key, values| drain.errors.extend(values.next().map(|one| (key, one))))?;
        drain.fill.push(Fill { table: "icmp_errors", entries, capacity: self.errors.capacity() });
        for one in IcmpErrorType::all() {
            let count = self.unlisted_errors.get(&one.0.into(), 0)?.iter().sum();
            if count > 0 {
                drain.unlisted_errors.push((one, count));
            }
        }
        Ok(())
    }

    /// Takes equal ICMP errors out of the table, with what was counted of them at that moment.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_error(&mut self, key: &IcmpErrorKey) -> Result<Option<IcmpError>> {
        let mut last = None;
        self.errors.take(key, |values| last = values.next())?;
        Ok(last)
    }
}
