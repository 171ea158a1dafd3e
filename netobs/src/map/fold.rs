//! A map of many nodes → one that can be looked at: the quiet ones, then those of one workload, then all but the
//! busiest become one node each. Nobody is left out: groups list their members. Pure.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::document::{MapDocument, MapEdge, MapNode};
use crate::report::{NodeKind, Verdict};

/// Nodes on a picture: with more, names and rates become too small to read on a screen.
const MOST: usize = 30;
/// Bridges, uplinks and their like that are drawn one by one where there are too many nodes.
const DEVICES: usize = 7;
/// Other nodes and networks outside that are drawn one by one where there are too many nodes.
const ELSEWHERE: usize = 5;

/// The id of the bridges and their like that are drawn as one.
const DEVICES_GROUP: &str = "group/devices";
/// How ids of quiet endpoints that are drawn as one begin.
const QUIET_GROUPS: &str = "group/quiet/";

/// The same map with about 30 nodes, never 40; unchanged where it has no more.
#[must_use]
pub fn fold(document: MapDocument) -> MapDocument {
    if document.nodes.len() <= MOST {
        return document;
    }
    let mut map = Folded { document };
    map.devices();
    map.elsewhere();
    map.quiet();
    if map.document.nodes.len() > MOST {
        map.workloads();
    }
    if map.document.nodes.len() > MOST {
        map.rest();
    }
    map.document
}

struct Folded {
    document: MapDocument,
}

/// What passes at a node, of all its edges.
#[derive(Clone, Copy)]
struct Use {
    verdict: Verdict,
    bits_per_second: f64,
}

impl Use {
    const NONE: Self = Self { verdict: Verdict::Unknown, bits_per_second: 0.0 };

    fn add(&mut self, edge: &MapEdge) {
        self.verdict = self.verdict.min(edge.verdict);
        self.bits_per_second += edge.bits_per_second;
    }

    fn is_quiet(self) -> bool {
        self.bits_per_second <= 0.0 && self.verdict >= Verdict::Reachable
    }

    /// What does not work comes first, then what carries most.
    fn first(self, other: Self) -> Ordering {
        let works = |one: Self| one.verdict >= Verdict::Reachable;
        works(self).cmp(&works(other)).then(other.bits_per_second.total_cmp(&self.bits_per_second))
    }
}

type Groups = BTreeMap<Arc<str>, (MapNode, Vec<Arc<str>>)>;

impl Folded {
    /// Bridges and their like beyond the busiest become one, with everything that hangs in them.
    fn devices(&mut self) {
        let inside = |node: &MapNode| is_device(node.kind) && node.parent.is_some();
        let too_many = self.all_but(DEVICES, inside);
        let Some(host) =
            self.document.nodes.iter().find_map(|node| node.parent.clone().filter(|_| inside(node)))
        else {
            return;
        };
        let hanging: Vec<_> = self
            .document
            .nodes
            .iter()
            .filter(|node| node.parent.as_ref().is_some_and(|parent| too_many.contains(parent)))
            .map(|node| Arc::clone(&node.id))
            .collect();
        let name = format!("{} more interfaces", too_many.len());
        let endpoints = hanging.len();
        let name = if endpoints == 0 { name } else { format!("{name} with {endpoints} endpoints") };
        self.one(DEVICES_GROUP, &name, Some(host), too_many.into_iter().chain(hanging));
    }

    /// Who is elsewhere beyond the busiest becomes one; the outside itself stays.
    fn elsewhere(&mut self) {
        let stays = |node: &MapNode| matches!(&*node.id, "host" | "external");
        let too_many = self.all_but(ELSEWHERE, |node| node.parent.is_none() && !stays(node));
        let name = format!("{} more elsewhere", too_many.len());
        self.one("group/elsewhere", &name, None, too_many.into_iter());
    }

    /// Endpoints without traffic and without a complaint, by where they hang.
    fn quiet(&mut self) {
        let uses = self.uses();
        self.endpoints_by(|node| {
            let parent = node.parent.as_ref()?;
            let quiet = uses.get(&node.id).is_none_or(|one| one.is_quiet());
            quiet.then(|| (format!("{QUIET_GROUPS}{parent}"), "quiet".into()))
        });
    }

    /// Endpoints of one workload, by where they hang.
    fn workloads(&mut self) {
        self.endpoints_by(|node| {
            let (parent, workload) = (node.parent.as_ref()?, node.workload.as_ref()?);
            let namespace = node.namespace.as_deref().unwrap_or_default();
            let named =
                if namespace.is_empty() { workload.to_string() } else { format!("{namespace}/{workload}") };
            Some((format!("group/workload/{parent}/{named}"), format!("× {named}").into()))
        });
    }

    /// All but the busiest, by where they hang; groups made before are ranked like endpoints.
    fn rest(&mut self) {
        let leaf = |node: &MapNode| {
            let stays = &*node.id == "nat" || &*node.id == DEVICES_GROUP || node.id.starts_with(QUIET_GROUPS);
            !is_device(node.kind) && node.parent.is_some() && !stays
        };
        let leaves = self.document.nodes.iter().filter(|node| leaf(node));
        let parents: HashSet<_> = leaves.clone().filter_map(|node| node.parent.clone()).collect();
        let others = self.document.nodes.len() - leaves.count();
        let room = MOST.saturating_sub(others + parents.len());
        let too_many: HashSet<_> = self.all_but(room, leaf).into_iter().collect();
        let mut groups = Groups::new();
        for node in self.document.nodes.iter().filter(|node| too_many.contains(&node.id)) {
            let Some(parent) = &node.parent else { continue };
            group(&mut groups, format!("group/rest/{parent}"), Some(Arc::clone(parent)), node);
        }
        self.apply(groups, |count| format!("{count} more"));
    }

