//! Encapsulated packets do not fit the network below, and may not be cut: small ones pass, large ones vanish (RFC 7348,
//! 4.3). Or what is behind the device sends more than fits into it, and is not told.

use super::{Case, Words, cause, packets, underlay};
use crate::{
    host::facts::{Link, OuterDf, Vxlan},
    report::{Cause, CauseName, Confidence, DropRow, EvidenceKind, HookName, HopRow},
};

/// What VXLAN adds to the packet inside: outer IPv4 20 (IPv6 40), UDP 8, VXLAN 8, inner Ethernet 14.
const OVER_V4: u32 = 50;
const OVER_V6: u32 = 70;
/// What the kernel says of a packet larger than the interface it is to leave by.
const REASON: &str = "pkt_too_big";

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let (device, vxlan) = underlay::device(case)?;
    let drop = case.dropped(&[REASON]);
    let (_, node) = underlay::nodes(case);
    let v6 = node.or(vxlan.local).is_some_and(|one| one.is_ipv6());
    let over = if v6 { OVER_V6 } else { OVER_V4 };
    match underlay::lower(case, vxlan, node) {
        Some(lower) if device.mtu + over > lower.mtu => below(case, (device, vxlan), (lower, over, v6), drop),
        _ => behind(case, device, drop?),
    }
}

