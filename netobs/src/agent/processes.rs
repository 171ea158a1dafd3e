//! New conversations of the host's stack → the processes whose sockets they are, as far as the kernel side saw them
//! opened or bound.

use std::net::SocketAddr;

use netobs_common::{
    endpoint::{EndpointId, Kind},
    hook::Hook,
    owner::SocketOwner,
};

use crate::{
    collector::{Collector, Names},
    flow::{conversation::Conversation, table::Directory as _, tuple::Peer},
    identity::{
        sockets::{Connection, ports},
        text,
    },
    kernel::Kernel,
    report::{HopDirection, SocketProcess},
};

/// Asks once for each conversation. One of the host to one of its endpoints may be `docker-proxy`'s, made on behalf of
/// another one.
pub(super) fn ask(collector: &mut Collector, kernel: &Kernel, names: &Names<'_>) {
    const PROXY: &[u8] = b"docker-proxy";
    for conversation in collector.flows.active_mut().filter(|one| one.settled && !one.owner_asked) {
        conversation.owner_asked = true;
        let on_host = |endpoint| names.stack(endpoint) == EndpointId::HOST;
        let source = on_host(conversation.source)
            .then(|| opened(conversation, HopDirection::Forward, kernel))
            .flatten();
        let destination = on_host(conversation.destination)
            .then(|| {
                let accepted = opened(conversation, HopDirection::Reply, kernel);
                accepted.or_else(|| bound(conversation, kernel))
            })
            .flatten();
        if names.kind(conversation.source) == Kind::HOST
            && source.is_some_and(|owner| owner.command.starts_with(PROXY))
        {
            conversation.proxied_by = Some("docker-proxy".into());
        }
        conversation.processes = [source, destination].map(|owner| owner.map(process));
    }
}

/// Who opened the socket from which packets of a direction leave.
fn opened(conversation: &Conversation, direction: HopDirection, kernel: &Kernel) -> Option<SocketOwner> {
    let leaving = conversation.toward(direction).filter(|sighting| sighting.key.hook == Hook::EGRESS);
    let sockets = leaving.map(|sighting| sighting.latest.socket).filter(|cookie| *cookie != 0);
    let mut sockets: Vec<u64> = sockets.collect();
    sockets.dedup();
    sockets.into_iter().find_map(|cookie| kernel.owner(cookie))
}

/// Who bound the port that was connected to: an accepted connection has a socket that nobody opened.
fn bound(conversation: &Conversation, kernel: &Kernel) -> Option<SocketOwner> {
    let tuple = conversation.translated();
    let end = |peer: Peer| SocketAddr::new(peer.address, peer.port);
    let connection =
        Connection { proto: tuple.proto, local: end(tuple.destination), remote: end(tuple.source) };
    ports(&connection).iter().find_map(|port| kernel.port_owner(port))
}

fn process(owner: SocketOwner) -> SocketProcess {
    let end = owner.command.iter().position(|byte| *byte == 0).unwrap_or(owner.command.len());
    let name = String::from_utf8_lossy(owner.command.get(..end).unwrap_or_default()).into_owned();
    SocketProcess { pid: owner.pid, name: text::clean(&name).into() }
}
