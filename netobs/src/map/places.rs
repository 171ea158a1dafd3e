//! Endpoints and interfaces of a report → nodes, and where each endpoint is attached. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::document::MapNode;
use crate::report::{EdgeRole, EndpointRow, KindName, LinkRow, NodeKind, Party, Report, RoleName};

/// The id of the host's own stack.
pub(super) const HOST: &str = "host";
/// The id of the one node that stands for every translation.
pub(super) const NAT: &str = "nat";
/// The id of whoever is outside and has no name.
pub(super) const OUTSIDE: &str = "external";

/// The id of the side of a flow that is a group: multicast, broadcast.
pub(super) const GROUP: &str = "group";
/// The id of the side of a flow that is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// How an endpoint hangs on the host.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    /// The node.
    pub(super) place: Arc<str>,
    /// By what.
    pub(super) role: EdgeRole,
    /// By which interface, where that is no node itself.
    pub(super) interface: Option<Arc<str>>,
}

/// What stands still: the nodes, and which one a packet is at where an interface sees it.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) nodes: BTreeMap<Arc<str>, MapNode>,
    pub(super) attachments: BTreeMap<Arc<str>, Vec<Attachment>>,
    /// Overlays, each with the device it sends by and the bridge it is a port of.
    pub(super) overlays: Vec<(Arc<str>, Arc<str>)>,
    pub(super) uplinks: Vec<Arc<str>>,
    at: HashMap<u32, Arc<str>>,
}

impl Places {
    /// The places of a report.
    pub(super) fn of(report: &Report) -> Self {
        let mut places = Self {
            nodes: BTreeMap::new(),
            attachments: BTreeMap::new(),
            overlays: Vec::new(),
            uplinks: Vec::new(),
            at: HashMap::new(),
        };
        places.add(node(HOST.into(), NodeKind::Host, &report.node, None));
        places.devices(report);
        for endpoint in report.endpoints.iter().filter(|one| &*one.id != HOST) {
            places.endpoint(endpoint, &report.links);
        }
        if !places.uplinks.is_empty() {
            places.add(node(OUTSIDE.into(), NodeKind::External, "outside", None));
        }
        places
    }

    fn add(&mut self, node: MapNode) {
        self.nodes.entry(Arc::clone(&node.id)).or_insert(node);
    }

    /// Interfaces that are nodes, then for the others the node they lead to.
    fn devices(&mut self, report: &Report) {
        // Devices nobody observes are nodes only where somebody hangs on them.
        let on_them = report.endpoints.iter().flat_map(|one| &one.interfaces).map(|one| one.ifindex);
        let macvlans = report.links.iter().filter(|link| link.role == Some(RoleName::Macvlan));
        let used: Vec<u32> = on_them.chain(macvlans.filter_map(|link| link.lower)).collect();
        for link in &report.links {
            let kind = match link.role {
                _ if &*link.kind == "bridge" => NodeKind::Bridge,
                Some(RoleName::Uplink) => NodeKind::Uplink,
                Some(RoleName::Overlay) => NodeKind::Overlay,
                None | Some(RoleName::Other) if used.contains(&link.ifindex) => NodeKind::Device,
                _ => continue,
            };
            let id: Arc<str> = format!("{}/{}", kind.name(), link.name).into();
            self.add(node(Arc::clone(&id), kind, &link.name, Some(HOST.into())));
            if link.role == Some(RoleName::Uplink) {
                self.uplinks.push(Arc::clone(&id));
            }
            self.at.insert(link.ifindex, id);
        }
        self.uplinks.sort();
        for link in report.links.iter().filter(|link| link.role == Some(RoleName::Overlay)) {
            let Some(id) = self.at.get(&link.ifindex) else { continue };
            let beside = [link.lower, link.bridge].into_iter().flatten();
            let pairs = beside.filter_map(|index| Some((Arc::clone(id), Arc::clone(self.at.get(&index)?))));
            self.overlays.extend(pairs);
        }
        for link in &report.links {
            if self.at.contains_key(&link.ifindex) {
                continue;
            }
            let macvlan = link.role == Some(RoleName::Macvlan);
            let next = link.bridge.or(link.lower.filter(|_| macvlan));
            let place = next.and_then(|index| self.at.get(&index)).cloned().unwrap_or_else(|| HOST.into());
            self.at.insert(link.ifindex, place);
        }
    }