/// What the device makes is larger than what the interface below it takes.
fn below(
    case: &Case<'_>,
    (device, vxlan): (&Link, &Vxlan),
    (lower, over, v6): (&Link, u32, bool),
    drop: Option<&DropRow>,
) -> Option<Cause> {
    let hops = &case.flow?.hops;
    let leaves = |hop: &&HopRow, link: &Link| hop.ifindex == link.index && hop.hook == HookName::Egress;
    let lossy = hops.iter().find(|hop| leaves(hop, device) && hop.lost_segments > Some(0));
    let again = case.evidence(EvidenceKind::Retransmit);
    let (whole, df) = match vxlan.outer_df {
        // The kernel cuts no IPv6 packet that it did not make itself for a socket (`ip6_fragment`, Linux 6.18).
        _ if v6 => (true, "are not cut (IPv6)"),
        OuterDf::Unset => (false, "may be cut"),
        OuterDf::Set => (true, "may not be cut (df set)"),
        OuterDf::Inherit => (true, "may be cut only if the packet inside may (df inherit)"),
    };
    let lost = lossy.and_then(|hop| {
        let left = hops.iter().find(|one| leaves(one, lower) && one.direction == hop.direction)?;
        let lost = segments(hop.lost_segments?);
        let did = packets(left.packets);
        Some(format!("{lost} went into {} and did not leave by {}, where {did} did", device.name, lower.name))
    });
    let more = again.map(|one| format!("{} sent again", segments(one.count)));
    let (confidence, observed) = match (drop, lost, more) {
        (Some(one), ..) => {
            (Confidence::Certain, format!("{} dropped as too big ({REASON})", packets(one.packets)))
        }
        (None, Some(lost), Some(more)) if whole => (Confidence::Certain, format!("{lost}; {more}")),
        (None, Some(lost), _) => (Confidence::Likely, lost),
        (None, None, Some(more)) if whole => (Confidence::Likely, more),
        (None, None, Some(more)) => (Confidence::Possible, more),
        (None, None, None) => return None,
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

/// What is sent into the device is larger than what it takes. Who sends it would be told by ICMP.
fn behind(case: &Case<'_>, device: &Link, drop: &DropRow) -> Option<Cause> {
    let side = if case.is_of_answer(drop) { case.exit() } else { case.entry() };
    let (own, _) = side.filter(|(own, _)| own.mtu > device.mtu)?;
    Some(cause(
        CauseName::OverlayMtu,
        Confidence::Certain,
        Words {
            observed: format!("{} dropped as too big ({REASON})", packets(drop.packets)),
            configured: format!(
                "{} has an MTU of {}, and {}, behind which the sender is, one of {}",
                device.name, device.mtu, own.name, own.mtu
            ),
            advice: format!(
                "set the MTU of {} and of the interface behind it to {}, or let the ICMP errors that say so pass",
                own.name, device.mtu
            ),
            check: format!("ip link show {}; ip link show {}", device.name, own.name),
        },
    ))
}

fn segments(count: u64) -> String {
    format!("{count} segment{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::World;
    use crate::host::facts::{LinkKind, OuterDf};
    use crate::report::{CauseName, Confidence, Verdict};

    const DEVICE: u32 = 6;

    fn names(world: &World) -> Vec<(CauseName, Confidence)> {
        world.causes().iter().map(|one| (one.cause, one.confidence)).collect()
    }

    #[test]
    fn what_does_not_fit_below_and_is_lost_there_proves_it() {
        let mut world = World::overlaid();
        world.fits(1_450, 1_400, OuterDf::Set);
        assert!(world.causes().is_empty(), "as long as all arrives, nothing is wrong");
        world.loses(DEVICE, 16);
        assert_eq!(world.first(), (CauseName::OverlayMtu, Confidence::Certain));
        let answer = world.explained();
        let cause = &answer.causes[0];
        let observed =
            "16 segments went into vx1 and did not leave by up0, where 3 packets did; 5 segments sent again";
        assert_eq!(&*cause.observed, observed);
        assert!(
            cause.configured.contains("does not fit the 1400 of up0; outer packets may not be cut (df set)")
        );
        assert!(cause.advice.contains("to 1350"), "{cause:?}");
        // The last hop is where the large ones were seen last, and the next one is known.
        let [last, next] =
            [answer.last_hop, answer.expected_next_hop].map(|hop| hop.map(|hop| hop.interface));
        assert_eq!((last.as_deref(), next.as_deref()), (Some("vx1"), Some("up0")));
        assert_eq!(answer.causes.len(), 1, "it is not beyond this host: {:?}", answer.causes);
    }

    #[test]
    fn what_fits_is_not_blamed() {
        let mut world = World::overlaid();
        world.fits(1_450, 1_500, OuterDf::Set).loses(DEVICE, 16);
        assert!(names(&world).iter().all(|one| one.0 != CauseName::OverlayMtu), "{:?}", world.causes());
    }

    #[test]
    fn what_may_be_cut_is_only_suspected() {
        let mut world = World::overlaid();
        world.fits(1_450, 1_400, OuterDf::Unset).loses(9, 0);
        assert!(
            names(&world).contains(&(CauseName::OverlayMtu, Confidence::Possible)),
            "{:?}",
            world.causes()
        );
        world.fits(1_450, 1_400, OuterDf::Inherit);
        assert_eq!(world.first(), (CauseName::OverlayMtu, Confidence::Likely));
    }

    #[test]
    fn over_ipv6_more_is_put_around_and_nothing_is_cut() {
        let mut world = World::overlaid();
        world.fits(1_450, 1_510, OuterDf::Unset).loses(DEVICE, 16);
        if let Some(overlay) = &mut world.flow.overlay {
            overlay.outer_destination = "2001:db8::3".parse().ok();
        }
        if let Some(LinkKind::Vxlan(vxlan)) = world.host.facts.links.get_mut(&DEVICE).map(|one| &mut one.kind)
        {
            vxlan.local = "2001:db8::2".parse().ok();
        }
        assert_eq!(world.first(), (CauseName::OverlayMtu, Confidence::Certain));
        assert!(world.causes()[0].configured.contains("with 70 bytes"), "{:?}", world.causes());
    }

    #[test]
    fn a_sender_with_more_than_the_device_takes_is_named() {
        let mut world = World::overlaid();
        world.loses(3, 4).dropped("pkt_too_big", "br1");
        world.flow.verdict = Verdict::OneWay;
        assert_eq!(world.first(), (CauseName::OverlayMtu, Confidence::Certain));
        let configured = &world.causes()[0].configured;
        assert!(configured.contains("vx1 has an MTU of 1450, and va, behind"), "{configured}");
        assert_eq!(world.explained().last_hop.map(|hop| hop.interface), Some("br1".into()));
    }
}
