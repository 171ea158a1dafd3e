//! A private address left this host as it was: who is outside does not know the way back to it.

use std::net::IpAddr;

use super::{Case, Words, cause, packets};
use crate::report::{
    Cause, CauseName, Confidence, EvidenceKind, HookName, KindName, Nat, Path, RoleName, Verdict,
};

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    if !matches!(case.verdict, Verdict::Unanswered | Verdict::OneWay | Verdict::Unreachable) {
        return None;
    }
    let flow = case.flow?;
    let hop = case.last_forward()?;
    let left = hop.role == RoleName::Uplink && hop.hook == HookName::Egress;
    let from_here = !matches!(flow.source.kind, KindName::External | KindName::Unknown);
    let host = case.stacks.host;
    let source = flow.source.address;
    if !left
        || !from_here
        || !matches!(flow.nat, Nat::None | Nat::Dnat)
        || flow.destination.kind != KindName::External
        || !is_private(source)
        || host.facts.is_local(source)
        || flow.path == Path::Macvlan
        || !case.asks_the_hosts_routes()
        || is_on_link(case, hop.ifindex, source)
    {
        return None;
    }
    let behind = case.comes_by().map_or("its interface", |link| link.name.as_str());
    // An answer from outside that this very host gave would be an error, and say that it is not this.
    let told = case.evidence(EvidenceKind::IcmpError).is_some();
    Some(cause(
        CauseName::MissingMasquerade,
        // Who has a private address may well know the way back to another one.
        if told || is_private(flow.destination.address) { Confidence::Possible } else { Confidence::Likely },
        Words {
            observed: format!(
                "{} left by {} with the source {}{}",
                packets(hop.packets),
                hop.interface,
                hop.source,
                if told { "" } else { ", and nothing came back" },
            ),
            configured: format!(
                "no rule of this host translated {source} (behind {behind}), and its routes are known to this host alone"
            ),
            advice: format!(
                "translate what leaves by {} (masquerade), or route {source} back to this host",
                hop.interface
            ),
            check: "iptables -w -t nat -S POSTROUTING; nft list ruleset".to_owned(),
        },
    ))
}

/// Whether the uplink's own network has the source: then it is known behind it.
fn is_on_link(case: &Case<'_>, uplink: u32, source: IpAddr) -> bool {
    case.stacks.host.facts.connected_prefixes(uplink).iter().any(|network| network.contains(&source))
}

/// Addresses that are routed nowhere outside (RFC 1918, RFC 6598, RFC 4193).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(one) => one.is_private() || (one.octets()[0] == 100 && one.octets()[1] & 0xc0 == 64),
        IpAddr::V6(one) => one.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::made_up::World;

    #[test]
    fn a_private_source_at_the_uplink_is_named() {
        let mut world = World::outward();
        assert!(world.causes().is_empty(), "it is reachable");
        world.unanswered("up0", 9);
        assert_eq!(world.first(), (CauseName::MissingMasquerade, Confidence::Likely));
        world.translated();
        assert_eq!(world.first().0, CauseName::BeyondThisHost, "it left with the host's address");
    }

    #[test]
    fn private_networks_are_those_of_the_rfcs() {
        for (address, private) in [
            ("10.1.2.3", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("203.0.113.1", false),
            ("fd00::1", true),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
    }
}
