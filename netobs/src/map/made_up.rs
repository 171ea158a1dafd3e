//! Made-up hosts for the tests of the map. Names and addresses are nobody's.

use crate::report::*;

/// A host of these interfaces, endpoints and flows.
pub(crate) struct Site(pub(crate) Report);

impl Site {
    /// A host with a loopback device (1), an uplink `up0` (2) and nobody on it.
    pub(crate) fn new() -> Self {
        let mut site = Self(Report::empty("alpha".into(), "2026-01-02T03:04:06Z".parse().unwrap()));
        site.endpoint("host", &[], None);
        site.link(1, "lo", "loopback", Some(RoleName::Loopback), None);
        site.link(2, "up0", "physical", Some(RoleName::Uplink), None);
        site
    }

    pub(crate) fn link(
        &mut self,
        ifindex: u32,
        name: &str,
        kind: &str,
        role: Option<RoleName>,
        bridge: Option<u32>,
    ) -> &mut LinkRow {
        let (name, kind) = (name.into(), kind.into());
        self.0.links.push(LinkRow { name, ifindex, kind, role, bridge, lower: None });
        self.0.links.last_mut().unwrap()
    }

    pub(crate) fn bridge(&mut self, ifindex: u32, name: &str) {
        self.link(ifindex, name, "bridge", Some(RoleName::Bridge), None);
    }

    /// An endpoint by its id, behind these interfaces.
    pub(crate) fn endpoint(&mut self, id: &str, interfaces: &[u32], mode: Option<&str>) -> &mut EndpointRow {
        let row = |ifindex: &u32| {
            let name = self.0.links.iter().find(|link| link.ifindex == *ifindex).unwrap().name.clone();
            InterfaceRow { name, ifindex: *ifindex, mac: None, addresses: Vec::new(), mode: None }
        };
        let interfaces = interfaces.iter().map(row).collect();
        self.0.endpoints.push(EndpointRow {
            id: id.into(),
            kind: kind(id),
            name: id.rsplit('/').next().unwrap().into(),
            namespace: None,
            workload: None,
            uid: None,
            runtime: None,
            mode: mode.map(Into::into),
            netns: None,
            interfaces,
            provenance: vec!["netns".into()],
            containers: Vec::new(),
        });
        self.0.endpoints.last_mut().unwrap()
    }

    /// A container behind a veth that is a port of a bridge, or of none.
    pub(crate) fn container(&mut self, name: &str, ifindex: u32, bridge: Option<u32>) -> &mut EndpointRow {
        self.link(ifindex, &format!("veth{ifindex}"), "veth", Some(RoleName::Veth), bridge);
        self.endpoint(&format!("container/{name}"), &[ifindex], Some("bridge"))
    }

    /// A flow at 1,000 bit/s there and 500 back, seen at these interfaces.
    pub(crate) fn flow(&mut self, source: &str, destination: &str, path: Path, seen: &[u32]) -> &mut FlowRow {
        let party = |id: &str, address: &str| Party {
            endpoint: id.into(),
            kind: kind(id),
            address: address.parse().unwrap(),
            port: 80,
            process: None,
        };
        let amounts = |bits_per_second| Amounts { packets: 1, segments: 1, bytes: 100, bits_per_second };
        let hop = |ifindex: &u32| {
            let link = self.0.links.iter().find(|link| link.ifindex == *ifindex).unwrap();
            HopRow {
                direction: HopDirection::Forward,
                interface: link.name.clone(),
                ifindex: *ifindex,
                inside: None,
                hook: HookName::Ingress,
                role: link.role.unwrap_or(RoleName::Other),
                encapsulation: None,
                source: "192.0.2.1:1".into(),
                destination: "192.0.2.2:80".into(),
                packets: 1,
                segments: 1,
                bytes: 100,
                lost_segments: None,
            }
        };
        let hops = seen.iter().map(hop).collect();
        self.0.flows.push(std::sync::Arc::new(FlowRow {
            id: format!("f{}", self.0.flows.len()).into(),
            source: party(source, "192.0.2.1"),
            destination: party(destination, "192.0.2.2"),
            initiator_by: InitiatorBy::Syn,
            original_destination: None,
            protocol: ProtocolName::Tcp,
            path,
            nat: Nat::None,
            via: Via::Direct,
            reporter: Reporter::Source,
            overlay: None,
            proxied_by: None,
            forward: amounts(1000.0),
            reply: amounts(500.0),
            hops,
            tcp: None,
            verdict: Verdict::Reachable,
            evidence: Vec::new(),
            first_seen: "2026-01-02T03:04:05Z".parse().unwrap(),
            last_seen: "2026-01-02T03:04:06Z".parse().unwrap(),
        }));
        std::sync::Arc::make_mut(self.0.flows.last_mut().unwrap())
    }
}

