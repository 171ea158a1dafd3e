//! A map → what both kinds of pictures draw: boxes in boxes, lines between them, and what is written on each. Pure.

use std::collections::HashMap;

use super::{
    document::{MapDocument, MapEdge, MapNode},
    places::HOST,
};
use crate::{
    identity::text::clean_to,
    report::{NodeKind, Verdict},
    table::{tone::Tone, units},
};

/// Longest name on a picture, in characters.
const NAME: usize = 32;
/// Members of a group whose names are written.
const NAMED: usize = 3;
/// Longest name of a member of a group.
const MEMBER: usize = 16;

/// Everything that is drawn, in the order in which it is drawn.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) shapes: Vec<Shape>,
    pub(super) lines: Vec<Line>,
    /// Boxes that no line leaves, by the node in them, each with the uplink, in front of which it belongs.
    pub(super) apart: Vec<(usize, usize)>,
}

/// A node, and the box around what hangs in it.
#[derive(Debug)]
pub(super) struct Shape {
    /// Its number on the picture; names are never part of the language of a picture.
    pub(super) number: usize,
    pub(super) kind: NodeKind,
    /// What its lines say of it.
    pub(super) tone: Tone,
    /// Whether the node itself is drawn: a box may be all there is to see of it.
    pub(super) is_drawn: bool,
    /// Lines of text on the node.
    pub(super) text: Vec<String>,
    /// What hangs in it, within a box of this title.
    pub(super) inside: Vec<Self>,
    pub(super) title: String,
}

/// A line between two nodes.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) text: Vec<String>,
    pub(super) tone: Tone,
    /// 1 to 5.
    pub(super) width: u8,
    /// Whether nothing passes of which anything could be said.
    pub(super) is_silent: bool,
}

impl Picture {
    /// The picture of a map.
    pub(super) fn of(map: &MapDocument) -> Self {
        let mut drawing = Drawing { map, numbers: HashMap::new(), inside: HashMap::new() };
        let by_id: HashMap<&str, &MapNode> = map.nodes.iter().map(|node| (&*node.id, node)).collect();
        for node in &map.nodes {
            let parent = node.parent.as_deref().and_then(|parent| by_id.get(parent));
            // Everybody's lines to an uplink would cross a box around it.
            let boxed =
                parent.and_then(|one| if is_box(one.kind) { Some(&*one.id) } else { one.parent.as_deref() });
            let parent = boxed.filter(|parent| by_id.contains_key(parent));
            drawing.inside.entry(parent).or_default().push(node);
        }
        let shapes = drawing.shapes(None);
        let loops = |edge: &&MapEdge| edge.from == edge.to;
        let lines: Vec<_> =
            map.edges.iter().filter(|edge| !loops(edge)).filter_map(|edge| drawing.line(edge)).collect();
        let apart = apart(&shapes, &lines);
        Self { shapes, lines, apart }
    }
}

fn apart(shapes: &[Shape], lines: &[Line]) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    for shape in shapes {
        shape.collect(&mut all);
    }
    let Some(outward) = all.iter().find(|shape| shape.kind == NodeKind::Uplink) else { return Vec::new() };
    let boxes = all.iter().filter(|shape| !shape.inside.is_empty() && shape.kind != NodeKind::Host);
    let apart = boxes.filter(|shape| {
        let mut within = Vec::new();
        shape.collect(&mut within);
        let holds = |number| within.iter().any(|one| one.number == number);
        shape.is_drawn && !lines.iter().any(|line| holds(line.from) != holds(line.to))
    });
    apart.map(|shape| (shape.number, outward.number)).collect()
}

impl Shape {
    /// A shape and everything inside it.
    fn collect<'s>(&'s self, into: &mut Vec<&'s Self>) {
        into.push(self);
        for one in &self.inside {
            one.collect(into);
        }
    }
}

struct Drawing<'a> {
    map: &'a MapDocument,
    numbers: HashMap<&'a str, usize>,
    inside: HashMap<Option<&'a str>, Vec<&'a MapNode>>,
}

impl<'a> Drawing<'a> {
    /// What hangs in a node. Each node is taken once: a document from elsewhere may lead in circles.
    fn shapes(&mut self, parent: Option<&'a str>) -> Vec<Shape> {
        let mut nodes = self.inside.remove(&parent).unwrap_or_default();
        nodes.sort_by_key(|node| (order(node.kind), &node.id));
        nodes.into_iter().map(|node| self.shape(node)).collect()
    }

    fn shape(&mut self, node: &'a MapNode) -> Shape {
        let number = self.numbers.len() + 1;
        self.numbers.insert(&node.id, number);
        let inside = self.shapes(Some(&node.id));
        let map = self.map;
        let edges = map.edges.iter().filter(|edge| edge.from == node.id || edge.to == node.id);
        let mut verdict = Verdict::Unknown;
        let mut is_met = false;
        let mut own = None;
        for edge in edges {
            verdict = verdict.min(edge.verdict);
            is_met |= edge.from != edge.to;
            own = own.or(Some(edge.bits_per_second).filter(|rate| edge.from == edge.to && *rate > 0.0));
        }
        let name = name(&node.name);
        let mut text = match node.kind {
            NodeKind::Host if *node.id == *HOST => vec!["this host".to_owned()],
            // The box around it has the name.
            kind if !inside.is_empty() => vec![kind.name().to_owned()],
            _ => vec![name.clone()],
        };
        text.extend(below(node).filter(|_| inside.is_empty()));
        text.extend(own.map(|rate| format!("lo {}", units::bit_rate(rate))));
        let title = format!("{} {name}", node.kind.name());
        Shape {
            number,
            kind: node.kind,
            tone: Tone::of(verdict),
            is_drawn: inside.is_empty() || is_met || own.is_some(),
            text,
            inside,
            title,
        }
    }

