//! Worlds of two nodes: the web server's container and somebody behind the other node, by a VXLAN device over the uplink.

use std::{net::IpAddr, sync::Arc};

use super::{World, evidence, flow, party};
use crate::{
    host::facts::{FdbEntry, Link, LinkKind, Neighbour, NeighbourState, OuterDf, Route, Vxlan, test_links},
    report::*,
};

/// This node, and the other one.
pub(crate) const HERE: &str = "198.51.100.2";
pub(crate) const THERE: &str = "198.51.100.3";
const FAR: (&str, &str) = ("pod/lab/far", "10.9.0.3");
const DEVICE: u32 = 6;
const UPLINK: u32 = 9;

impl World {
    /// The container asks somebody behind the other node.
    pub(crate) fn overlaid() -> Self {
        let mut world = Self::empty(FAR);
        world.overlay((HERE, THERE));
        let (ingress, egress) = (HookName::Ingress, HookName::Egress);
        world.ways(&[
            ("va", 2, ingress),
            ("br1", 3, ingress),
            ("vx1", DEVICE, egress),
            ("up0", UPLINK, egress),
        ]);
        world.asked = "10.9.0.3:80";
        world
    }

    /// Somebody behind the other node asks the container.
    pub(crate) fn called_upon() -> Self {
        let mut world = Self::empty(FAR);
        world.flow = flow(FAR, ("container/web", "10.1.0.2"), 80);
        world.overlay((THERE, HERE));
        let (ingress, egress) = (HookName::Ingress, HookName::Egress);
        world.ways(&[
            ("up0", UPLINK, ingress),
            ("vx1", DEVICE, ingress),
            ("br1", 3, egress),
            ("va", 2, egress),
        ]);
        (world.from, world.asked) = ("10.9.0.3", "container/web:80");
        world
    }

    fn overlay(&mut self, (source, destination): (&str, &str)) {
        self.link("br1", 3).port("va", 2, 3).address(3, "10.1.0.1", 24).link("up0", UPLINK);
        self.address(UPLINK, HERE, 24);
        let vxlan = Vxlan {
            vni: 100,
            port: 8_472,
            lower: Some(UPLINK),
            local: HERE.parse().ok(),
            ..Vxlan::default()
        };
        let kind = LinkKind::Vxlan(vxlan);
        self.host.facts.links.insert(DEVICE, Link { kind, mtu: 1_450, ..test_links::veth(DEVICE, "vx1") });
        self.first_route("0.0.0.0/0", UPLINK)
            .first_route("10.1.0.0/24", 3)
            .first_route("198.51.100.0/24", UPLINK);
        self.first_route("10.9.0.0/24", DEVICE);
        self.endpoints.truncate(1);
        self.flow.path = Path::Overlay;
        self.flow.overlay = Some(Overlay {
            kind: "vxlan".into(),
            vni: Some(100),
            outer_source: source.parse().ok(),
            outer_destination: destination.parse().ok(),
        });
    }

    /// No packet between the nodes was seen; the device was told where to send.
    pub(crate) fn never_left(&mut self) -> &mut Self {
        self.stops_at("vx1", DEVICE).flow.overlay = None;
        let next: IpAddr = "10.9.0.0".parse().unwrap();
        for route in Arc::make_mut(&mut self.host.facts.routes) {
            let Route { link, gateway, .. } = route;
            *gateway = (*link == Some(DEVICE)).then_some(next);
        }
        let mac = [2, 0, 0, 0, 0, 9];
        let neighbour =
            Neighbour { link: DEVICE, address: next, mac: Some(mac), state: NeighbourState::Permanent };
        Arc::make_mut(&mut self.host.facts.neighbours).insert(neighbour.key(), neighbour);
        let entry = FdbEntry {
            link: DEVICE,
            mac,
            vlan: None,
            remote: THERE.parse().ok(),
            bridge: None,
            own_table: true,
            is_local: false,
            permanent: true,
        };
        Arc::make_mut(&mut self.host.facts.fdb).insert(entry.key(), entry);
        self
    }

    /// A rule drops three packets of the overlay's port from one address to another.
    pub(crate) fn carriers_dropped(&mut self, from: &str, to: &str) -> &mut Self {
        let verdict = self.flow.verdict;
        let facts = self.flow.evidence.clone();
        self.dropped("netfilter_drop", "up0");
        (self.flow.verdict, self.flow.evidence) = (verdict, facts);
        if let Some(one) = self.drops.last_mut() {
            (one.source, one.destination) = (party("unknown", from, 0), party("unknown", to, 8_472));
            one.protocol = ProtocolName::Udp;
            if from == HERE {
                one.last_hop = None;
            }
        }
        self
    }

    /// That drop was so long ago that it was of something else.
    pub(crate) fn before_all(&mut self) -> &mut Self {
        self.drops.iter_mut().for_each(|one| one.last_seen = "2026-01-02T03:04:04Z".parse().unwrap());
        self
    }

    /// The answer leaves, and neither side hears the other.
    pub(crate) fn answer_unheard(&mut self) -> &mut Self {
        self.flow.verdict = Verdict::OneWay;
        self.flow.evidence = vec![
            evidence(EvidenceKind::SynRetransmit, 3, None),
            evidence(EvidenceKind::Retransmit, 3, Some("forward")),
            evidence(EvidenceKind::SynAck, 1, None),
            evidence(EvidenceKind::ReplyPacket, 4, None),
            evidence(EvidenceKind::Retransmit, 3, Some("reply")),
        ];
        self
    }

    /// So many segments are lost after a hop, and sent again.
    pub(crate) fn loses(&mut self, link: u32, segments: u64) -> &mut Self {
        self.flow.verdict = Verdict::OneWay;
        self.flow.evidence = vec![
            evidence(EvidenceKind::Handshake, 1, None),
            evidence(EvidenceKind::SynAck, 1, None),
            evidence(EvidenceKind::Retransmit, 5, Some("forward")),
        ];
        for hop in &mut self.flow.hops {
            hop.lost_segments = Some(if hop.ifindex == link { segments } else { 0 });
        }
        self
    }

    /// Of the device, its interface below, and what outer packets say.
    pub(crate) fn fits(&mut self, mtu: u32, below: u32, df: OuterDf) -> &mut Self {
        let links = &mut self.host.facts.links;
        if let Some(link) = links.get_mut(&DEVICE) {
            link.mtu = mtu;
            if let LinkKind::Vxlan(vxlan) = &mut link.kind {
                vxlan.outer_df = df;
            }
        }
        if let Some(link) = links.get_mut(&UPLINK) {
            link.mtu = below;
        }
        self
    }
}
