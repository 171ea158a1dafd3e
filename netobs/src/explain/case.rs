//! Conversations, drops and configuration → what is known of one pair: its worst verdict, where its packets stopped,
//! by which interfaces they should go. Pure.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use netobs_common::wire::Proto;

use super::asked::Asked;
use crate::{
    host::facts::{
        Link,
        stack::{Stack, Way},
    },
    report::{
        DropClass, DropHop, DropRow, Evidence, EvidenceKind, FlowRow, HopDirection, HopRow, Party,
        ProtocolName, Report, Verdict,
    },
};

/// How long after its last evidence a pair leaves a bad verdict.
const BAD_FOR: SignedDuration = SignedDuration::from_secs(30);

/// The configurations of the stacks on the way.
#[derive(Clone, Copy, Debug)]
pub struct Stacks<'a> {
    /// The host's.
    pub host: &'a Stack,
    /// The source's own, where it has one that could be read.
    pub source: Option<&'a Stack>,
    /// The destination's own, likewise.
    pub destination: Option<&'a Stack>,
}

/// Everything known about one question.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) asked: &'a Asked,
    pub(super) report: &'a Report,
    pub(super) stacks: Stacks<'a>,
    /// What can be said.
    pub(super) verdict: Verdict,
    /// The conversation that says it, or the latest one.
    pub(super) flow: Option<&'a FlowRow>,
    /// What the kernel dropped of the pair's packets lately, from the source to the destination.
    pub(super) drops: Vec<&'a DropRow>,
}

impl<'a> Case<'a> {
    pub(super) fn of(asked: &'a Asked, report: &'a Report, stacks: Stacks<'a>) -> Self {
        let fresh = |last_seen: Timestamp| report.time.duration_since(last_seen) < BAD_FOR;
        let flows = report.flows.iter().map(|flow| &**flow).filter(|flow| asked.means(flow));
        let told = |flow: &FlowRow| {
            let is_bad = !matches!(flow.verdict, Verdict::Reachable | Verdict::Unknown);
            if is_bad && !fresh(flow.last_seen) { Verdict::Unknown } else { flow.verdict }
        };
        // The table of verdicts is in the order in which they apply; of equal ones the latest speaks.
        let worst = flows
            .map(|flow| (told(flow), flow))
            .min_by_key(|(verdict, flow)| (*verdict, std::cmp::Reverse(flow.last_seen)));
        let ours = report.drops.iter().filter(|one| {
            fresh(one.last_seen)
                && asked.source.is(&one.source)
                && asked.destination.is(&one.destination)
                && asked.port.is_none_or(|port| one.destination.port == port || one.destination.port == 0)
        });
        let drops: Vec<&DropRow> = ours.collect();
        let by_drop = drops.iter().map(|one| match one.class {
            DropClass::Dropped => Verdict::Dropped,
            DropClass::Answered => Verdict::Refused,
            DropClass::Unreachable => Verdict::Unreachable,
        });
        let by_flow = worst.map_or(Verdict::Unknown, |(verdict, _)| verdict);
        // Drops are taken for the pair's verdict where no conversation could be told of: what the host's own firewall
        // keeps in passes no hook.
        let verdict = match by_flow {
            Verdict::Unknown => by_drop.min().unwrap_or(Verdict::Unknown),
            other => other,
        };
        Self { asked, report, stacks, verdict, flow: worst.map(|(_, flow)| flow), drops }
    }

    /// Whether something is wrong.
    pub(super) fn is_bad(&self) -> bool {
        !matches!(self.verdict, Verdict::Reachable | Verdict::Unknown)
    }

    pub(super) fn protocol(&self) -> Option<ProtocolName> {
        self.flow.map(|flow| flow.protocol).or_else(|| Some(self.drops.first()?.protocol))
    }

    /// The protocol's number, where sockets can be found by it.
    pub(super) fn proto(&self) -> Option<Proto> {
        match self.protocol()? {
            ProtocolName::Tcp => Some(Proto::TCP),
            ProtocolName::Udp => Some(Proto::UDP),
            _ => None,
        }
    }

