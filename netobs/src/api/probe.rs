//! `/api/v1/probe`: one connection from inside a stack, and what became of it, explained.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    documents::json,
    explain::{ExplainQuery, Refused, explanation},
    state::AskedReaders,
};
use crate::{
    explain::{self, Asked, Side},
    publication::Subscription,
    report::{EndpointRow, KindName, ProbeOutcome, ProbeRow, ProtocolName, Verdict},
};

/// By which protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// A connection is opened, and closed at once.
    #[default]
    Tcp,
    /// A datagram of one byte.
    Udp,
    /// An echo request.
    Icmp,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedProbe {
    /// By which protocol.
    pub kind: ProbeKind,
    /// To which address.
    pub address: IpAddr,
    /// To which port; 0 for an echo.
    pub port: u16,
}

/// Sends a probe from the stack of a namespace, given by its inode, or from the host's.
pub type SendProbe = fn(Option<u64>, AskedProbe) -> BoxFuture<'static, Result<ProbeRow, String>>;

/// The query of `/api/v1/probe`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeQuery {
    /// From whose stack, by selector.
    pub source: String,
    /// To whom, by selector, with a port unless it is an echo.
    pub destination: String,
    /// By which protocol.
    #[serde(default)]
    pub protocol: ProbeKind,
}

/// How long after the probe what was seen of it may still change: it is read once a second, and judged when it is
/// half a second old; silence counts after three.
const SEEN_WITHIN: Duration = Duration::from_secs(6);
/// When drops have settled.
const DROPS_AFTER: Duration = Duration::from_millis(2_500);

impl ProbeQuery {
    /// The query of a URL that asks this, with its question mark.
    #[must_use]
    pub fn query(&self) -> String {
        let word = match self.protocol {
            ProbeKind::Tcp => "tcp",
            ProbeKind::Udp => "udp",
            ProbeKind::Icmp => "icmp",
        };
        let ends = ExplainQuery { source: self.source.clone(), destination: self.destination.clone() };
        format!("{}&protocol={word}", ends.query())
    }

    /// Sends it, waits until it was seen, and explains it.
    pub(super) async fn answer(
        &self,
        reports: &Subscription,
        readers: AskedReaders,
        turns: &Arc<Semaphore>,
    ) -> Result<Bytes, Refused> {
        let report = reports.with_flows().await.map_err(Refused::Failed)?;
        let ends = ExplainQuery { source: self.source.clone(), destination: self.destination.clone() };
        let asked = ends.asked(&report)?;
        let (namespace, probe) = self.plan(&asked, &report.endpoints).map_err(Refused::Question)?;
        // Clocks of kernel and wall are compared at publication, to the millisecond.
        let since = Timestamp::now().saturating_sub(Duration::from_millis(100)).unwrap_or(report.time);
        let row = (readers.probe)(namespace, probe).await.map_err(|why| {
            Refused::Question(format!("{}: nothing could be sent from its stack: {why}", self.source))
        })?;
        let asked = Asked {
            // What was not sent is nobody's: no conversation is from port 0.
            from_port: Some(row.from_port.unwrap_or(0)),
            protocol: Some(row.protocol),
            since: Some(since),
            told: told(&row),
            ..asked
        };
        let sent = Instant::now();
        let deadline = sent + SEEN_WITHIN;
        let mut latest = reports.anew();
        let report = loop {
            let current = match timeout_at(deadline, latest.next_with_flows()).await {
                Ok(Some(current)) => current,
                // Nothing more will be seen of it.
                _ => break reports.with_flows().await.map_err(Refused::Failed)?,
            };
            let verdict = explain::verdict(&asked, &current);
            let is_seen = current.flows.iter().any(|flow| asked.means(flow));
            let settled = match row.outcome {
                ProbeOutcome::Answered => matches!(verdict, Verdict::Reachable | Verdict::Degraded),
                ProbeOutcome::Failed => true,
                // Drops are told when it is known whose they are, two seconds later.
                _ => is_seen && verdict != Verdict::Reachable && sent.elapsed() >= DROPS_AFTER,
            };
            if settled {
                break current;
            }
        };
        let mut answer =
            explanation(report, asked, readers.configuration, turns).await.map_err(Refused::Failed)?;
        if row.outcome != ProbeOutcome::Answered && answer.verdict == Verdict::Reachable {
            // The answer was seen, and did not arrive.
            answer.verdict = Verdict::OneWay;
        }
        answer.probe = Some(row);
        json(&answer).map_err(Refused::Failed)
    }

