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
        DropClass, DropHop, DropRow, Evidence, EvidenceKind, FlowRow, HookName, HopDirection, HopRow,
        KindName, Party, Path, ProtocolName, Report, Verdict,
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
    /// What the kernel dropped lately of what this is about, there or back.
    pub(super) drops: Vec<&'a DropRow>,
}

/// From here up the kernel chooses ports for those that ask: rows of drops have 0 for them.
const CHOSEN_PORTS: u16 = 32_768;

impl<'a> Case<'a> {
    pub(super) fn of(asked: &'a Asked, report: &'a Report, stacks: Stacks<'a>) -> Self {
        let fresh = |last_seen: Timestamp| report.time.duration_since(last_seen) < BAD_FOR;
        let recent = |last_seen: Timestamp| asked.since.is_none_or(|since| last_seen >= since);
        let flows = report.flows.iter().map(|flow| &**flow).filter(|flow| asked.means(flow));
        let told = |flow: &FlowRow| {
            let is_bad = !matches!(flow.verdict, Verdict::Reachable | Verdict::Unknown);
            if is_bad && !fresh(flow.last_seen) { Verdict::Unknown } else { flow.verdict }
        };
        // The table of verdicts is in the order in which they apply; of equal ones the latest speaks, and a question for
        // the neighbour only where nothing else does.
        let worst = flows.map(|flow| (told(flow), flow)).min_by_key(|(verdict, flow)| {
            (*verdict, flow.is_vain_question(), std::cmp::Reverse(flow.last_seen))
        });
        let is_port = |port: u16, wanted: u16| {
            // What goes to no port, as an echo, is asked for without one.
            port == wanted || port == 0 && wanted >= CHOSEN_PORTS
        };
        let there = |one: &&DropRow| {
            asked.source.is(&one.source)
                && asked.destination.is(&one.destination)
                && asked.port.is_none_or(|port| is_port(one.destination.port, port))
                && asked.protocol.is_none_or(|protocol| one.protocol == protocol)
        };
        let back = |one: &&DropRow| asked.source.is(&one.destination) && asked.destination.is(&one.source);
        let all = || report.drops.iter().filter(|one| fresh(one.last_seen) && recent(one.last_seen));
        // Attempts of which no conversation tells: what the host's own firewall keeps in passes no hook.
        let alone = |one: &&DropRow| one.attempted.is_some_and(|at| fresh(at) && recent(at)) && there(one);
        let of_class = |class| match class {
            DropClass::Dropped => Verdict::Dropped,
            DropClass::Answered => Verdict::Refused,
            DropClass::Unreachable => Verdict::Unreachable,
        };
        let by_drop = all().filter(alone).map(|one| of_class(one.class)).min();
        let by_flow = worst.map_or(Verdict::Unknown, |(verdict, _)| verdict);
        let by_question = worst.is_some_and(|(_, flow)| flow.is_vain_question());
        let is_told = |verdict: &Verdict| *verdict < by_flow || by_question && *verdict == by_flow;
        if let Some(verdict) = by_drop.filter(is_told) {
            let drops = all().filter(alone).filter(|one| of_class(one.class) == verdict).collect();
            return Self { asked, report, stacks, verdict, flow: None, drops };
        }
        let flow = worst.map(|(_, flow)| flow);
        let of_flow = |one: &&DropRow| {
            flow.is_some_and(|flow| {
                let is_its = flow.evidence.iter().any(|fact| fact.kind == EvidenceKind::Drop);
                let is_answer = flow.verdict == Verdict::Dropped || flow.verdict == Verdict::OneWay;
                let port = |port: u16| port == 0 || port == flow.destination.port;
                let forward = there(one) && port(one.destination.port);
                let reply = is_answer && back(one) && port(one.source.port);
                is_its && one.protocol == flow.protocol && (forward || reply)
            })
        };
        let drops = all().filter(of_flow).collect();
        // What packets leave open the sender's socket may know.
        let verdict = match by_flow {
            Verdict::Unknown => asked.told.unwrap_or(by_flow),
            seen => seen,
        };
        Self { asked, report, stacks, verdict, flow, drops }
    }

