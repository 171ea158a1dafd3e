//! What was typed → who is meant. Pure.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use jiff::Timestamp;

use crate::report::{AskedSide, EndpointRow, FlowRow, KindName, Party, ProtocolName, Report, Verdict};

/// `A B[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who wants to reach somebody.
    pub source: Side,
    /// Whom.
    pub destination: Side,
    /// At which port; any, if none is given.
    pub port: Option<u16>,
    /// From which port; any, if none is given. Of an echo its identifier.
    pub from_port: Option<u16>,
    /// By which protocol; any, if none is given.
    pub protocol: Option<ProtocolName>,
    /// Only what was seen since then.
    pub since: Option<Timestamp>,
    /// What the socket was told that this was sent by, if one was.
    pub told: Option<Verdict>,
}

/// Who is meant by a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// As typed, without a port.
    pub selector: String,
    /// The address, if it is one.
    pub address: Option<IpAddr>,
    /// `NAMESPACE/NAME` of a Service.
    pub service: Option<String>,
    ids: BTreeSet<Arc<str>>,
}

impl Asked {
    /// Who is meant, among the endpoints of this host and whoever was seen elsewhere.
    ///
    /// # Errors
    /// A line that says what would be right: nobody, or several, go by that name.
    pub fn of(source: &str, destination: &str, report: &Report) -> Result<Self, String> {
        let (name, port) = split(destination);
        if split(source).1.is_some() && source.parse::<IpAddr>().is_err() {
            return Err(format!("{source}: a port belongs to the destination only"));
        }
        Ok(Self {
            source: Side::of(source, report)?,
            destination: Side::of(name, report)?,
            port,
            from_port: None,
            protocol: None,
            since: None,
            told: None,
        })
    }

    /// Whether a conversation is one of these two, from the source to the destination. A question for the neighbour that
    /// stays without an answer is about every port of it.
    #[must_use]
    pub fn means(&self, flow: &FlowRow) -> bool {
        let original = flow.original_destination.as_ref();
        let by_original = original.is_some_and(|one| {
            self.destination.address == Some(one.address)
                || self.destination.service.is_some()
                    && self.destination.service.as_deref() == one.service.as_deref()
        });
        let port = self
            .port
            .is_none_or(|port| flow.destination.port == port || original.is_some_and(|one| one.port == port));
        let from_port = self.from_port.is_none_or(|port| flow.source.port == port);
        let protocol = self.protocol.is_none_or(|protocol| flow.protocol == protocol);
        self.source.is(&flow.source)
            && (self.destination.is(&flow.destination) || by_original)
            && (port && from_port && protocol || flow.is_vain_question())
            && self.since.is_none_or(|since| flow.last_seen >= since)
    }
}

impl Side {
    fn of(selector: &str, report: &Report) -> Result<Self, String> {
        let endpoints = &report.endpoints;
        let address: Option<IpAddr> = selector.parse().ok();
        let service = selector.strip_prefix("service/").map(str::to_owned);
        let called = |means: &dyn Fn(&EndpointRow) -> bool| -> BTreeSet<Arc<str>> {
            endpoints.iter().filter(|one| means(one)).map(|one| Arc::clone(&one.id)).collect()
        };
        // An id is nobody else's, whatever others are called; an address is no name.
        let mut ids = called(&|one| *one.id == *selector);
        if ids.is_empty() && address.is_none() {
            ids = called(&|one| one.is(selector));
        }
        if ids.len() > 1 {
            let all: Vec<&str> = ids.iter().map(|id| &**id).collect();
            return Err(format!("{selector} may be {}: say which", all.join(" or ")));
        }
        // Not in the list of who is here, or always meant.
        let elsewhere = ["node/", "external/"].iter().any(|word| selector.starts_with(word));
        let known = elsewhere
            || ["host", "external", "unknown"].contains(&selector)
            || ids.is_empty() && was_seen(selector, report);
        if ids.is_empty() && address.is_none() && service.is_none() && !known {
            return Err(format!(
                "nobody here is called {selector}; `netobs endpoints` lists who is here, and an address will do"
            ));
        }
        if known {
            ids.insert(selector.into());
        }
        Ok(Self { selector: selector.into(), address, service, ids })
    }

    /// Whether that is one of those who are meant.
    #[must_use]
    pub fn is(&self, party: &Party) -> bool {
        self.ids.contains(&party.endpoint) || self.address == Some(party.address)
    }

