//! A loaded kernel side whose only interface is the one that test runs happen on, and what it counted there.

use std::{collections::BTreeMap, os::fd::AsFd as _};

use anyhow::{Result, ensure};
use netobs::kernel::{AttachMode, Drain, Kernel, Options};
use netobs_common::{
    counters::{Counters, FlowCounters, PathCounters},
    endpoint::Party,
    hook::Hook,
    interface::Interface,
    key::{AddressKey, FlowKey, PathKey, PrefixKey},
    skip::Skip,
};
use netobs_tests::{
    assembled::{self, Shortener},
    test_run::{self, Context},
};

/// "Go on": `TC_ACT_UNSPEC`, the same number as `TCX_NEXT`.
pub(crate) const GO_ON: u32 = u32::MAX;

/// The device of test runs: `lo`, the first of every namespace.
const DEVICE: u32 = 1;

/// Below it a test run may refuse a packet for being shorter than its IP header.
pub(crate) const SHORT: usize = 14 + 40;

/// Both hooks.
pub(crate) const HOOKS: [Hook; 2] = [Hook::INGRESS, Hook::EGRESS];

/// A kernel side, and the last reading of its tables.
pub(crate) struct Site {
    pub(crate) kernel: Kernel,
    pub(crate) drain: Drain,
    /// One a hook.
    shorteners: [Shortener; 2],
}

impl Site {
    /// With so many entries in the flow table, and one interface with nothing special.
    pub(crate) fn new(max_flows: u32) -> Result<Self> {
        let kernel = Kernel::load(Options { max_flows, attach: AttachMode::Auto, own_network: 0 })?;
        let [ingress, egress] = HOOKS.map(|hook| Shortener::before(kernel.program(hook)?));
        let mut site = Self { kernel, drain: Drain::default(), shorteners: [ingress?, egress?] };
        site.interface(Interface { id: 1, ..Interface::default() })?;
        Ok(site)
    }

    /// What the interface is from now on.
    pub(crate) fn interface(&mut self, interface: Interface) -> Result<()> {
        self.kernel.set_interface(DEVICE, interface)
    }

    /// Who has which address in which segment.
    pub(crate) fn addresses(&mut self, addresses: &[([u8; 16], u32, Party)]) -> Result<()> {
        let wanted: BTreeMap<_, _> = addresses
            .iter()
            .map(|&(address, segment, party)| (AddressKey { address, segment }, party))
            .collect();
        ensure!(self.kernel.set_addresses(wanted) == 0, "the address table is full");
        Ok(())
    }

    /// Who has which prefix.
    pub(crate) fn prefixes(&mut self, prefixes: &[([u8; 16], u8, Party)]) -> Result<()> {
        let wanted: BTreeMap<_, _> = prefixes
            .iter()
            .map(|&(address, length, party)| ((length, PrefixKey { address }), party))
            .collect();
        ensure!(self.kernel.set_prefixes(wanted) == 0, "the prefix table is full");
        Ok(())
    }

    /// Shows the packet to the program of a hook, which must let it go on as it is.
    pub(crate) fn send(&self, hook: Hook, packet: &[u8]) -> Result<()> {
        self.send_as(hook, packet, &Context::default())
    }

    /// The same with what is said of a packet beside its bytes; only its device is said of a short one.
    pub(crate) fn send_as(&self, hook: Hook, packet: &[u8], context: &Context) -> Result<()> {
        if packet.len() < SHORT {
            let mut padded = packet.to_vec();
            padded.resize(SHORT, 0);
            let program = self.shorteners[usize::from(hook.0)].cut_to(packet.len())?;
            return untouched(packet, &test_run::run(program, &padded, context, 1)?);
        }
        untouched(packet, &test_run::run(self.kernel.program(hook)?, packet, context, 1)?)
    }

    /// The same with a tag that a network card took out of the frame.
    pub(crate) fn send_tagged(&self, hook: Hook, packet: &[u8], tag: u16) -> Result<()> {
        let wrapper = assembled::tagging(tag)?;
        wrapper.lead_to(self.kernel.program(hook)?)?;
        untouched(packet, &test_run::run(wrapper.as_fd(), packet, &Context::default(), 1)?)
    }

    /// Reads all tables.
    pub(crate) fn read(&mut self) -> Result<&Drain> {
        self.kernel.drain(&mut self.drain)?;
        Ok(&self.drain)
    }

    /// Reads all tables; the flows of one interface.
    pub(crate) fn flows(&mut self, interface: u32) -> Result<Vec<(FlowKey, FlowCounters)>> {
        Ok(self.read()?.flows.iter().filter(|(key, _)| key.interface == interface).copied().collect())
    }

    /// The path counters of one interface, by the last reading.
    pub(crate) fn paths(&self, interface: u32) -> Vec<(PathKey, PathCounters)> {
        self.drain.paths.iter().filter(|(key, _)| key.interface == interface).copied().collect()
    }

    /// What was skipped on an interface, with the reasons, by the last reading.
    pub(crate) fn skips(&self, interface: u32) -> Vec<(Hook, Skip, Counters)> {
        let skips = self.drain.skips.iter().filter(|(key, _)| key.interface == interface);
        skips.map(|(key, counters)| (key.hook, key.reason, *counters)).collect()
    }
}

/// Never in the way.
pub(crate) fn untouched(packet: &[u8], outcome: &test_run::Outcome) -> Result<()> {
    ensure!(outcome.verdict == GO_ON, "the verdict is {:#x}", outcome.verdict);
    ensure!(outcome.packet == packet, "the packet was changed: {:x?} became {:x?}", packet, outcome.packet);
    Ok(())
}

/// A sum of counters.
pub(crate) fn sum(counters: impl IntoIterator<Item = Counters>) -> Counters {
    counters.into_iter().fold(Counters::ZERO, |mut sum, one| {
        sum.add(one);
        sum
    })
}