    /// Whether something seen last then still says something.
    pub(super) fn is_fresh(&self, last_seen: Timestamp) -> bool {
        self.report.time.duration_since(last_seen) < BAD_FOR
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

    /// A drop for one of these reasons, wherever.
    pub(super) fn dropped(&self, reasons: &[&str]) -> Option<&'a DropRow> {
        self.drops.iter().copied().find(|one| reasons.contains(&&*one.reason))
    }

    /// A drop for one of these reasons in the host's own stack.
    pub(super) fn dropped_here(&self, reasons: &[&str]) -> Option<&'a DropRow> {
        self.drops.iter().copied().find(|one| one.inside.is_none() && reasons.contains(&&*one.reason))
    }

    /// Whether what was dropped were the destination's packets.
    pub(super) fn is_of_answer(&self, drop: &DropRow) -> bool {
        !self.asked.source.is(&drop.source)
    }

    /// Evidence of a kind.
    pub(super) fn evidence(&self, kind: EvidenceKind) -> Option<&'a Evidence> {
        self.flow?.evidence.iter().find(|one| one.kind == kind)
    }

    /// Whether something that decides about ways could not be read: then nothing is missing for certain.
    pub(super) fn is_read_in_part(&self, stack: &Stack) -> bool {
        stack.unread.iter().any(|line| line.contains("routes") || line.contains("rules of policy"))
    }

    /// The last hop that saw packets from the source to the destination.
    pub(super) fn last_forward(&self) -> Option<&'a HopRow> {
        self.last_of(HopDirection::Forward)
    }

    fn last_of(&self, direction: HopDirection) -> Option<&'a HopRow> {
        let flow = self.flow?;
        let mut hops = flow.hops.iter().filter(|hop| hop.direction == direction && hop.packets > 0);
        // A bridge floods a question: all that is behind the first hop was asked at once.
        if flow.is_vain_question() { hops.next() } else { hops.next_back() }
    }

    /// Whether a hop of the host's own saw packets from the source to the destination.
    pub(super) fn passed(&self, link: u32, hook: HookName) -> bool {
        let passed = |hop: &HopRow| {
            hop.inside.is_none()
                && hop.ifindex == link
                && hop.hook == hook
                && hop.direction == HopDirection::Forward
                && hop.packets > 0
        };
        self.flow.is_some_and(|flow| flow.hops.iter().any(passed))
    }

    /// Whether the host has, or would have, to route what the source sends: it is neither switched nor passed by.
    pub(super) fn asks_the_hosts_routes(&self) -> bool {
        let switched = self.flow.is_some_and(|flow| matches!(flow.path, Path::Bridge | Path::Macvlan));
        let one_bridge = match (self.entry(), self.exit()) {
            (Some((_, Some(one))), Some((_, Some(other)))) => one.index == other.index,
            _ => false,
        };
        !switched && !one_bridge
    }

    /// Whether it is the answer that does not arrive. Who sends again is not heard; who sends its SYN again although
    /// there is an answer does not hear that.
    fn is_answer_lost(&self) -> bool {
        let again = self.evidence(EvidenceKind::Retransmit).and_then(|one| one.detail.as_deref());
        let has = |kind| self.evidence(kind).is_some();
        let unheard =
            has(EvidenceKind::SynRetransmit) && has(EvidenceKind::SynAck) && !has(EvidenceKind::Handshake);
        self.verdict == Verdict::OneWay && (again != Some("forward") || unheard)
    }

    /// The last hop that saw what does not arrive. Where only some of it gets on, that is the hop at which the rest
    /// was seen last.
    pub(super) fn lost_at(&self) -> Option<&'a HopRow> {
        let direction = if self.is_answer_lost() { HopDirection::Reply } else { HopDirection::Forward };
        self.loses(direction).or_else(|| self.last_of(direction))
    }

    fn loses(&self, direction: HopDirection) -> Option<&'a HopRow> {
        let flow = self.flow.filter(|_| self.verdict == Verdict::OneWay)?;
        let lossy = flow.hops.iter().filter(|hop| hop.direction == direction && hop.lost_segments > Some(0));
        lossy.max_by_key(|hop| hop.lost_segments)
    }

    /// Where packets were seen last: for what was dropped, before the drop; where the answer does not arrive, the
    /// answer's.
    pub(super) fn last_hop(&self) -> Option<DropHop> {
        let by_drop = self.drops.iter().find_map(|one| one.last_hop.clone());
        let by_flow = || self.lost_at().map(place);
        if self.verdict == Verdict::Dropped { by_drop.or_else(by_flow) } else { by_flow().or(by_drop) }
    }

    /// Where they should have been seen next, if that is known.
    pub(super) fn expected_next_hop(&self) -> Option<DropHop> {
        let by_drop = || self.drops.iter().find_map(|one| one.expected_next_hop.clone());
        let after = || {
            let at = self.lost_at().filter(|hop| hop.lost_segments > Some(0))?;
            let mut hops = self.flow?.hops.iter().filter(|hop| hop.direction == at.direction);
            hops.find(|hop| *hop == at)?;
            hops.next().map(place)
        };
        after().or_else(by_drop)
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
        // What is for the host itself leaves by none of its interfaces.
        if endpoint.kind == KindName::Host {
            return None;
        }
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
        by.index != to.index
            && self.asks_the_hosts_routes()
            && self.destination().is_some_and(|one| !self.stacks.host.facts.is_local(one))
    }
}

