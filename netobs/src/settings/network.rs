//! `NAME=CIDR` → a network with a name.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// Longest name: Kubernetes allows a node 253 characters, a table shows 40.
const NAME_LIMIT: usize = 63;

/// A network, or a single address, that was given a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedNetwork {
    /// Letters, digits, `-`, `_` and `.`.
    pub name: Arc<str>,
    /// Host bits are zero.
    pub network: IpNet,
}

impl NamedNetwork {
    /// The address, if it is a single one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        (self.network.prefix_len() == self.network.max_prefix_len()).then(|| self.network.addr())
    }
}

impl FromStr for NamedNetwork {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, network) = text.split_once('=').ok_or("give NAME=CIDR, as in office=203.0.113.0/24")?;
        let is_plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(is_plain) {
            return Err("a name is up to 63 letters, digits, `-`, `_` and `.`");
        }
        let network = network.trim();
        let parsed = network.parse().or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
        let network: IpNet = parsed.map_err(|_| "this is neither ADDRESS/LENGTH nor an address")?;
        Ok(Self { name: name.into(), network: network.trunc() })
    }
}

impl fmt::Display for NamedNetwork {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}={}", self.name, self.network)
    }
}

impl Serialize for NamedNetwork {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_and_an_address_are_understood() {
        let office: NamedNetwork = "office=203.0.113.7/24".parse().unwrap();
        assert_eq!((office.to_string().as_str(), office.address()), ("office=203.0.113.0/24", None));
        let node: NamedNetwork = "node-2=2001:db8::2".parse().unwrap();
        assert_eq!(node.address(), Some("2001:db8::2".parse().unwrap()));
        assert_eq!(node.to_string().parse::<NamedNetwork>().unwrap(), node);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in ["", "203.0.113.0/24", "=203.0.113.0/24", "a b=203.0.113.0/24", "x=203.0.113.0/33", "x="]
        {
            assert!(text.parse::<NamedNetwork>().is_err(), "{text}");
        }
    }
}