    /// Groups endpoints by an id and a word for them. One alone is no group.
    fn endpoints_by(&mut self, of: impl Fn(&MapNode) -> Option<(String, Arc<str>)>) {
        let mut groups = Groups::new();
        let mut words: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        for node in self.document.nodes.iter().filter(|node| is_endpoint(node)) {
            let Some((id, word)) = of(node) else { continue };
            words.insert(id.as_str().into(), word);
            group(&mut groups, id, node.parent.clone(), node);
        }
        for (id, (made, _)) in &mut groups {
            made.name = words.get(id).cloned().unwrap_or_default();
        }
        let named = |node: &MapNode, count| format!("{count} {}", node.name);
        self.apply_named(groups, named);
    }

    /// Ids of the nodes beyond the first `kept` that matter most, of those of a kind.
    fn all_but(&self, kept: usize, of: impl Fn(&MapNode) -> bool) -> Vec<Arc<str>> {
        let uses = self.uses();
        let used = |node: &MapNode| uses.get(&node.id).copied().unwrap_or(Use::NONE);
        let mut all: Vec<_> = self.document.nodes.iter().filter(|node| of(node)).collect();
        if all.len() <= kept + 1 {
            return Vec::new();
        }
        // Without the way out a picture has no direction.
        let inner = |node: &MapNode| node.kind != NodeKind::Uplink;
        all.sort_by(|one, other| {
            let order = inner(one).cmp(&inner(other)).then_with(|| used(one).first(used(other)));
            order.then_with(|| one.id.cmp(&other.id))
        });
        all.into_iter().skip(kept).map(|node| Arc::clone(&node.id)).collect()
    }

    fn uses(&self) -> HashMap<Arc<str>, Use> {
        let mut uses: HashMap<Arc<str>, Use> = HashMap::new();
        for edge in &self.document.edges {
            for end in [&edge.from, &edge.to] {
                uses.entry(Arc::clone(end)).or_insert(Use::NONE).add(edge);
            }
        }
        uses
    }

    fn one(&mut self, id: &str, name: &str, parent: Option<Arc<str>>, ids: impl Iterator<Item = Arc<str>>) {
        let ids: HashSet<_> = ids.collect();
        let mut groups = Groups::new();
        for node in self.document.nodes.iter().filter(|node| ids.contains(&node.id)) {
            group(&mut groups, id.to_owned(), parent.clone(), node);
        }
        self.apply(groups, |_| name.to_owned());
    }

    fn apply(&mut self, groups: Groups, name: impl Fn(usize) -> String) {
        self.apply_named(groups, |_, count| name(count));
    }

    /// Puts groups in the place of their nodes; edges between the same two become one.
    fn apply_named(&mut self, groups: Groups, name: impl Fn(&MapNode, usize) -> String) {
        let mut instead: HashMap<Arc<str>, Arc<str>> = HashMap::new();
        let mut made = Vec::new();
        for (id, (mut node, ids)) in groups.into_iter().filter(|(_, (_, ids))| ids.len() > 1) {
            instead.extend(ids.into_iter().map(|one| (one, Arc::clone(&id))));
            node.members.sort();
            node.name = name(&node, node.members.len()).into();
            made.push(node);
        }
        let nodes = &mut self.document.nodes;
        nodes.retain(|node| !instead.contains_key(&node.id));
        nodes.extend(made);
        nodes.sort_by(|one, other| one.id.cmp(&other.id));
        let new = |id: &Arc<str>| instead.get(id).unwrap_or(id).clone();
        let mut edges: BTreeMap<(Arc<str>, Arc<str>), MapEdge> = BTreeMap::new();
        for edge in self.document.edges.drain(..) {
            let (from, to) = (new(&edge.from), new(&edge.to));
            let is_inside = from == to && edge.from != edge.to;
            if is_inside {
                continue;
            }
            let changed = from != edge.from || to != edge.to;
            // Two ends in one group may have stood in front of a third node and behind it.
            let turned = edges.contains_key(&(Arc::clone(&to), Arc::clone(&from)));
            let (from, to) = if turned { (to, from) } else { (from, to) };
            let moved = MapEdge {
                from: Arc::clone(&from),
                to: Arc::clone(&to),
                interface: edge.interface.clone().filter(|_| !changed),
                ..edge
            };
            edges
                .entry((from, to))
                .and_modify(|one| {
                    one.bits_per_second += moved.bits_per_second;
                    one.verdict = one.verdict.min(moved.verdict);
                    one.flows += moved.flows;
                })
                .or_insert(moved);
        }
        self.document.edges = edges.into_values().collect();
    }
}

/// Puts a node into a group, with what it stands for itself.
fn group(groups: &mut Groups, id: String, parent: Option<Arc<str>>, node: &MapNode) {
    let id: Arc<str> = id.into();
    let (made, ids) = groups.entry(Arc::clone(&id)).or_insert_with(|| {
        let (namespace, workload, name) = (None, None, "".into());
        (
            MapNode { id, kind: NodeKind::Group, name, parent, namespace, workload, members: Vec::new() },
            Vec::new(),
        )
    });
    ids.push(Arc::clone(&node.id));
    if node.members.is_empty() {
        made.members.push(Arc::clone(&node.id));
    } else {
        made.members.extend(node.members.iter().cloned());
    }
}

fn is_endpoint(node: &MapNode) -> bool {
    let kind = matches!(node.kind, NodeKind::Container | NodeKind::Pod | NodeKind::Vm | NodeKind::Unknown);
    kind && node.parent.is_some()
}

fn is_device(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Bridge | NodeKind::Uplink | NodeKind::Overlay | NodeKind::Device)
}