    /// The endpoint on this host that is meant, by name or by address.
    #[must_use]
    pub fn endpoint<'e>(&self, endpoints: &'e [EndpointRow]) -> Option<&'e EndpointRow> {
        endpoints.iter().find(|one| {
            self.ids.contains(&one.id)
                || self.address.is_some_and(|address| one.addresses().any(|own| own == address))
        })
    }

    /// As it is published.
    #[must_use]
    pub fn row(&self, endpoints: &[EndpointRow], seen: Option<&Party>, port: Option<u16>) -> AskedSide {
        let endpoint = self.endpoint(endpoints);
        let id = seen.map(|party| Arc::clone(&party.endpoint)).or_else(|| Some(Arc::clone(&endpoint?.id)));
        let kind = seen.map(|party| party.kind).or_else(|| Some(endpoint?.kind));
        // The host has many, of which none is meant.
        let own = || endpoint.filter(|one| one.kind != KindName::Host)?.addresses().next();
        let address = self.address.or_else(|| Some(seen?.address)).or_else(own);
        AskedSide {
            selector: self.selector.as_str().into(),
            endpoint: id.unwrap_or_else(|| "unknown".into()),
            kind: kind.unwrap_or(KindName::Unknown),
            address,
            port,
        }
    }
}

/// Whether somebody of this id sent or received what was seen: pods of other nodes are nobody of this host.
fn was_seen(id: &str, report: &Report) -> bool {
    let by_flows = report.flows.iter().flat_map(|flow| [&flow.source, &flow.destination]);
    let by_drops = report.drops.iter().flat_map(|one| [&one.source, &one.destination]);
    by_flows.chain(by_drops).any(|party| *party.endpoint == *id)
}

/// A destination and its port.
fn split(text: &str) -> (&str, Option<u16>) {
    if text.parse::<IpAddr>().is_ok() {
        return (text, None);
    }
    if text.parse::<SocketAddr>().is_ok()
        && let Some((address, port)) = text.rsplit_once(':')
    {
        return (address.trim_start_matches('[').trim_end_matches(']'), port.parse().ok());
    }
    match text.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::made_up;

    fn asked(source: &str, destination: &str) -> Result<Asked, String> {
        Asked::of(source, destination, &report())
    }

    fn report() -> Report {
        let mut report = Report::empty("alpha".into(), "2026-01-02T03:04:07Z".parse().unwrap());
        report.endpoints = vec![made_up::container("web", "10.0.0.2"), made_up::container("db", "10.0.0.3")];
        report
    }

    #[test]
    fn who_is_elsewhere_is_known_once_seen() {
        let mut report = report();
        let of = |report: &Report| Asked::of("container/web", "pod/shop/far:80", report);
        assert!(of(&report).unwrap_err().contains("nobody here"));
        let flow = made_up::flow(("container/web", "10.0.0.2"), ("pod/shop/far", "10.9.0.2"), 80);
        report.flows = vec![Arc::new(flow.clone())];
        let asked = of(&report).unwrap();
        assert!(asked.means(&flow) && asked.port == Some(80));
    }

    #[test]
    fn a_destination_may_have_a_port() {
        for (text, name, port) in [
            ("container/db:80", "container/db", Some(80)),
            ("container/db", "container/db", None),
            ("10.0.0.3:443", "10.0.0.3", Some(443)),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]:53", "2001:db8::1", Some(53)),
            ("pod/default/api:8080", "pod/default/api", Some(8080)),
        ] {
            assert_eq!(split(text), (name, port), "{text}");
        }
    }

    #[test]
    fn who_is_nowhere_is_said_to_be_so() {
        assert!(asked("container/web", "container/db:80").is_ok());
        assert!(asked("container/web", "203.0.113.9").is_ok(), "an address needs no endpoint");
        assert!(asked("web", "service/default/api").is_ok());
        let error = asked("container/wbe", "container/db").unwrap_err();
        assert!(error.contains("netobs endpoints"), "{error}");
        assert!(asked("container/web:80", "container/db").unwrap_err().contains("destination only"));
    }

    #[test]
    fn a_conversation_is_meant_by_names_addresses_and_what_was_addressed() {
        let mut flow = made_up::flow(("container/web", "10.0.0.2"), ("container/db", "10.0.0.3"), 80);
        for (source, destination, means) in [
            ("container/web", "container/db", true),
            ("web", "db:80", true),
            ("10.0.0.2", "10.0.0.3:80", true),
            ("container/web", "container/db:81", false),
            ("container/db", "container/web", false),
            ("container/web", "203.0.113.9:8080", false),
        ] {
            assert_eq!(asked(source, destination).unwrap().means(&flow), means, "{source} {destination}");
        }
        flow.original_destination = Some(crate::report::OriginalDestination {
            address: "203.0.113.9".parse().unwrap(),
            port: 8080,
            service: Some("default/db".into()),
        });
        assert!(asked("container/web", "203.0.113.9:8080").unwrap().means(&flow));
        assert!(asked("container/web", "service/default/db").unwrap().means(&flow));
        assert!(
            asked("container/web", "container/db:80").unwrap().means(&flow),
            "the port after translation"
        );
    }
}