fn place(hop: &HopRow) -> DropHop {
    DropHop { interface: hop.interface.clone(), hook: hop.hook, role: hop.role }
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::World;
    use crate::report::{CauseName, Confidence, Verdict};

    #[test]
    fn an_attempt_that_no_conversation_tells_of_decides_over_one_that_went_well() {
        let mut world = World::bridged();
        assert_eq!(world.explained().verdict, Verdict::Reachable);
        world.attempt_dropped("netfilter_drop", 80);
        let answer = world.explained();
        assert_eq!(answer.verdict, Verdict::Dropped);
        assert!(answer.hops.is_empty() && answer.last_hop.is_none(), "it passed no hook");
        assert_eq!(answer.evidence[0].detail.as_deref(), Some("netfilter_drop"));
    }

    #[test]
    fn what_is_dropped_at_another_port_explains_nothing() {
        let mut world = World::bridged();
        world.attempt_dropped("netfilter_drop", 443);
        assert_eq!(world.explained().verdict, Verdict::Reachable);
        let mut world = World::bridged();
        // A port that the kernel chose is not told in rows of drops; 80 is none of those.
        world.attempt_dropped("netfilter_drop", 0);
        assert_eq!(world.explained().verdict, Verdict::Reachable);
    }

    #[test]
    fn an_answer_that_is_dropped_on_its_way_back_is_explained() {
        let mut world = World::routed();
        world.host.sysctls.insert("net.ipv4.conf.br2.rp_filter".into(), "1".into());
        world.first_route("10.2.0.3/32", 3).dropped("ip_rpfilter", "br2").of_answer();
        assert_eq!(world.first(), (CauseName::ReversePathFilter, Confidence::Certain));
        let answer = world.explained();
        assert!(answer.causes[0].observed.contains("of the answer from 10.2.0.3"), "{answer:?}");
        assert_eq!(answer.last_hop.map(|hop| hop.interface), Some("br2".into()));
    }

    #[test]
    fn what_an_endpoints_own_stack_drops_is_not_the_hosts_doing() {
        let mut world = World::routed();
        world.host.sysctls.insert("net.ipv4.conf.br1.forwarding".into(), "0".into());
        world.dropped("ip_rpfilter", "br1").inside();
        assert!(world.causes().is_empty(), "{:?}", world.causes());
    }

    #[test]
    fn on_one_bridge_the_hosts_routes_say_nothing() {
        let mut world = World::bridged();
        world.address(7, "10.1.0.1", 25).link("br7", 7).first_route("10.1.0.0/25", 7).refused();
        assert_eq!(world.first().0, CauseName::NoListener, "{:?}", world.causes());
        world.stops_at("va", 2);
        world.host.sysctls.insert("net.ipv4.conf.br1.forwarding".into(), "0".into());
        assert!(world.causes().is_empty(), "{:?}", world.causes());
    }

    #[test]
    fn who_rejects_in_the_destinations_name_is_not_the_destination() {
        let mut world = World::routed();
        world.refused().dropped("netfilter_drop", "br1");
        world.flow.verdict = Verdict::Refused;
        assert!(world.causes().is_empty(), "{:?}", world.causes());
    }
}