impl FlowRow {
    /// As [`Site::flow`], at another rate.
    pub(crate) fn at_rate(&mut self, bits_per_second: f64) -> &mut Self {
        (self.forward.bits_per_second, self.reply.bits_per_second) = (bits_per_second, 0.0);
        self
    }

    /// Inside a tunnel at the hop of this number.
    pub(crate) fn wrapped(&mut self, at: usize) -> &mut Self {
        self.hops[at].encapsulation = Some("vxlan".into());
        self.hops[at].source = "198.51.100.2:4789".into();
        self
    }

    /// Translated between the hop of this number and the one before.
    pub(crate) fn translated(&mut self, nat: Nat, from_hop: usize) -> &mut Self {
        self.nat = nat;
        for hop in self.hops.iter_mut().skip(from_hop) {
            hop.source = "198.51.100.2:1".into();
        }
        self
    }
}

fn kind(id: &str) -> KindName {
    match id.split('/').next() {
        Some("host" | "node") => KindName::Host,
        Some("container") => KindName::Container,
        Some("pod") => KindName::Pod,
        Some("vm") => KindName::Vm,
        Some("external") => KindName::External,
        _ => KindName::Unknown,
    }
}

/// A host with a little of everything.
pub(crate) fn small() -> Report {
    let mut site = Site::new();
    site.bridge(3, "docker0");
    site.bridge(4, "br-backend");
    site.bridge(5, "virbr0");
    for (name, ifindex, bridge) in [("web", 11, 3), ("plain", 12, 3), ("published", 13, 3), ("lonely", 14, 4)]
    {
        site.container(name, ifindex, Some(bridge));
    }
    site.link(15, "tap0", "tap", Some(RoleName::Tap), Some(5));
    site.endpoint("vm/db", &[15], Some("nat"));
    site.link(6, "vx100", "vxlan", Some(RoleName::Overlay), None).lower = Some(2);
    site.endpoint("container/hostnet", &[], Some("host"));
    site.endpoint("container/none", &[], Some("none"));
    site.endpoint("container/lan", &[2], Some("macvlan"));
    site.flow("container/plain", "container/web", Path::Bridge, &[12, 11]).at_rate(12_300_000.0);
    site.flow("container/plain", "external", Path::Uplink, &[12, 3, 2])
        .at_rate(450_000.0)
        .translated(Nat::Snat, 2);
    site.flow("external", "container/published", Path::Uplink, &[2, 3, 13]).translated(Nat::Dnat, 1);
    site.flow("host", "container/web", Path::HostDirect, &[3, 11]);
    site.flow("host", "host", Path::Loopback, &[1, 1]);
    site.flow("container/hostnet", "external/dns", Path::Uplink, &[2]);
    let refused = site.flow("vm/db", "container/lonely", Path::RoutedLocal, &[15, 5, 4, 14]).at_rate(0.0);
    refused.verdict = Verdict::Refused;
    site.flow("container/web", "node/beta", Path::RoutedRemote, &[11, 3, 2]).verdict = Verdict::Degraded;
    site.0
}

/// A host with 100 containers on three bridges; a third of them talk.
pub(crate) fn crowded() -> Report {
    let mut site = Site::new();
    let bridges = [(3, "docker0"), (4, "br-shop"), (5, "br-batch")];
    for (ifindex, name) in bridges {
        site.bridge(ifindex, name);
    }
    for number in 0..100_u32 {
        let (bridge, _) = bridges[number as usize % 3];
        let workload = ["front", "cart", "search", "mail", "cron"][number as usize % 5];
        let row = site.container(&format!("{workload}-{number}"), 100 + number, Some(bridge));
        (row.namespace, row.workload) = (Some("shop".into()), Some(workload.into()));
    }
    for number in (0..100_u32).step_by(3) {
        let row = |number: u32| site.0.endpoints[number as usize + 1].id.clone();
        let (source, next) = (row(number), row((number + 3) % 99));
        let rate = f64::from(number * number) * 1_000.0 + 900.0;
        let bridge = bridges[number as usize % 3].0;
        let (here, there) = (100 + number, 100 + (number + 3) % 99);
        site.flow(&source, &next, Path::Bridge, &[here, there]).at_rate(rate);
        if number % 2 == 0 {
            let out = site.flow(&source, "external", Path::Uplink, &[here, bridge, 2]).at_rate(rate / 7.0);
            out.translated(Nat::Snat, 2);
        }
    }
    std::sync::Arc::make_mut(&mut site.0.flows[4]).verdict = Verdict::Dropped;
    site.0
}
