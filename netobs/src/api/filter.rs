//! Filters of flows: what was asked for → the rows that pass. Pure.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use super::{
    condition::Conditions,
    selected::{Selected, sides},
};
use crate::report::{FlowRow, KindName, Path, Report, Verdict};

/// What a flow must be to pass: all of it. The query of `/api/v1/flows` and the flags of `netobs flows`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowFilter {
    /// Either side is this endpoint: its id, its name, its kind and the beginning of its uid, or its address.
    pub endpoint: Option<String>,
    /// Either side is of this kind.
    pub kind: Option<KindName>,
    /// It travels this way.
    pub path: Option<Path>,
    /// This is said about it.
    pub verdict: Option<Verdict>,
    /// Some hop saw it with this address and port, before or after translation or around it.
    pub address: Option<AddressFilter>,
    /// Some hop saw it with this port.
    pub port: Option<u16>,
    /// This holds of its fields.
    #[serde(rename = "where")]
    pub conditions: Conditions,
    /// At most so many rows, the busiest first.
    pub limit: Option<usize>,
}

impl FlowFilter {
    /// The query of a URL that asks for it, with its question mark; empty if everything passes.
    #[must_use]
    pub fn query(&self) -> String {
        let pairs = [
            ("endpoint", self.endpoint.clone()),
            ("kind", self.kind.map(|one| one.to_string())),
            ("path", self.path.map(|one| one.to_string())),
            ("verdict", self.verdict.map(|one| one.to_string())),
            ("address", self.address.map(|one| one.to_string())),
            ("port", self.port.map(|one| one.to_string())),
            ("where", (!self.conditions.0.is_empty()).then(|| self.conditions.clone().into())),
            ("limit", self.limit.map(|one| one.to_string())),
        ];
        let mut query = String::new();
        for (key, value) in pairs.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(key);
            query.push('=');
            escape(&mut query, value);
        }
        query
    }

    /// The rows of a report that pass, in its order: the busiest first.
    #[must_use]
    pub fn rows<'r>(&self, report: &'r Report) -> Vec<&'r FlowRow> {
        let endpoints = self.endpoint.as_deref().map(|selector| Selected::of(selector, &report.endpoints));
        let passes = |flow: &&FlowRow| {
            endpoints.as_ref().is_none_or(|one| one.has(flow))
                && self.kind.is_none_or(|kind| flow.source.kind == kind || flow.destination.kind == kind)
                && self.path.is_none_or(|path| flow.path == path)
                && self.verdict.is_none_or(|verdict| flow.verdict == verdict)
                && self.address.is_none_or(|address| everywhere(flow).any(|(ip, port)| address.is(ip, port)))
                && self.port.is_none_or(|wanted| everywhere(flow).any(|(_, port)| port == wanted))
                && self.conditions.hold(flow)
        };
        report
            .flows
            .iter()
            .map(|flow| &**flow)
            .filter(passes)
            .take(self.limit.unwrap_or(usize::MAX))
            .collect()
    }
}

/// Every address and port a flow was seen with anywhere.
fn everywhere(flow: &FlowRow) -> impl Iterator<Item = (IpAddr, u16)> {
    let seen = flow.hops.iter().flat_map(|hop| [&hop.source, &hop.destination]);
    let hops = seen.filter_map(|text| text.parse::<SocketAddr>().ok()).map(|one| (one.ip(), one.port()));
    sides(flow).chain(hops)
}

/// Percent-encoding of everything but RFC 3986's unreserved characters.
pub(super) fn escape(into: &mut String, value: &str) {
    for &byte in value.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte))
            }
            _ => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// `ADDR`, `ADDR:PORT` or `[ADDR]:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressFilter {
    /// The address.
    pub address: IpAddr,
    /// The port, if one was given.
    pub port: Option<u16>,
}

impl AddressFilter {
    fn is(self, address: IpAddr, port: u16) -> bool {
        self.address == address && self.port.is_none_or(|wanted| wanted == port)
    }
}

impl FromStr for AddressFilter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(both) = text.parse::<std::net::SocketAddr>() {
            return Ok(Self { address: both.ip(), port: Some(both.port()) });
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        match bare.parse() {
            Ok(address) => Ok(Self { address, port: None }),
            Err(_) => Err(format!("`{text}` is no ADDR[:PORT]; an IPv6 address with a port is [ADDR]:PORT")),
        }
    }
}

