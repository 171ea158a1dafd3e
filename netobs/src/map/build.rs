//! A report → the whole map: what hangs where, and for each pair of neighbours what flows between them. Pure.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    document::{MapDocument, MapEdge},
    places::{NAT, OUTSIDE, Places},
    way,
};
use crate::report::{EdgeRole, FlowRow, Nat, NodeKind, Path, Report, Verdict};

/// The map of a report: every endpoint, every place between them, every pair of neighbours once.
#[must_use]
pub fn build(report: &Report) -> MapDocument {
    let mut places = Places::of(report);
    for flow in &report.flows {
        let (source, destination) = way::are_local(flow);
        for (party, is_local) in [(&flow.source, source), (&flow.destination, destination)] {
            if way::is_somebody(party) {
                places.meet(party, is_local);
            }
        }
        if matches!(flow.nat, Nat::Snat | Nat::Dnat | Nat::Both) {
            places.translate();
        }
    }
    let mut edges = Edges { places: &places, by_pair: BTreeMap::new() };
    edges.as_it_is();
    for flow in &report.flows {
        edges.travels(flow, &way::of(flow, &places));
    }
    let edges = edges.by_pair.into_values().collect();
    MapDocument { head: report.head(), nodes: places.nodes.into_values().collect(), edges }
}

struct Edges<'a> {
    places: &'a Places,
    by_pair: BTreeMap<(Arc<str>, Arc<str>), MapEdge>,
}

impl Edges<'_> {
    /// The connections that are there without traffic.
    fn as_it_is(&mut self) {
        for (endpoint, attachments) in &self.places.attachments {
            for one in attachments {
                let edge = self.between(endpoint, &one.place);
                (edge.role, edge.interface) = (one.role, one.interface.clone());
            }
        }
        for (overlay, beside) in &self.places.overlays {
            self.between(overlay, beside);
        }
        for uplink in &self.places.uplinks {
            self.between(uplink, &OUTSIDE.into());
        }
    }

    /// A flow, once for each pair of neighbours on its way.
    fn travels(&mut self, flow: &FlowRow, way: &[Arc<str>]) {
        let mut pairs: Vec<(&Arc<str>, &Arc<str>)> =
            way.windows(2).map(|pair| self.ordered(&pair[0], &pair[1])).collect();
        if let ([only], Path::Loopback) = (way, flow.path) {
            pairs.push((only, only));
        }
        pairs.sort();
        pairs.dedup();
        for (from, to) in pairs {
            let edge = self.between(from, to);
            edge.bits_per_second += flow.bits_per_second();
            edge.flows += 1;
            edge.verdict = edge.verdict.min(flow.verdict);
        }
    }

    fn ordered<'n>(&self, one: &'n Arc<str>, other: &'n Arc<str>) -> (&'n Arc<str>, &'n Arc<str>) {
        let key = |id: &'n Arc<str>| (self.places.rank(id), id);
        if key(one) <= key(other) { (one, other) } else { (other, one) }
    }

    fn between(&mut self, one: &Arc<str>, other: &Arc<str>) -> &mut MapEdge {
        let (from, to) = self.ordered(one, other);
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        let role = self.role(&from, &to);
        self.by_pair.entry((Arc::clone(&from), Arc::clone(&to))).or_insert_with(|| MapEdge {
            from,
            to,
            role,
            bits_per_second: 0.0,
            verdict: Verdict::Unknown,
            flows: 0,
            interface: None,
        })
    }

    /// By what two nodes are connected, where no endpoint's own interface says it.
    fn role(&self, from: &str, to: &str) -> EdgeRole {
        let either = |is: &dyn Fn(&str) -> bool| is(from) || is(to);
        let of = |kind| move |id: &str| self.places.kind(id) == kind;
        if from == to {
            EdgeRole::Loopback
        } else if either(&|id| id == NAT) {
            EdgeRole::Nat
        } else if either(&of(NodeKind::Overlay)) {
            EdgeRole::Overlay
        } else if either(&|id| self.places.is_uplink(id)) {
            // A bridge that is the way out is still the bridge to those behind it.
            let inner = self.places.kind(to) == NodeKind::Bridge && self.places.rank(from) < 4;
            if inner { EdgeRole::Bridge } else { EdgeRole::Uplink }
        } else if either(&of(NodeKind::Bridge)) {
            EdgeRole::Bridge
        } else if either(&of(NodeKind::Device)) {
            EdgeRole::Macvlan
        } else {
            EdgeRole::Other
        }
    }
}
