//! The JSON of `netobs flows` as the contract writes it, for judging: a field that is missing is an error
//! with its name.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// One side of a flow.
#[derive(Clone, Debug, Deserialize)]
pub struct Side {
    /// The endpoint's id, as in `container/web`.
    pub endpoint: Option<String>,
    /// Its kind.
    pub kind: String,
    /// The address.
    pub address: Option<String>,
    /// The port; an ICMP echo's identifier; absent or 0 where there are none.
    pub port: Option<u16>,
    /// The process of the host's whose socket it is, if that is known.
    pub process: Option<Process>,
}

/// A process.
#[derive(Clone, Debug, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// What one direction carried, or one hop saw.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Carried {
    /// Socket buffers.
    pub packets: u64,
    /// Packets on a cable.
    pub segments: u64,
    /// Sum of `skb->len`.
    pub bytes: u64,
}

/// One tc hook that saw the flow.
#[derive(Clone, Debug, Deserialize)]
pub struct Hop {
    /// `forward` or `reply`.
    pub direction: String,
    /// The interface's name.
    pub interface: String,
    /// The interface's index.
    pub ifindex: u32,
    /// The endpoint inside whose network stack it is.
    #[serde(default)]
    pub inside: Option<String>,
    /// `ingress` or `egress`.
    pub hook: String,
    /// What the interface is for.
    pub role: String,
    /// `address:port` as this hop saw it.
    pub source: String,
    /// `address:port` as this hop saw it.
    pub destination: String,
    /// Its own counters.
    #[serde(flatten)]
    pub carried: Carried,
}

/// What the source addressed before NAT.
#[derive(Clone, Debug, Deserialize)]
pub struct OriginalDestination {
    /// The address.
    pub address: String,
    /// The port.
    pub port: Option<u16>,
}

/// An encapsulation.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Overlay {
    /// `vxlan` and its like.
    #[serde(rename = "type")]
    pub kind: String,
    /// The virtual network's number.
    pub vni: Option<u32>,
    /// Who encapsulates what goes forward, where it is known.
    pub outer_source: Option<String>,
    /// Whom that is sent to, likewise.
    pub outer_destination: Option<String>,
}

/// One conversation.
#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    /// Its id, constant as long as it is listed.
    pub id: Value,
    /// The initiator.
    pub source: Side,
    /// The other side.
    pub destination: Side,
    /// Why the source is taken for the initiator.
    pub initiator_by: String,
    /// Before NAT.
    pub original_destination: Option<OriginalDestination>,
    /// The protocol.
    pub protocol: String,
    /// How it travels.
    pub path: String,
    /// `none`, `snat`, `dnat`, `both`, `unknown`.
    pub nat: String,
    /// What the source addressed.
    pub via: String,
    /// `source`, `destination`, `transit`.
    pub reporter: String,
    /// The encapsulation it travels in.
    pub overlay: Option<Overlay>,
    /// The proxy between this flow and another.
    pub proxied_by: Option<String>,
    /// From the source.
    pub forward: Carried,
    /// To the source.
    pub reply: Carried,
    /// Where it was seen, in order.
    pub hops: Vec<Hop>,
    /// What can be said of it.
    pub verdict: String,
}

impl Flow {
    /// Hops of one direction as `interface hook`, in order.
    #[must_use]
    pub fn way(&self, direction: &str) -> Vec<String> {
        let hops = self.hops.iter().filter(|hop| hop.direction == direction);
        hops.map(|hop| format!("{} {}", hop.interface, hop.hook)).collect()
    }

    /// `address:port` as the source addressed it, before translation.
    #[must_use]
    pub fn addressed(&self) -> String {
        let own = (self.destination.address.clone().unwrap_or_default(), self.destination.port);
        let original = self.original_destination.as_ref().map(|to| (to.address.clone(), to.port));
        let (address, port) = original.unwrap_or(own);
        format!("{address}:{}", port.unwrap_or_default())
    }

    /// A direction's own numbers, then its hops': packets/segments/bytes.
    fn numbers(&self, direction: &str, own: Carried) -> String {
        let mut text = format!("{}/{}/{}:", own.packets, own.segments, own.bytes);
        for hop in self.hops.iter().filter(|hop| hop.direction == direction) {
            let Carried { packets, segments, bytes } = hop.carried;
            text.push_str(&format!(" [{} {} {packets}/{segments}/{bytes}]", hop.interface, hop.hook));
        }
        text
    }

    /// A few lines for a failure message.
    #[must_use]
    pub fn brief(&self) -> String {
        let side = |side: &Side| {
            let (endpoint, address) =
                (side.endpoint.as_deref().unwrap_or("-"), side.address.as_deref().unwrap_or("-"));
            format!("{endpoint}({})={address}:{}", side.kind, side.port.unwrap_or_default())
        };
        format!(
            "{} {} {} -> {} path={} nat={} via={} reporter={} proxied_by={} original={} by={} verdict={}\n      \
             forward {}\n      reply {}",
            self.id,
            self.protocol,
            side(&self.source),
            side(&self.destination),
            self.path,
            self.nat,
            self.via,
            self.reporter,
            self.proxied_by.as_deref().unwrap_or("-"),
            self.original_destination.as_ref().map_or("-".into(), |to| format!(
                "{}:{}",
                to.address,
                to.port.unwrap_or_default()
            )),
            self.initiator_by,
            self.verdict,
            self.numbers("forward", self.forward),
            self.numbers("reply", self.reply),
        )
    }
}

/// Reads the answer of `netobs flows -o json`.
///
/// # Errors
/// With the flow and the field that do not follow the contract.
pub fn read(answer: &Value) -> Result<Vec<Flow>> {
    if answer["schema"] != "netobs/v1" {
        bail!("schema is {}, not netobs/v1", answer["schema"]);
    }
    let list = answer["flows"].as_array().context("no list of flows")?;
    list.iter()
        .map(|flow| Flow::deserialize(flow).with_context(|| format!("flow that breaks the contract: {flow}")))
        .collect()
}

/// The only flow that answers the description.
///
/// # Errors
/// When there is none or more than one; the error lists all candidates of the same protocol.
pub fn only<'a>(flows: &'a [Flow], what: &str, fits: impl Fn(&Flow) -> bool) -> Result<&'a Flow> {
    let found: Vec<_> = flows.iter().filter(|flow| fits(flow)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => bail!("no flow is {what}; listed are:\n{}", list(flows)),
        several => bail!(
            "{} flows are {what}, expected one:\n{}",
            several.len(),
            several.iter().map(|flow| format!("    {}\n", flow.brief())).collect::<String>()
        ),
    }
}

/// Every flow on lines of its own.
#[must_use]
pub fn list(flows: &[Flow]) -> String {
    flows.iter().map(|flow| format!("    {}\n", flow.brief())).collect()
}