    /// Who was seen sending.
    pub(super) fn sender(&self) -> Option<&'a Party> {
        self.flow.map(|flow| &flow.source).or_else(|| Some(&self.drops.first()?.source))
    }

    /// The source's address.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.sender()
            .map(|party| party.address)
            .or(self.asked.source.address)
            .or_else(|| self.asked.source.endpoint(&self.report.endpoints)?.addresses().next())
    }

    /// The destination's address, after translation as far as one was seen.
    pub(super) fn destination(&self) -> Option<IpAddr> {
        self.flow
            .map(|flow| flow.destination.address)
            .or_else(|| Some(self.drops.first()?.destination.address))
            .or(self.asked.destination.address)
            .or_else(|| self.asked.destination.endpoint(&self.report.endpoints)?.addresses().next())
    }

    /// The port at the destination, after translation as far as one was seen.
    pub(super) fn port(&self) -> Option<u16> {
        let seen = self.flow.map(|flow| flow.destination.port).filter(|port| *port != 0);
        seen.or(self.asked.port)
    }

    /// A drop for one of these reasons.
    pub(super) fn dropped(&self, reasons: &[&str]) -> Option<&'a DropRow> {
        self.drops.iter().copied().find(|one| reasons.contains(&&*one.reason))
    }

    /// Evidence of a kind.
    pub(super) fn evidence(&self, kind: EvidenceKind) -> Option<&'a Evidence> {
        self.flow?.evidence.iter().find(|one| one.kind == kind)
    }

    /// The last hop that saw packets from the source to the destination.
    pub(super) fn last_forward(&self) -> Option<&'a HopRow> {
        self.flow?.hops.iter().rfind(|hop| hop.direction == HopDirection::Forward && hop.packets > 0)
    }

    /// Where packets were seen last: for what was dropped, before the drop.
    pub(super) fn last_hop(&self) -> Option<DropHop> {
        let by_drop = self.drops.iter().find_map(|one| one.last_hop.clone());
        let by_flow = || {
            let hop = self.last_forward()?;
            Some(DropHop { interface: hop.interface.clone(), hook: hop.hook, role: hop.role })
        };
        if self.verdict == Verdict::Dropped { by_drop.or_else(by_flow) } else { by_flow().or(by_drop) }
    }

    /// The host's interface that the source's packets come in by: its own, and its bridge where it is a port.
    pub(super) fn entry(&self) -> Option<(&'a Link, Option<&'a Link>)> {
        self.host_side(self.asked.source.endpoint(&self.report.endpoints)?, self.source())
    }

    /// The host's interface behind which the destination is, likewise.
    pub(super) fn exit(&self) -> Option<(&'a Link, Option<&'a Link>)> {
        self.host_side(self.asked.destination.endpoint(&self.report.endpoints)?, self.destination())
    }

    fn host_side(
        &self,
        endpoint: &crate::report::EndpointRow,
        address: Option<IpAddr>,
    ) -> Option<(&'a Link, Option<&'a Link>)> {
        let facts = &self.stacks.host.facts;
        let has = |addresses: &[IpAddr]| address.is_none_or(|one| addresses.contains(&one));
        let own =
            endpoint.interfaces.iter().find(|one| has(&one.addresses)).or(endpoint.interfaces.first())?;
        let link = facts.links.get(&own.ifindex)?;
        Some((link, facts.bridge_of(link.index).and_then(|bridge| facts.links.get(&bridge))))
    }

    /// The interface by which the host's stack hears from the source: the bridge, or the source's own.
    pub(super) fn comes_by(&self) -> Option<&'a Link> {
        self.entry().map(|(own, bridge)| bridge.unwrap_or(own))
    }

    /// The interface by which the host sends what is for the destination.
    pub(super) fn goes_by(&self) -> Option<&'a Link> {
        let iif = self.comes_by().map(|link| link.name.as_str());
        let route =
            self.stacks.host.route(Way { source: self.source(), destination: self.destination()?, iif })?;
        self.stacks.host.facts.links.get(&route.link?)
    }

    /// Whether the host forwards between two of its interfaces what the source sends.
    pub(super) fn is_routed(&self) -> bool {
        let (Some(by), Some(to)) = (self.comes_by(), self.goes_by()) else { return false };
        by.index != to.index && self.destination().is_some_and(|one| !self.stacks.host.facts.is_local(one))
    }
}