    fn line(&self, edge: &MapEdge) -> Option<Line> {
        let mut text = Vec::new();
        text.extend(edge.interface.as_deref().map(name));
        if edge.bits_per_second > 0.0 {
            text.push(units::bit_rate(edge.bits_per_second));
        }
        // Colour alone tells nothing on paper, nor to everybody.
        if edge.flows > 0 && !matches!(edge.verdict, Verdict::Reachable | Verdict::Unknown) {
            text.push(edge.verdict.name().replace('_', " "));
        }
        Some(Line {
            from: *self.numbers.get(&*edge.from)?,
            to: *self.numbers.get(&*edge.to)?,
            text,
            tone: Tone::of(edge.verdict),
            width: width(edge.bits_per_second),
            is_silent: edge.bits_per_second <= 0.0 && edge.verdict == Verdict::Unknown,
        })
    }
}

/// What is written below a name.
fn below(node: &MapNode) -> Option<String> {
    match node.kind {
        NodeKind::Group => {
            let named = node.members.iter().take(NAMED);
            let mut names: Vec<_> =
                named.map(|id| clean_to(id.rsplit('/').next().unwrap_or_default(), MEMBER)).collect();
            if node.members.len() > NAMED {
                names.push("…".to_owned());
            }
            Some(names.join(", "))
        }
        NodeKind::Host if *node.id == *HOST => None,
        NodeKind::Host => Some("node".to_owned()),
        NodeKind::Pod => {
            let namespace = node.namespace.as_deref().map(name);
            Some(namespace.map_or_else(|| "pod".to_owned(), |namespace| format!("pod in {namespace}")))
        }
        NodeKind::Nat | NodeKind::External => None,
        kind => Some(kind.name().to_owned()),
    }
}

fn name(name: &str) -> String {
    let cleaned = clean_to(name, NAME);
    // A text of nothing is an error to Mermaid.
    if cleaned.is_empty() { "(no name)".to_owned() } else { cleaned }
}

/// Whether what hangs in it is drawn inside a box.
const fn is_box(kind: NodeKind) -> bool {
    !matches!(kind, NodeKind::Uplink | NodeKind::Device)
}

/// From the inside to the outside.
const fn order(kind: NodeKind) -> u8 {
    match kind {
        NodeKind::Container | NodeKind::Pod | NodeKind::Vm | NodeKind::Unknown => 1,
        NodeKind::Group => 2,
        NodeKind::Host => 0,
        NodeKind::Bridge => 3,
        NodeKind::Device => 4,
        NodeKind::Nat => 5,
        NodeKind::Overlay => 6,
        NodeKind::Uplink => 7,
        NodeKind::External => 8,
    }
}

fn width(bits_per_second: f64) -> u8 {
    match bits_per_second {
        rate if rate >= 1e9 => 5,
        rate if rate >= 1e8 => 4,
        rate if rate >= 1e6 => 3,
        rate if rate >= 1e4 => 2,
        _ => 1,
    }
}

/// The colour of a line, and of the frame of an endpoint.
pub(super) const fn colour(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "#2e7d32",
        Tone::Warn => "#ef6c00",
        Tone::Bad => "#c62828",
        Tone::Plain | Tone::Head | Tone::Faint => "#90a4ae",
    }
}

/// The colour a node is filled with. Text on it is dark, whatever the viewer's own colours are.
pub(super) const fn fill(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Host => "#cfd8dc",
        NodeKind::Bridge | NodeKind::Device => "#bbdefb",
        NodeKind::Uplink => "#d1c4e9",
        NodeKind::Overlay => "#e1bee7",
        NodeKind::Nat => "#ffecb3",
        NodeKind::Vm | NodeKind::Container | NodeKind::Pod => "#ffffff",
        NodeKind::External => "#e0e0e0",
        NodeKind::Unknown | NodeKind::Group => "#f5f5f5",
    }
}

/// The colour a box is filled with.
pub(super) const fn background(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Host => "#fafafa",
        _ => "#e8f4fd",
    }
}

/// The colour of the edge of a box.
pub(super) const EDGE: &str = "#90a4ae";

/// The colour of text.
pub(super) const TEXT: &str = "#1a1a1a";

/// Whether a node's frame tells how its traffic fares.
pub(super) const fn is_endpoint(kind: NodeKind) -> bool {
    matches!(
        kind,
        NodeKind::Vm
            | NodeKind::Container
            | NodeKind::Pod
            | NodeKind::Unknown
            | NodeKind::Group
            | NodeKind::External
    )
}
