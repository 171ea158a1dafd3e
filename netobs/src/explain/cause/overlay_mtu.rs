//! Encapsulated packets do not fit the network below, and may not be cut: small ones pass, large ones vanish (RFC 7348,
//! 4.3).

use super::{Case, Words, cause, packets};
use crate::{
    host::facts::{Link, LinkKind, OuterDf},
    report::{Cause, CauseName, Confidence, EvidenceKind, Path},
};

/// What VXLAN adds to the packet inside: outer IPv4 20 (IPv6 40), UDP 8, VXLAN 8, inner Ethernet 14.
const OVER_V4: u32 = 50;
const OVER_V6: u32 = 70;

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let flow = case.flow.filter(|flow| flow.path == Path::Overlay)?;
    let facts = &case.stacks.host.facts;
    let used = |link: &&Link| flow.hops.iter().any(|hop| hop.ifindex == link.index);
    let (device, vxlan) = facts.links.values().filter(used).find_map(|link| match &link.kind {
        LinkKind::Vxlan(vxlan) => Some((link, vxlan)),
        _ => None,
    })?;
    let outer = flow.overlay.as_ref().and_then(|one| one.outer_destination).or(vxlan.local);
    let over = if outer.is_some_and(|one| one.is_ipv6()) { OVER_V6 } else { OVER_V4 };
    let by_route = outer.and_then(|destination| {
        let way = crate::host::facts::stack::Way { source: vxlan.local, destination, iif: None };
        case.stacks.host.route(way)?.link
    });
    let lower = vxlan.lower.or(by_route).and_then(|index| facts.links.get(&index))?;
    if device.mtu + over <= lower.mtu {
        return None;
    }
    let drop = case.dropped(&["pkt_too_big"]);
    let again = case.evidence(EvidenceKind::Retransmit);
    let df = match vxlan.outer_df {
        OuterDf::Unset => "may be cut",
        OuterDf::Set => "may not be cut (df set)",
        OuterDf::Inherit => "may be cut only if the packet inside may (df inherit)",
    };
    let (confidence, observed) = match (drop, again) {
        (Some(one), _) => {
            (Confidence::Certain, format!("{} dropped as too big ({})", packets(one.packets), one.reason))
        }
        (None, Some(one)) if vxlan.outer_df != OuterDf::Unset => (
            Confidence::Certain,
            format!("{} sent again and again, while small ones were answered", segments(one.count)),
        ),
        (None, Some(one)) => (Confidence::Possible, format!("{} sent again", segments(one.count))),
        (None, None) => return None,
    };
    Some(cause(
        CauseName::OverlayMtu,
        confidence,
        Words {
            observed,
            configured: format!(
                "{} has an MTU of {}, which with {over} bytes around it does not fit the {} of {}; outer packets {df}",
                device.name, device.mtu, lower.mtu, lower.name
            ),
            advice: format!(
                "set the MTU of {} and of who is behind it to {}",
                device.name,
                lower.mtu.saturating_sub(over)
            ),
            check: format!("ip -d link show {}; ip link show {}", device.name, lower.name),
        },
    ))
}

fn segments(count: u64) -> String {
    format!("{count} segment{}", if count == 1 { "" } else { "s" })
}
