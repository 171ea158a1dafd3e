//! One network stack as it is configured, read when somebody asks why it does what it does: plain data with pure
//! questions to it.

mod lookup;

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use netobs_common::wire::Proto;

use super::{Facts, firewall::Ruleset};

pub use lookup::Way;

/// A network stack's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Inode of its namespace.
    pub inode: u64,
    /// Links, addresses, routes of all tables, neighbours, forwarding entries.
    pub facts: Facts,
    /// What bridges do with frames at their ports, by the ports' indexes.
    pub ports: BTreeMap<u32, PortState>,
    /// The rules by which a routing table is chosen, in their order.
    pub rules: Vec<RoutingRule>,
    /// Settings, by dotted name (`net.ipv4.ip_forward`).
    pub sysctls: BTreeMap<String, String>,
    /// Sockets that wait for somebody.
    pub listeners: Vec<Listener>,
    /// The firewall's rules; `None` where they could not be read.
    pub firewall: Option<Ruleset>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// What a bridge does with frames at a port (`BR_STATE_…`, include/uapi/linux/if_bridge.h, Linux 6.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Nothing passes.
    Disabled,
    /// Nothing passes, the spanning tree is being worked out.
    Listening,
    /// Nothing passes, addresses are learned.
    Learning,
    /// Frames pass.
    Forwarding,
    /// Nothing passes, lest frames go in circles.
    Blocking,
    /// A number without a name here.
    Other(u8),
}

impl PortState {
    /// As `bridge link` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Listening => "listening",
            Self::Learning => "learning",
            Self::Forwarding => "forwarding",
            Self::Blocking => "blocking",
            Self::Other(_) => "of an unknown state",
        }
    }
}

/// A rule of policy routing (`ip rule`), as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingRule {
    /// Of which family.
    pub v6: bool,
    /// Rules with lower numbers are looked at first.
    pub priority: u32,
    /// Only for packets from there.
    pub source: Option<IpNet>,
    /// Only for packets to there.
    pub destination: Option<IpNet>,
    /// Only for packets that came in by this interface; `lo` for those made here.
    pub iif: Option<String>,
    /// Only for sockets bound to this interface.
    pub oif: Option<String>,
    /// Only for packets with this mark, under this mask.
    pub mark: Option<(u32, u32)>,
    /// Routes with a prefix no longer than this do not count.
    pub suppress: Option<u8>,
    /// Whether it asks for something that is not understood here (ports, users, protocols).
    pub more: bool,
    /// Whether it is for packets that do *not* match.
    pub inverted: bool,
    /// What it does.
    pub action: RuleAction,
}

/// What a rule of policy routing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Looks into this table.
    Table(u32),
    /// Ends the search without a route.
    Refuse,
    /// Anything else.
    Other,
}

/// A socket that waits for connections or datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// TCP or UDP.
    pub proto: Proto,
    /// The address it waits at; unspecified for every address.
    pub address: IpAddr,
    /// The port it waits at.
    pub port: u16,
    /// Whether it takes both families, as an IPv6 socket at `::` does unless told otherwise.
    pub both: bool,
}

impl Listener {
    /// Whether something sent there reaches it.
    #[must_use]
    pub fn hears(&self, proto: Proto, address: IpAddr, port: u16) -> bool {
        let family = self.address.is_ipv4() == address.is_ipv4() || self.both;
        self.proto == proto
            && self.port == port
            && (self.address == address || self.address.is_unspecified() && family)
    }
}

impl Stack {
    /// A setting's number; `None` where the kernel has none of that name.
    #[must_use]
    pub fn sysctl(&self, name: &str) -> Option<i64> {
        self.sysctls.get(name)?.parse().ok()
    }

    /// The name of an interface.
    #[must_use]
    pub fn name(&self, link: u32) -> Option<&str> {
        Some(self.facts.links.get(&link)?.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str, both: bool) -> Listener {
        Listener { proto: Proto::TCP, address: address.parse().unwrap(), port: 80, both }
    }

    fn hears(listener: &Listener, address: &str) -> bool {
        listener.hears(Proto::TCP, address.parse().unwrap(), 80)
    }

    #[test]
    fn a_socket_at_one_address_hears_nothing_else() {
        assert!(hears(&listener("10.0.0.2", false), "10.0.0.2"));
        assert!(!hears(&listener("127.0.0.1", false), "10.0.0.2"));
        assert!(!listener("10.0.0.2", false).hears(Proto::UDP, "10.0.0.2".parse().unwrap(), 80));
        assert!(!listener("10.0.0.2", false).hears(Proto::TCP, "10.0.0.2".parse().unwrap(), 81));
    }

    #[test]
    fn a_socket_at_every_address_hears_its_family_or_both() {
        assert!(hears(&listener("0.0.0.0", false), "10.0.0.2"));
        assert!(!hears(&listener("0.0.0.0", false), "2001:db8::2"));
        assert!(hears(&listener("::", true), "10.0.0.2"));
        assert!(!hears(&listener("::", false), "10.0.0.2"));
    }
}
