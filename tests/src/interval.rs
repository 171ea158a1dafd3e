//! What happened between two quiet moments, and whether every number agrees with every other.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};

use crate::{
    agent::{Agent, whole},
    counters::Count,
    exposition::Exposition,
    flows::{self, Carried, Flow},
    ledger::{self, Books, Difference},
};

/// The state before and after some traffic.
#[derive(Debug)]
pub struct Interval {
    /// Before it.
    pub before: Books,
    /// After it.
    pub after: Books,
    /// Scraped just after [`Self::before`].
    pub scrape_before: Exposition,
    /// Scraped just after [`Self::after`].
    pub scrape_after: Exposition,
}

impl Interval {
    /// Runs the traffic between two quiet moments.
    ///
    /// # Errors
    /// When the traffic fails or the agent does not answer.
    pub fn around<T>(agent: &Agent, traffic: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let (before, scrape_before) = agent.books().context("before the traffic")?;
        let result = traffic().context("the traffic itself")?;
        let (after, scrape_after) = agent.books().context("after the traffic")?;
        Ok((Self { before, after, scrape_before, scrape_after }, result))
    }

    /// Flows after the traffic.
    #[must_use]
    pub fn flows(&self) -> &[Flow] {
        &self.after.flows
    }

    /// Every interface: flows + skipped = its own counters. The path counters: grown by what the flows
    /// carried at their counting interfaces.
    ///
    /// # Errors
    /// With every number that does not add up.
    pub fn must_be_exact(&self) -> Result<()> {
        self.must_be_exact_but_for(|_| false)
    }

    /// [`Self::must_be_exact`], where some interfaces are known not to count everything that passes them.
    ///
    /// # Errors
    /// As [`Self::must_be_exact`].
    pub fn must_be_exact_but_for(&self, excused: impl Fn(&Difference) -> bool) -> Result<()> {
        self.interfaces_must_add_up(excused)?;
        self.paths_must_add_up()
    }

    fn interfaces_must_add_up(&self, excused: impl Fn(&Difference) -> bool) -> Result<()> {
        let mut differences = ledger::differences(&self.before, &self.after);
        differences.retain(|one| !excused(one));
        if differences.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for one in &differences {
            let missing = one.counted - one.listed;
            writeln!(
                text,
                "    {} {}: the interface counted {:?}, flows and skips hold {:?}, missing {missing:?}",
                one.interface, one.hook, one.counted, one.listed
            )?;
        }
        bail!(
            "interfaces do not add up (skipped before {:?}, after {:?}):\n{text}  flows:\n{}",
            self.before.skipped,
            self.after.skipped,
            self.changed()
        )
    }

    /// The flows that carried something meanwhile, for a failure message.
    fn changed(&self) -> String {
        let same = |flow: &Flow| {
            let old = self.before.flows.iter().find(|old| old.id == flow.id);
            old.is_some_and(|old| (old.forward, old.reply) == (flow.forward, flow.reply))
        };
        flows::list(&self.flows().iter().filter(|flow| !same(flow)).cloned().collect::<Vec<_>>())
    }

    /// Loopback is left out: a scrape travels over the very `lo` it reports on.
    fn paths_must_add_up(&self) -> Result<()> {
        let off_loopback = |flows: &[Flow]| -> Vec<Flow> {
            flows.iter().filter(|flow| flow.path != "loopback").cloned().collect()
        };
        let carried = ledger::carried(&off_loopback(&self.before.flows), &off_loopback(self.flows()));
        let grown = Count { packets: self.path_growth("packets"), bytes: self.path_growth("bytes") };
        ensure!(
            grown == carried,
            "netobs_path_*_total grew by {grown:?}, the flows carried {carried:?}\n  growth: {:#?}\n  flows:\n{}",
            self.scrape_after.since(&self.scrape_before, "netobs_path_bytes_total"),
            self.changed()
        );
        Ok(())
    }

    fn path_growth(&self, unit: &str) -> i128 {
        let name = format!("netobs_path_{unit}_total");
        let off_loopback = |scrape: &Exposition| {
            whole(scrape.sum(&name, &[])) - whole(scrape.sum(&name, &[("path", "loopback")]))
        };
        off_loopback(&self.scrape_after) - off_loopback(&self.scrape_before)
    }

    /// How much the bytes of one kind of path grew.
    #[must_use]
    pub fn grown(&self, name: &str, labels: &[(&str, &str)]) -> i128 {
        whole(self.scrape_after.sum(name, labels)) - whole(self.scrape_before.sum(name, labels))
    }
}

/// What a row of the path table promises about a flow.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Its protocol.
    pub protocol: &'static str,
    /// The initiator's id and kind.
    pub source: (String, &'static str),
    /// The other side's id and kind.
    pub destination: (String, &'static str),
    /// How it travels.
    pub path: &'static str,
    /// What was translated.
    pub nat: &'static str,
    /// What was addressed; `None` where the contract leaves it open.
    pub via: Option<&'static str>,
    /// Hooks of the forward direction in order, as `interface hook`.
    pub forward: Vec<String>,
    /// Hooks of the reply direction.
    pub reply: Vec<String>,
    /// The interface whose hops are the flow's own numbers.
    pub counted_at: String,
}

impl Expected {
    /// Compares a flow with the promise; every deviation at once.
    ///
    /// # Errors
    /// With what deviates.
    pub fn compare(&self, flow: &Flow) -> Result<()> {
        let mut wrong = String::new();
        let mut differ = |what: &str, is: &dyn std::fmt::Debug, should: &dyn std::fmt::Debug| {
            if format!("{is:?}") != format!("{should:?}") {
                wrong.push_str(&format!("    {what} is {is:?}, should be {should:?}\n"));
            }
        };
        let named = |side: &flows::Side| (side.endpoint.clone().unwrap_or_default(), side.kind.clone());
        differ("protocol", &flow.protocol, &self.protocol);
        differ("source", &named(&flow.source), &self.source);
        differ("destination", &named(&flow.destination), &self.destination);
        differ("path", &flow.path, &self.path);
        differ("nat", &flow.nat, &self.nat);
        if let Some(via) = self.via {
            differ("via", &flow.via, &via);
        }
        differ("forward way", &flow.way("forward"), &self.forward);
        differ("reply way", &flow.way("reply"), &self.reply);
        for (direction, own) in [("forward", flow.forward), ("reply", flow.reply)] {
            differ(&format!("{direction} numbers"), &own, &self.at_counting_hop(flow, direction));
        }
        ensure!(wrong.is_empty(), "the flow deviates:\n{wrong}  flow:\n    {}", flow.brief());
        Ok(())
    }

    /// `lo` shows every packet at two hooks and counts at egress.
    fn at_counting_hop(&self, flow: &Flow, direction: &str) -> Carried {
        let hops =
            flow.hops.iter().filter(|hop| hop.direction == direction && hop.interface == self.counted_at);
        let mut counting = hops.filter(|hop| hop.role != "loopback" || hop.hook == "egress");
        counting.next().map(|hop| hop.carried).unwrap_or_default()
    }
}