    /// From which stack, and what to send.
    fn plan(&self, asked: &Asked, endpoints: &[EndpointRow]) -> Result<(Option<u64>, AskedProbe), String> {
        let namespace = stack(&asked.source, endpoints)?;
        let kind = self.protocol;
        let port = match (kind, asked.port) {
            (ProbeKind::Icmp, None) => 0,
            (ProbeKind::Icmp, Some(_)) => return Err("an echo has no port: leave it out".into()),
            (_, Some(port)) if port != 0 => port,
            _ => {
                return Err(format!(
                    "{}: give a port, as in {}:80",
                    self.destination, asked.destination.selector
                ));
            }
        };
        let source = asked.source.endpoint(endpoints);
        let address = address(&asked.destination, source, endpoints)?;
        Ok((namespace, AskedProbe { kind, address, port }))
    }
}

/// What the socket knows of reachability.
fn told(row: &ProbeRow) -> Option<Verdict> {
    match row.outcome {
        ProbeOutcome::Refused => Some(Verdict::Refused),
        ProbeOutcome::Unreachable => Some(Verdict::Unreachable),
        // A datagram need not be answered.
        ProbeOutcome::Silence if row.protocol != ProtocolName::Udp => Some(Verdict::Unanswered),
        _ => None,
    }
}

/// The namespace a probe is sent from; none for the host's.
fn stack(source: &Side, endpoints: &[EndpointRow]) -> Result<Option<u64>, String> {
    let name = &source.selector;
    let Some(endpoint) = source.endpoint(endpoints) else {
        return if name == "host" {
            Ok(None)
        } else {
            Err(format!("{name} is not on this host: a probe can be sent from endpoints of this host only"))
        };
    };
    match endpoint.kind {
        KindName::Host => Ok(None),
        KindName::Vm => Err(format!(
            "{name} is a virtual machine: a probe cannot be sent from inside it; try it there, and ask \
             `netobs explain`"
        )),
        _ => match endpoint.netns {
            Some(inode) => Ok(Some(inode)),
            None if endpoint.mode.as_deref() == Some("host") => Err(format!(
                "{name} has the host's network stack, where the agent's sockets are the host's: probe from `host`"
            )),
            None => Err(format!("{name}: its network stack is not known")),
        },
    }
}

/// The address that is meant: the one that was named, or one the destination has of the source's family.
fn address(to: &Side, source: Option<&EndpointRow>, endpoints: &[EndpointRow]) -> Result<IpAddr, String> {
    if let Some(address) = to.address {
        return Ok(address);
    }
    let name = &to.selector;
    let endpoint = to.endpoint(endpoints).ok_or_else(|| format!("{name}: give its address"))?;
    if endpoint.kind == KindName::Host {
        return Err(format!("{name} has several addresses: give the one that is meant"));
    }
    let families: Vec<bool> =
        source.into_iter().flat_map(EndpointRow::addresses).map(|one| one.is_ipv4()).collect();
    let fits = |one: &IpAddr| families.is_empty() || families.contains(&one.is_ipv4());
    let mut all = endpoint.addresses().filter(fits).collect::<Vec<_>>();
    all.sort_by_key(IpAddr::is_ipv6);
    all.first().copied().ok_or_else(|| format!("{name} has no address that is known: give one"))
}

/// Probes at once; each holds a thread for some seconds.
pub(super) const PROBES: usize = 4;
