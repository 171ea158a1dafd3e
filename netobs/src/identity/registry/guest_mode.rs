//! How an interface that no runtime's network claims is attached, by what can be seen of it. Pure.

use ipnet::IpNet;

use crate::{
    host::facts::{Facts, Link, LinkKind, firewall::Origin},
    identity::{endpoint::Mode, observed::Observed},
};

/// How an interface without a network's name is attached. A guest is on the network beyond the host if the way
/// out is a port of its bridge; behind the host's address if the host gives its network's packets that address;
/// else it never gets further than the host. `None` where the host's translations are not known.
///
/// A network that others route to without translation has no word of its own and counts as host-only here.
pub(super) fn switched(link: &Link, observed: &Observed<'_>) -> Option<Mode> {
    let facts = observed.facts;
    let bridge = facts.bridge_of(link.index);
    if link.kind == LinkKind::Veth {
        return bridge.map(|_| Mode::Bridge);
    }
    if let Some(bridge) = bridge {
        let ports = facts.ports_of(bridge);
        let leads_out = |uplink: &u32| ports.contains(uplink) || *uplink == bridge;
        if observed.uplinks.iter().any(leads_out) {
            return Some(Mode::Bridge);
        }
    }
    let near = bridge.unwrap_or(link.index);
    let mut networks = facts.connected_prefixes(near);
    networks.retain(|network| !is_link_local(network));
    if networks.is_empty() {
        // Without an address of the host there is nobody who would forward for it.
        return Some(Mode::HostOnly);
    }
    let rules = observed.nat_rules?;
    let uplinks: Vec<&str> = observed.uplinks.iter().filter_map(|index| name_of(facts, *index)).collect();
    let interface = name_of(facts, near)?;
    let mut open = false;
    for network in networks {
        match rules.translates(Origin { network, interface, uplinks: &uplinks }) {
            Some(true) => return Some(Mode::Nat),
            Some(false) => {}
            None => open = true,
        }
    }
    (!open).then_some(Mode::HostOnly)
}

/// `fe80::/10`: every interface has one, and it leads nowhere.
fn is_link_local(network: &IpNet) -> bool {
    matches!(network, IpNet::V6(network) if network.addr().is_unicast_link_local())
}

fn name_of(facts: &Facts, index: u32) -> Option<&str> {
    facts.links.get(&index).map(|link| link.name.as_str())
}
