//! A dropped packet's addresses and interfaces → who sent it to whom, and by which way. As the classifier says it of
//! a packet it sees (`netobs-ebpf/src/classify.rs`), where no conversation tells more.

use std::net::IpAddr;

use netobs_common::{endpoint::EndpointId, interface::Role};

use super::place::At;
use crate::{
    collector::Names,
    flow::{
        interfaces::Observed,
        table::{Context, Directory as _},
        tuple::Tuple,
    },
    path::class,
    report::{KindName, PairLabels, Path},
};

/// Sender and receiver. `stack` is the endpoint in whose network stack it was dropped, if it was not the host's.
pub(super) fn ends(
    tuple: &Tuple,
    at: &At<'_>,
    stack: Option<EndpointId>,
    received: bool,
    context: &Context<'_, Names<'_>>,
) -> [EndpointId; 2] {
    let names = context.directory;
    let bridge =
        [at.ingress, at.device].into_iter().flatten().next().map_or(0, |(_, one)| {
            context.interfaces.get(one.kernel.segment).map_or(0, |bridge| bridge.ifindex)
        });
    let holder = |address: IpAddr| {
        if address.is_loopback() {
            return stack.unwrap_or(EndpointId::HOST);
        }
        let known = names.holder(bridge, address);
        let other = if names.is_outside(address) { EndpointId::EXTERNAL } else { EndpointId::UNKNOWN };
        names.current(known.unwrap_or(other))
    };
    let unknown = |one: EndpointId| matches!(one, EndpointId::UNKNOWN | EndpointId::EXTERNAL);
    let (from, to) = (tuple.source.address, tuple.destination.address);
    // Whatever address it writes, it is the owner who sends.
    let sender = at.ingress.and_then(|(_, one)| one.owner()).map(|owner| names.current(owner));
    let source = match (sender, stack) {
        (Some(sender), _) => sender,
        (None, Some(stack)) if !received => stack,
        (None, None) if !received && unknown(holder(from)) => EndpointId::HOST,
        _ => holder(from),
    };
    let destination = match stack {
        _ if is_group(to) => EndpointId::GROUP,
        Some(stack) if received && unknown(holder(to)) => stack,
        _ => holder(to),
    };
    [source, destination]
}

/// Kinds and way.
pub(super) fn labels(
    ends: [EndpointId; 2],
    tuple: &Tuple,
    at: &At<'_>,
    context: &Context<'_, Names<'_>>,
) -> PairLabels {
    let interfaces = [at.device, at.ingress].into_iter().flatten().map(|(_, one)| one);
    let mut roles = interfaces.fold(0, |roles, one| roles | 1 << one.role().0);
    if ends[0] == ends[1] && ends[0] != EndpointId::UNKNOWN {
        roles = 1 << Role::LOOPBACK.0;
    }
    let addresses = [tuple.source.address, tuple.destination.address];
    let path = class::between(ends, addresses, roles, context.interfaces, context.directory);
    let may_stay = matches!(path, Path::RoutedLocal | Path::Unknown);
    let stays = may_stay && stays_on_bridge(ends, addresses[1], context);
    PairLabels {
        source_kind: context.directory.kind(ends[0]).into(),
        destination_kind: context.directory.kind(ends[1]).into(),
        path: if stays { Path::Bridge } else { path },
    }
}

/// Whether nobody is known at an address of the sender's own bridge: what is sent there is not routed.
fn stays_on_bridge(ends: [EndpointId; 2], to: IpAddr, context: &Context<'_, Names<'_>>) -> bool {
    let names = context.directory;
    let is_senders = |one: &Observed| {
        one.alive && one.kernel.port != 0 && one.owner().map(|owner| names.current(owner)) == Some(ends[0])
    };
    let bridge = |one: &Observed| context.interfaces.get(one.kernel.segment).map_or(0, |one| one.ifindex);
    ends[1] == EndpointId::UNKNOWN
        && context.interfaces.iter().any(|(_, one)| is_senders(one) && names.is_on(bridge(one), to))
}

/// Of packets of which nothing is known.
pub(super) const fn nobody() -> PairLabels {
    PairLabels { source_kind: KindName::Unknown, destination_kind: KindName::Unknown, path: Path::Unknown }
}

fn is_group(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}
