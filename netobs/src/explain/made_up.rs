//! Small worlds for tests: a web server's container that asks a database's, on one bridge or across two, or somebody
//! outside; and what may go wrong with it.

pub(super) mod overlay;

use std::{net::IpAddr, sync::Arc};

use super::{Asked, Stacks, explain};
use crate::{
    host::facts::{
        Address, AddressScope, Link, Route, RouteKind,
        stack::{RoutingRule, RuleAction, Stack},
        table, test_links,
    },
    report::*,
};

const FIRST: &str = "2026-01-02T03:04:05Z";

pub(super) fn container(name: &str, address: &str) -> EndpointRow {
    EndpointRow {
        id: format!("container/{name}").into(),
        kind: KindName::Container,
        name: name.into(),
        namespace: None,
        workload: None,
        uid: Some("0123abcdef".into()),
        runtime: Some("docker".into()),
        mode: Some("bridge".into()),
        netns: Some(4_026_531_999),
        interfaces: vec![InterfaceRow {
            name: "va".into(),
            ifindex: 2,
            mac: None,
            addresses: vec![address.parse().unwrap()],
            mode: None,
        }],
        provenance: vec!["docker_api".into()],
        containers: Vec::new(),
    }
}

fn party(id: &str, address: &str, port: u16) -> Party {
    let kind = if id == "external" { KindName::External } else { KindName::Container };
    Party { endpoint: id.into(), kind, address: address.parse::<IpAddr>().unwrap(), port, process: None }
}

pub(super) fn flow(source: (&str, &str), destination: (&str, &str), port: u16) -> FlowRow {
    let amounts = Amounts { packets: 3, segments: 3, bytes: 300, bits_per_second: 0.0 };
    FlowRow {
        id: "f1".into(),
        source: party(source.0, source.1, 40_000),
        destination: party(destination.0, destination.1, port),
        initiator_by: InitiatorBy::Syn,
        original_destination: None,
        protocol: ProtocolName::Tcp,
        path: Path::Bridge,
        nat: Nat::None,
        via: Via::Direct,
        reporter: Reporter::Source,
        overlay: None,
        proxied_by: None,
        forward: amounts,
        reply: amounts,
        hops: Vec::new(),
        tcp: None,
        verdict: Verdict::Reachable,
        evidence: Vec::new(),
        first_seen: FIRST.parse().unwrap(),
        last_seen: "2026-01-02T03:04:06Z".parse().unwrap(),
    }
}

fn hop(interface: &str, ifindex: u32, hook: HookName, role: RoleName, direction: HopDirection) -> HopRow {
    HopRow {
        direction,
        interface: interface.into(),
        ifindex,
        inside: None,
        hook,
        role,
        encapsulation: None,
        source: "10.1.0.2:40000".into(),
        destination: "10.2.0.3:80".into(),
        packets: 3,
        segments: 3,
        bytes: 300,
        lost_segments: None,
    }
}

fn evidence(kind: EvidenceKind, count: u64, detail: Option<&str>) -> Evidence {
    let at = FIRST.parse().unwrap();
    Evidence { kind, count, first_seen: at, last_seen: at, hop: None, detail: detail.map(Into::into) }
}

/// A pair and everything around it.
pub(super) struct World {
    pub(super) endpoints: Vec<EndpointRow>,
    pub(super) host: Stack,
    /// The source's own, where it is read.
    pub(super) source: Option<Stack>,
    pub(super) destination: Stack,
    pub(super) flow: FlowRow,
    drops: Vec<DropRow>,
    from: &'static str,
    asked: &'static str,
}

impl World {
    /// Both on one bridge.
    pub(super) fn bridged() -> Self {
        let mut world = Self::empty(("container/db", "10.1.0.3"));
        world.link("br1", 3).port("va", 2, 3).port("vb", 5, 3).address(3, "10.1.0.1", 24);
        world.first_route("10.1.0.0/24", 3).first_route("0.0.0.0/0", 9);
        world.endpoints[1].interfaces[0].ifindex = 5;
        world.ways(&[("va", 2, HookName::Ingress), ("vb", 5, HookName::Egress)]);
        world
    }

    /// On two bridges of one host.
    pub(super) fn routed() -> Self {
        let mut world = Self::empty(("container/db", "10.2.0.3"));
        world.link("br1", 3).port("va", 2, 3).address(3, "10.1.0.1", 24);
        world.link("br2", 4).port("vb", 5, 4).address(4, "10.2.0.1", 24);
        world.first_route("0.0.0.0/0", 9).first_route("10.2.0.0/24", 4).first_route("10.1.0.0/24", 3);
        world.endpoints[1].interfaces[0].ifindex = 5;
        world.flow.path = Path::RoutedLocal;
        let (ingress, egress) = (HookName::Ingress, HookName::Egress);
        world.ways(&[("va", 2, ingress), ("br1", 3, ingress), ("br2", 4, egress), ("vb", 5, egress)]);
        world
    }

