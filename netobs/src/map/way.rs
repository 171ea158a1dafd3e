//! A flow → the nodes it passes, in the order of travel. Pure.

use std::{net::IpAddr, sync::Arc};

use super::places::{GROUP, HOST, NAT, OUTSIDE, Places, UNKNOWN};
use crate::report::{FlowRow, HopDirection, HopRow, Nat, NodeKind, Party, Path, Reporter};

/// The way of a flow. Its sides must have been met.
pub(super) fn of(flow: &FlowRow, places: &Places) -> Vec<Arc<str>> {
    let hops = hops(flow);
    let translated = matches!(flow.nat, Nat::Snat | Nat::Dnat | Nat::Both);
    let mut way: Vec<Arc<str>> = Vec::new();
    let mut before: Option<&HopRow> = None;
    let mut is_told = !translated;
    for hop in hops {
        let Some(place) = places.at(hop.ifindex) else { continue };
        let changed = before.is_some_and(|before| {
            // Inside a tunnel the outer tuple is shown, which translates none.
            before.encapsulation == hop.encapsulation
                && (&before.source, &before.destination) != (&hop.source, &hop.destination)
        });
        if changed && !is_told {
            way.push(NAT.into());
            is_told = true;
        }
        go(&mut way, place);
        before = Some(hop);
    }
    let [source, destination] = [&flow.source, &flow.destination].map(|party| end(party, places));
    // A hop that was not seen is filled in from what is known of the endpoint.
    if let Some(source) = &source {
        way.reverse();
        finish(&mut way, source, places);
        way.reverse();
    }
    if let Some(destination) = &destination {
        finish(&mut way, destination, places);
    }
    if !is_told {
        translate(&mut way, places);
    }
    way
}

/// The hops of the direction that was seen, in the order from source to destination.
fn hops(flow: &FlowRow) -> Vec<&HopRow> {
    // What lies inside an endpoint is part of its node, and its indexes mean nothing outside.
    let of =
        |direction| flow.hops.iter().filter(move |hop| hop.direction == direction && hop.inside.is_none());
    let forward: Vec<_> = of(HopDirection::Forward).collect();
    if forward.is_empty() { of(HopDirection::Reply).rev().collect() } else { forward }
}

/// The node of a side; none where it is nobody.
fn end(party: &Party, places: &Places) -> Option<Arc<str>> {
    let is_drawn = is_somebody(party) && places.nodes.contains_key(&party.endpoint);
    is_drawn.then(|| Arc::clone(&party.endpoint))
}

/// Whether a side of a flow is somebody. A group is nobody, nor is who has no name and an address that means something
/// on one segment only: it would be drawn as the outside, and is none.
pub(super) fn is_somebody(party: &Party) -> bool {
    let nowhere = match party.address {
        IpAddr::V4(one) => {
            one.is_multicast() || one.is_broadcast() || one.is_unspecified() || one.is_link_local()
        }
        IpAddr::V6(one) => one.is_multicast() || one.is_unspecified() || one.is_unicast_link_local(),
    };
    let unnamed = matches!(&*party.endpoint, OUTSIDE | UNKNOWN);
    &*party.endpoint != GROUP && !(unnamed && nowhere)
}

/// Whether source and destination are on this host, for those that are no endpoints any more.
pub(super) fn are_local(flow: &FlowRow) -> (bool, bool) {
    match flow.path {
        Path::Loopback | Path::HostDirect | Path::Bridge | Path::RoutedLocal => (true, true),
        _ => match flow.reporter {
            Reporter::Source => (true, false),
            Reporter::Destination => (false, true),
            Reporter::Transit => (false, false),
        },
    }
}

/// Ends a way at an endpoint: by what it is attached to, and where it is elsewhere by the uplink.
fn finish(way: &mut Vec<Arc<str>>, end: &Arc<str>, places: &Places) {
    let attached = places.attached(end);
    let last = way.last();
    if let Some(first) = attached.first()
        && !last.is_some_and(|last| attached.iter().any(|one| one.place == *last))
    {
        go(way, &first.place.clone());
    }
    if way.is_empty()
        && places.rank(end) == 6
        && let Some(uplink) = places.uplinks.first()
    {
        go(way, uplink);
    }
    go(way, end);
}

fn go(way: &mut Vec<Arc<str>>, place: &Arc<str>) {
    if way.last() != Some(place) {
        way.push(Arc::clone(place));
    }
}

/// Puts a translation that no two hops show where it must have been: beside the host's own socket, else between the
/// uplink and the rest, else where the path turns.
fn translate(way: &mut Vec<Arc<str>>, places: &Places) {
    let Some(last) = way.len().checked_sub(1) else { return };
    let is_outward = |one: &Arc<str>| places.is_uplink(one) || places.kind(one) == NodeKind::Overlay;
    let comes_in = places.rank(&way[0]) == 6;
    let out = if comes_in { way.iter().rposition(is_outward) } else { way.iter().position(is_outward) };
    let at = match out {
        _ if way.first().is_some_and(|one| **one == *HOST) => 1,
        _ if way.last().is_some_and(|one| **one == *HOST) => last,
        Some(at) => at + usize::from(comes_in),
        None => {
            // Up to the attachment and back: nobody is a neighbour of the translation but places.
            let turn = 1.min(last);
            way.splice(turn..turn, [Arc::clone(&way[turn]), NAT.into()]);
            return;
        }
    };
    way.insert(at.min(way.len()), NAT.into());
}