impl TryFrom<String> for AddressFilter {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<AddressFilter> for String {
    fn from(address: AddressFilter) -> Self {
        address.to_string()
    }
}

impl fmt::Display for AddressFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => std::net::SocketAddr::new(self.address, port).fmt(formatter),
            None => self.address.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::made_up, *};

    fn ids(filter: FlowFilter) -> Vec<String> {
        filter.rows(&made_up::report()).iter().map(|one| one.id.to_string()).collect()
    }

    #[test]
    fn everything_passes_an_empty_filter_in_the_reports_order() {
        assert_eq!(ids(FlowFilter::default()), ["f1", "f2", "f3"]);
        assert_eq!(ids(FlowFilter { limit: Some(2), ..FlowFilter::default() }), ["f1", "f2"]);
        assert_eq!(FlowFilter::default().query(), "");
    }

    #[test]
    fn an_endpoint_is_meant_by_id_name_uid_or_address() {
        for selector in ["container/web", "web", "container/0123abcd", "10.0.0.2"] {
            let filter = FlowFilter { endpoint: Some(selector.into()), ..FlowFilter::default() };
            assert_eq!(ids(filter), ["f1", "f2"], "{selector}");
        }
        for selector in ["container/012", "vm/0123abcd", "container/we", ""] {
            let filter = FlowFilter { endpoint: Some(selector.into()), ..FlowFilter::default() };
            assert_eq!(ids(filter), [""; 0], "{selector}");
        }
    }

    #[test]
    fn a_published_address_finds_the_flow_it_leads_to() {
        let address =
            |text: &str| FlowFilter { address: Some(text.parse().unwrap()), ..FlowFilter::default() };
        assert_eq!(ids(address("198.51.100.1:8080")), ["f2"]);
        assert_eq!(ids(address("198.51.100.1:80")), [""; 0]);
        assert_eq!(ids(address("2001:db8::7")), ["f3"]);
        assert_eq!(ids(address("[2001:db8::7]:53")), ["f3"]);
        assert_eq!(ids(FlowFilter { port: Some(8080), ..FlowFilter::default() }), ["f2"]);
    }

    #[test]
    fn a_translated_address_finds_the_flow_that_a_hop_saw_with_it() {
        let mut report = made_up::report();
        let mut hop = made_up::hop();
        (hop.source, hop.destination) = ("198.51.100.1:61000".into(), "203.0.113.7:80".into());
        std::sync::Arc::make_mut(&mut report.flows[0]).hops.push(hop);
        for text in ["198.51.100.1:61000", "203.0.113.7"] {
            let filter = FlowFilter { address: Some(text.parse().unwrap()), ..FlowFilter::default() };
            let found: Vec<_> = filter.rows(&report).iter().map(|one| one.id.to_string()).collect();
            assert_eq!(found, ["f1"], "{text}");
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = FlowFilter {
            kind: Some(KindName::External),
            path: Some(Path::Uplink),
            verdict: Some(Verdict::Reachable),
            ..FlowFilter::default()
        };
        assert_eq!(ids(filter.clone()), ["f2"]);
        assert_eq!(ids(FlowFilter { verdict: Some(Verdict::Refused), ..filter.clone() }), ["f3"]);
        assert_eq!(ids(FlowFilter { path: Some(Path::Bridge), ..filter }), [""; 0]);
    }

    #[test]
    fn a_query_says_what_the_filter_means_whatever_the_name() {
        let filter = FlowFilter {
            endpoint: Some("container/ä b&c=d%".into()),
            address: Some("[::1]:5".parse().unwrap()),
            kind: Some(KindName::Vm),
            port: Some(7),
            ..FlowFilter::default()
        };
        let query = filter.query();
        assert_eq!(
            query,
            "?endpoint=container%2F%C3%A4%20b%26c%3Dd%25&kind=vm&address=%5B%3A%3A1%5D%3A5&port=7"
        );
        let uri: axum::http::Uri = format!("/{query}").parse().unwrap();
        assert_eq!(axum::extract::Query::<FlowFilter>::try_from_uri(&uri).unwrap().0, filter);
    }

    #[test]
    fn a_wrong_address_says_what_would_be_right() {
        assert!("web:80".parse::<AddressFilter>().unwrap_err().contains("[ADDR]:PORT"));
        assert!("1.2.3.4:99999".parse::<AddressFilter>().is_err());
    }
}