    /// Outside.
    pub(super) fn outward() -> Self {
        let mut world = Self::empty(("external", "203.0.113.9"));
        world.link("br1", 3).port("va", 2, 3).address(3, "10.1.0.1", 24).link("up0", 9);
        world.first_route("0.0.0.0/0", 9).first_route("10.1.0.0/24", 3);
        world.endpoints.truncate(1);
        world.flow.path = Path::Uplink;
        world.asked = "203.0.113.9:80";
        world.ways(&[
            ("va", 2, HookName::Ingress),
            ("br1", 3, HookName::Ingress),
            ("up0", 9, HookName::Egress),
        ]);
        world
    }

    fn empty(destination: (&str, &str)) -> Self {
        let mut host = Stack { inode: 1, ..Stack::default() };
        for (name, value) in [("net.ipv4.ip_forward", "1"), ("net.ipv4.conf.all.rp_filter", "0")] {
            host.sysctls.insert(name.into(), value.into());
        }
        for (priority, number) in [(0, table::LOCAL), (32_766, table::MAIN)] {
            let action = RuleAction::Table(number);
            host.rules.push(RoutingRule {
                v6: false,
                priority,
                source: None,
                destination: None,
                iif: None,
                oif: None,
                mark: None,
                suppress: None,
                more: false,
                inverted: false,
                action,
            });
        }
        Self {
            endpoints: vec![container("web", "10.1.0.2"), container("db", destination.1)],
            host,
            source: None,
            destination: Stack { inode: 2, ..Stack::default() },
            flow: flow(("container/web", "10.1.0.2"), destination, 80),
            drops: Vec::new(),
            from: "container/web",
            asked: "container/db:80",
        }
    }

    pub(super) fn link(&mut self, name: &str, index: u32) -> &mut Self {
        let link = test_links::bridge(index, name);
        self.host.facts.links.insert(index, link);
        self
    }

    fn port(&mut self, name: &str, index: u32, bridge: u32) -> &mut Self {
        let link = Link { master: Some(bridge), ..test_links::veth(index, name) };
        self.host.facts.links.insert(index, link);
        self
    }

    pub(super) fn address(&mut self, link: u32, address: &str, prefix: u8) -> &mut Self {
        let one = Address {
            link,
            address: address.parse().unwrap(),
            prefix,
            scope: AddressScope::Global,
            peer: None,
            broadcast: None,
        };
        Arc::make_mut(&mut self.host.facts.addresses).insert(one.key(), one);
        self
    }

    /// Before all others.
    pub(super) fn first_route(&mut self, destination: &str, link: u32) -> &mut Self {
        let route = Route {
            table: table::MAIN,
            destination: destination.parse().unwrap(),
            metric: 0,
            link: Some(link),
            gateway: None,
            preferred_source: None,
            kind: RouteKind::Unicast,
        };
        Arc::make_mut(&mut self.host.facts.routes).insert(0, route);
        self
    }

    /// The source's own stack is read, and has this route on its only interface.
    pub(super) fn own_route(&mut self, destination: &str) -> &mut Self {
        let mut own = Self::empty(("container/db", "10.1.0.3"));
        own.host.inode = 3;
        own.host.facts.links.insert(2, test_links::veth(2, "eth0"));
        own.first_route(destination, 2);
        self.source = Some(own.host);
        self
    }

    fn ways(&mut self, forward: &[(&str, u32, HookName)]) {
        let role = |name: &str| match name {
            _ if name.starts_with("br") => RoleName::Bridge,
            _ if name.starts_with("up") => RoleName::Uplink,
            _ if name.starts_with("vx") => RoleName::Overlay,
            _ => RoleName::Veth,
        };
        let there = forward
            .iter()
            .map(|(name, index, hook)| hop(name, *index, *hook, role(name), HopDirection::Forward));
        let back = forward.iter().rev().map(|(name, index, hook)| {
            let hook = if *hook == HookName::Ingress { HookName::Egress } else { HookName::Ingress };
            hop(name, *index, hook, role(name), HopDirection::Reply)
        });
        self.flow.hops = there.chain(back).collect();
    }

    /// Its packets are seen there, and nowhere after it.
    pub(super) fn stops_at(&mut self, _name: &str, index: u32) -> &mut Self {
        let hops = &mut self.flow.hops;
        hops.retain(|hop| hop.direction == HopDirection::Forward);
        let last = hops.iter().position(|hop| hop.ifindex == index).unwrap();
        hops.truncate(last + 1);
        self.flow.reply = Amounts::default();
        self.flow.verdict = Verdict::Unanswered;
        self.flow.evidence = vec![evidence(EvidenceKind::SynRetransmit, 2, None)];
        self
    }

    pub(super) fn unanswered(&mut self, name: &str, index: u32) -> &mut Self {
        self.stops_at(name, index)
    }

