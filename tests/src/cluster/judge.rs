//! What a node's agent says of a conversation against the ways the tracer saw and what the path table promises: every
//! deviation.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};

use super::{
    Between,
    talk::{Spoken, Ways},
};
use crate::{
    flows::{self, Carried, Flow, Overlay},
    tracer::TracedHop,
};

/// Stands for the path between two nodes: `overlay` or `routed_remote`.
pub const ACROSS: &str = "across";

/// What the path table promises about the flow a node lists.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// Which node.
    pub node: usize,
    /// Who opens it.
    pub source: &'static str,
    /// The other side.
    pub destination: &'static str,
    /// How it travels.
    pub path: &'static str,
    /// What this node translates.
    pub nat: &'static str,
    /// What is addressed, as this node sees it.
    pub via: &'static str,
    /// Where the node stands in it.
    pub reporter: &'static str,
}

impl Promise {
    /// The path's word.
    #[must_use]
    pub fn path(&self, between: Between) -> &'static str {
        match (self.path, between) {
            (ACROSS, Between::Vxlan) => "overlay",
            (ACROSS, Between::Routes) => "routed_remote",
            (path, _) => path,
        }
    }
}

/// The one flow of a list that is the conversation with these ways.
///
/// # Errors
/// When there is none or more than one.
pub fn find<'a>(flows: &'a [Flow], spoken: &Spoken, ways: &Ways) -> Result<&'a Flow> {
    let first = ways.forward.first().context("the tracer saw no request")?;
    let source = first.tuple.source;
    let protocol = spoken.talk.protocol.word(spoken.talk.family);
    let what = format!("{protocol} from {source}");
    flows::only(flows, &what, |flow| {
        flow.protocol == protocol && side(&flow.source) == Some(source) && flow.reply.packets > 0
    })
}

fn side(side: &flows::Side) -> Option<SocketAddr> {
    Some(SocketAddr::new(side.address.as_deref()?.parse().ok()?, side.port.unwrap_or_default()))
}

/// Compares a flow with the ways and the promise.
///
/// # Errors
/// With everything that deviates.
pub fn compare(
    flow: &Flow,
    (spoken, ways): (&Spoken, &Ways),
    promise: &Promise,
    between: Between,
) -> Result<()> {
    let mut wrong = String::new();
    let mut differ = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push_str(&format!("    {what} is {is}, should be {should}\n"));
        }
    };
    let id = |side: &flows::Side| side.endpoint.clone().unwrap_or_default();
    differ("source", id(&flow.source), named(promise.source));
    differ("destination", id(&flow.destination), named(promise.destination));
    differ("path", flow.path.clone(), promise.path(between).into());
    differ("nat", flow.nat.clone(), promise.nat.into());
    differ("via", flow.via.clone(), promise.via.into());
    differ("reporter", flow.reporter.clone(), promise.reporter.into());
    let last = ways.forward.last().context("no way")?;
    differ(
        "destination",
        format!("{:?}", side(&flow.destination)),
        format!("{:?}", Some(last.tuple.destination)),
    );
    let addressed =
        if matches!(promise.nat, "dnat" | "both") { spoken.target } else { last.tuple.destination };
    let own = (flow.original_destination.as_ref())
        .and_then(|to| Some(SocketAddr::new(to.address.parse().ok()?, to.port.unwrap_or_default())));
    differ("addressed", format!("{:?}", own.or(side(&flow.destination))), format!("{:?}", Some(addressed)));
    differ("overlay", format!("{:?}", flow.overlay), format!("{:?}", overlay(ways)));
    for (direction, hops) in [("forward", &ways.forward), ("reply", &ways.reply)] {
        differ(direction, listed(flow, direction), traced(hops));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("node n{}: the flow deviates:\n{wrong}  flow:\n    {}", promise.node, flow.brief())
}

/// Containers are named by one letter here, and by their ids in what the agent says.
fn named(promised: &str) -> String {
    match promised.strip_prefix("container/") {
        Some(name) => format!("container/{}", &super::container_id(name)[..12]),
        None => promised.to_owned(),
    }
}

fn overlay(ways: &Ways) -> Option<Overlay> {
    let (outer, vni) = ways.forward.iter().find_map(|hop| hop.outer)?;
    Some(Overlay {
        kind: "vxlan".into(),
        vni: Some(vni),
        outer_source: Some(outer.source.ip().to_string()),
        outer_destination: Some(outer.destination.ip().to_string()),
    })
}

fn listed(flow: &Flow, direction: &str) -> String {
    let hops = flow.hops.iter().filter(|hop| hop.direction == direction);
    let hops = hops.map(|hop| {
        let place = format!("{} {}", hop.interface, hop.hook);
        line(&place, &hop.source, &hop.destination, hop.carried)
    });
    hops.collect()
}

fn traced(hops: &[TracedHop]) -> String {
    let hops = hops.iter().map(|hop| {
        let shown = hop.shown();
        line(&hop.place(), &shown.source.to_string(), &shown.destination.to_string(), hop.carried)
    });
    hops.collect()
}

fn line(place: &str, source: &str, destination: &str, carried: Carried) -> String {
    format!("\n        {place} {source} → {destination} {}/{}", carried.packets, carried.bytes)
}