    fn endpoint(&mut self, row: &EndpointRow, links: &[LinkRow]) {
        let mut attachments: Vec<Attachment> = Vec::new();
        for interface in &row.interfaces {
            let Some(link) = links.iter().find(|link| link.ifindex == interface.ifindex) else { continue };
            let Some(attachment) = self.attachment(link) else { continue };
            if !attachments.iter().any(|one| one.place == attachment.place) {
                attachments.push(attachment);
            }
        }
        if row.mode.as_deref() == Some("host") && attachments.is_empty() {
            attachments.push(Attachment { place: HOST.into(), role: EdgeRole::Loopback, interface: None });
        }
        let parent = attachments.first().map_or_else(|| HOST.into(), |one| Arc::clone(&one.place));
        let mut node = node(Arc::clone(&row.id), row.kind.into(), &row.name, Some(parent));
        (node.namespace, node.workload) = (row.namespace.clone(), row.workload.clone());
        self.attachments.insert(Arc::clone(&row.id), attachments);
        self.add(node);
    }

    /// How an endpoint hangs on an interface: its own one leads to a place, a shared one is a place.
    fn attachment(&self, link: &LinkRow) -> Option<Attachment> {
        let place = Arc::clone(self.at.get(&link.ifindex)?);
        let kind = self.nodes.get(&place).map(|node| node.kind);
        let shared = kind.is_some_and(|kind| *place == *format!("{}/{}", kind.name(), link.name));
        let role = match (link.role, shared) {
            (_, true) if kind == Some(NodeKind::Bridge) => EdgeRole::Bridge,
            (_, true) | (Some(RoleName::Macvlan), false) => EdgeRole::Macvlan,
            (Some(RoleName::Veth), false) => EdgeRole::Veth,
            (Some(RoleName::Tap), false) => EdgeRole::Tap,
            (_, false) => EdgeRole::Other,
        };
        Some(Attachment { place, role, interface: (!shared).then(|| Arc::clone(&link.name)) })
    }

    /// The node a packet is at where an interface sees it.
    pub(super) fn at(&self, ifindex: u32) -> Option<&Arc<str>> {
        self.at.get(&ifindex)
    }

    /// What a node is.
    pub(super) fn kind(&self, id: &str) -> NodeKind {
        self.nodes.get(id).map_or(NodeKind::Unknown, |node| node.kind)
    }

    /// Whether a packet leaves this host here.
    pub(super) fn is_uplink(&self, id: &str) -> bool {
        self.uplinks.iter().any(|one| &**one == id)
    }

    /// Where an endpoint of this host is attached; nothing for anybody else.
    pub(super) fn attached(&self, id: &str) -> &[Attachment] {
        self.attachments.get(id).map_or(&[], Vec::as_slice)
    }

    /// Adds a side of a flow that is no endpoint of this host, or none any more.
    pub(super) fn meet(&mut self, party: &Party, is_local: bool) {
        if self.nodes.contains_key(&party.endpoint) {
            return;
        }
        let (namespace, name) = names(party);
        let kind = party.kind.into();
        let mut node =
            node(Arc::clone(&party.endpoint), kind, name, is_local.then(|| Arc::<str>::from(HOST)));
        node.namespace = namespace.map(Into::into);
        self.add(node);
    }

    /// Adds the node that stands for translations.
    pub(super) fn translate(&mut self) {
        self.add(node(NAT.into(), NodeKind::Nat, "NAT", Some(HOST.into())));
    }

    /// How near to the outside a node is: edges lead from the lower to the higher.
    pub(super) fn rank(&self, id: &str) -> u8 {
        let Some(node) = self.nodes.get(id) else { return 0 };
        match node.kind {
            _ if node.parent.is_none() && id != HOST => 6,
            _ if self.is_uplink(id) => 5,
            NodeKind::Host => 1,
            NodeKind::Bridge => 2,
            NodeKind::Nat => 3,
            NodeKind::Overlay | NodeKind::Device | NodeKind::Uplink => 4,
            _ => 0,
        }
    }
}

/// Namespace and name of a side of a flow, by its id: `pod/NAMESPACE/NAME`, `node/NAME`, `external`.
fn names(party: &Party) -> (Option<&str>, &str) {
    let rest = party.endpoint.split_once('/').map(|(_, rest)| rest);
    match (party.kind, rest) {
        (KindName::External, None) => (None, "outside"),
        (_, None) => (None, &party.endpoint),
        (KindName::Pod, Some(rest)) => match rest.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, rest),
        },
        (_, Some(rest)) => (None, rest),
    }
}

fn node(id: Arc<str>, kind: NodeKind, name: &str, parent: Option<Arc<str>>) -> MapNode {
    MapNode { id, kind, name: name.into(), parent, namespace: None, workload: None, members: Vec::new() }
}