    /// The source asks for the destination's hardware address so often, and the bridge floods it.
    pub(super) fn asked_in_vain(&mut self, times: u64) -> &mut Self {
        self.flow.hops.retain(|hop| hop.direction == HopDirection::Forward);
        self.flow.protocol = ProtocolName::Arp;
        (self.flow.source.port, self.flow.destination.port) = (0, 0);
        self.flow.reply = Amounts::default();
        self.flow.verdict = Verdict::Unreachable;
        let detail = format!("{} did not answer", self.flow.destination.address);
        self.flow.evidence = vec![evidence(EvidenceKind::NeighborUnanswered, times, Some(&detail))];
        self
    }

    /// Its packets wait for one who does not answer.
    pub(super) fn neighbour_unanswered(&mut self, detail: &str) -> &mut Self {
        self.flow.verdict = Verdict::Unreachable;
        self.flow.evidence.push(evidence(EvidenceKind::NeighborUnanswered, 1, Some(detail)));
        self
    }

    /// Its destination was translated: it was opened to this one.
    pub(super) fn opened_to(&mut self, address: &str, port: u16) -> &mut Self {
        let address = address.parse().unwrap();
        self.flow.original_destination = Some(OriginalDestination { address, port, service: None });
        self.flow.nat = Nat::Dnat;
        self
    }

    pub(super) fn translated(&mut self) -> &mut Self {
        self.flow.nat = Nat::Snat;
        self
    }

    /// The kernel says so.
    pub(super) fn dropped(&mut self, reason: &str, interface: &str) -> &mut Self {
        let class = match reason {
            "ip_innoroutes" | "ip_outnoroutes" | "neigh_failed" => DropClass::Unreachable,
            _ => DropClass::Dropped,
        };
        self.flow.verdict = if class == DropClass::Dropped { Verdict::Dropped } else { Verdict::Unreachable };
        self.flow.evidence.push(evidence(EvidenceKind::Drop, 3, Some(reason)));
        let role = if interface.starts_with("br") { RoleName::Bridge } else { RoleName::Veth };
        self.drops.push(DropRow {
            source: self.flow.source.clone(),
            destination: self.flow.destination.clone(),
            protocol: ProtocolName::Tcp,
            reason: reason.into(),
            class,
            location: None,
            inside: None,
            last_hop: Some(DropHop { interface: interface.into(), hook: HookName::Ingress, role }),
            expected_next_hop: None,
            attempted: None,
            packets: 3,
            bytes: 180,
            first_seen: FIRST.parse().unwrap(),
            last_seen: FIRST.parse().unwrap(),
        });
        self
    }

    /// The kernel drops what no conversation tells of, to that port; the conversation there is goes on.
    pub(super) fn attempt_dropped(&mut self, reason: &str, port: u16) -> &mut Self {
        let flow = self.flow.clone();
        self.dropped(reason, "br1");
        self.flow = flow;
        if let Some(one) = self.drops.last_mut() {
            (one.attempted, one.last_hop) = (Some(one.last_seen), None);
            one.destination.port = port;
        }
        self
    }

    /// It is the answer that is dropped.
    pub(super) fn of_answer(&mut self) -> &mut Self {
        for one in &mut self.drops {
            std::mem::swap(&mut one.source, &mut one.destination);
        }
        self
    }

    /// It is dropped inside the destination's own stack.
    pub(super) fn inside(&mut self) -> &mut Self {
        self.drops.iter_mut().for_each(|one| one.inside = Some("container/db".into()));
        self
    }

    /// The destination answers with a reset.
    pub(super) fn refused(&mut self) -> &mut Self {
        self.flow.verdict = Verdict::Refused;
        self.flow.evidence = vec![evidence(EvidenceKind::Rst, 1, Some("sent by the destination"))];
        self
    }

    pub(super) fn explained(&self) -> Explanation {
        let mut report = Report::empty("alpha".into(), "2026-01-02T03:04:07Z".parse().unwrap());
        report.endpoints.clone_from(&self.endpoints);
        report.flows = vec![Arc::new(self.flow.clone())];
        report.drops.clone_from(&self.drops);
        let asked = self.asked.strip_prefix("container/").filter(|_| self.endpoints.len() < 2);
        let address = self.flow.destination.address.to_string();
        let destination = if asked.is_some() { address.as_str() } else { self.asked };
        let asked = Asked::of(self.from, destination, &report).unwrap();
        let stacks =
            Stacks { host: &self.host, source: self.source.as_ref(), destination: Some(&self.destination) };
        explain(&asked, &report, stacks)
    }

    pub(super) fn causes(&self) -> Vec<Cause> {
        self.explained().causes
    }

    /// The first cause and how far it is proven.
    pub(super) fn first(&self) -> (CauseName, Confidence) {
        let causes = self.causes();
        let first = causes.first().unwrap_or_else(|| panic!("no cause: {:?}", self.explained()));
        (first.cause, first.confidence)
    }
}
