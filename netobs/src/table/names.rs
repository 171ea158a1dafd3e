//! One side of a flow → the longest name for it that fits. Pure.

use std::{borrow::Cow, net::IpAddr};

use super::text::{cells, cut, head, printable};
use crate::report::{Party, ProtocolName};

/// Whether the port of a flow is a port, not the identifier of an echo or nothing at all.
#[must_use]
pub const fn has_ports(protocol: ProtocolName) -> bool {
    matches!(protocol, ProtocolName::Tcp | ProtocolName::Udp | ProtocolName::Sctp)
}

/// `198.51.100.7:443`, `[2001:db8::1]:443`; the address alone where there are no ports.
#[must_use]
pub fn socket(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
        (address, Some(port)) => format!("{address}:{port}"),
        (address, None) => address.to_string(),
    }
}

/// A side of a flow, ready to be shown at any width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    id: Cow<'a, str>,
    port: String,
}

impl<'a> Name<'a> {
    /// The endpoint's name where there is one, else the address; with the port if it is to be shown.
    #[must_use]
    pub fn of(party: &'a Party, protocol: ProtocolName, with_port: bool) -> Self {
        let port = (with_port && has_ports(protocol) && party.port != 0).then_some(party.port);
        // `external` and `unknown` say nothing about who it is; the address does.
        if matches!(&*party.endpoint, "external" | "unknown" | "") {
            // The bracket belongs to the port: an address that is cut keeps both.
            return match (party.address, port) {
                (IpAddr::V6(address), Some(port)) => {
                    Self { id: Cow::Owned(format!("[{address}")), port: format!("]:{port}") }
                }
                (address, port) => Self { id: Cow::Owned(address.to_string()), port: suffix(port) },
            };
        }
        Self { id: printable(&party.endpoint), port: suffix(port) }
    }

    /// Everything: `container/web:80`.
    #[must_use]
    pub fn full(&self) -> String {
        format!("{}{}", self.id, self.port)
    }

    /// How many cells [`Name::full`] takes.
    #[must_use]
    pub fn cells(&self) -> usize {
        cells(&self.id) + self.port.len()
    }

    /// The longest form that fits: `container/web:80`, else `web:80`, else `we…:80`, else `web…`.
    #[must_use]
    pub fn fit(&self, limit: usize) -> String {
        // The kind goes first, then a pod's namespace; the name itself is cut last.
        let mut form: &str = &self.id;
        loop {
            if cells(form) + self.port.len() <= limit {
                return format!("{form}{}", self.port);
            }
            match form.split_once('/') {
                Some((_, rest)) if !rest.is_empty() => form = rest,
                _ => break,
            }
        }
        // Four cells of a name still tell it from others; a port without a name tells nothing.
        if limit >= self.port.len() + 5 {
            format!("{}…{}", head(form, limit - self.port.len() - 1), self.port)
        } else {
            cut(form, limit).into_owned()
        }
    }
}

fn suffix(port: Option<u16>) -> String {
    port.map(|port| format!(":{port}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::KindName;

    fn party(endpoint: &str, address: &str, port: u16) -> Party {
        Party {
            endpoint: endpoint.into(),
            kind: KindName::Container,
            address: address.parse().unwrap(),
            port,
            process: None,
        }
    }

    fn shown(endpoint: &str, limit: usize) -> String {
        Name::of(&party(endpoint, "172.17.0.2", 80), ProtocolName::Tcp, true).fit(limit)
    }

    #[test]
    fn the_name_shrinks_from_the_left_and_keeps_its_port() {
        assert_eq!(shown("container/web", 16), "container/web:80");
        assert_eq!(shown("container/web", 15), "web:80");
        assert_eq!(shown("pod/default/api", 18), "pod/default/api:80");
        assert_eq!(shown("pod/default/api", 14), "default/api:80");
        assert_eq!(shown("pod/default/api", 13), "api:80");
        assert_eq!(shown("container/very-long-service", 12), "very-lon…:80");
        assert_eq!(shown("container/very-long-service", 6), "very-…");
    }

    #[test]
    fn outside_is_shown_by_its_address() {
        let name =
            |address, port| Name::of(&party("external", address, port), ProtocolName::Tcp, true).full();
        assert_eq!(name("198.51.100.7", 443), "198.51.100.7:443");
        assert_eq!(name("2001:db8::1", 443), "[2001:db8::1]:443");
        assert_eq!(name("2001:db8::1", 0), "2001:db8::1");
    }

    #[test]
    fn a_cut_address_keeps_its_brackets() {
        let party = party("unknown", "2001:db8::dead:beef", 443);
        assert_eq!(Name::of(&party, ProtocolName::Tcp, true).fit(16), "[2001:db8:…]:443");
    }

    #[test]
    fn the_identifier_of_an_echo_is_no_port() {
        let ping = party("container/web", "172.17.0.2", 4711);
        assert_eq!(Name::of(&ping, ProtocolName::Icmp, true).full(), "container/web");
    }

    #[test]
    fn a_port_that_was_not_asked_for_is_not_shown() {
        assert_eq!(Name::of(&party("host", "10.0.0.1", 22), ProtocolName::Tcp, false).full(), "host");
    }

    #[test]
    fn a_name_that_ends_in_a_slash_is_still_a_name() {
        assert_eq!(shown("container/", 6), "conta…");
    }

    proptest! {
        #[test]
        fn a_name_never_outgrows_its_column(endpoint in any::<String>(), port: u16, limit in 0_usize..40) {
            let party = party(&endpoint, "2001:db8::dead:beef", port);
            let shown = Name::of(&party, ProtocolName::Udp, true).fit(limit);
            prop_assert!(cells(&shown) <= limit, "{shown:?}");
        }
    }
}
