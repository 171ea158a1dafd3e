//! What the kernel side recorded of sockets, and what `/proc` says of older ones, for the conversations that
//! are being settled.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use netobs_common::{counters::FlowCounters, endpoint::EndpointId, hook::Hook, key::FlowKey, wire::Proto};

use super::first_processes::{FirstProcess, FirstProcesses};
use crate::{
    flow::{table::PATIENCE, tuple::Tuple},
    host::{
        cgroup, proc,
        sockets::{held_by, mount_namespace},
    },
    identity::{
        cgroup::mentions,
        sockets::{Connection, SocketOwners, ports},
    },
    kernel::Kernel,
};

/// Flows are asked about until they are settled, and a tick longer.
const ASKED: u64 = PATIENCE + 2_000_000_000;

/// Owners of the host's sockets, kept current.
pub(super) struct Sockets {
    pub(super) owners: SocketOwners,
    containers: FirstProcesses,
    sandboxes: FirstProcesses,
    /// Mount namespaces whose descriptors are to be looked at.
    unscanned: BTreeSet<u32>,
}

impl Sockets {
    /// The agent's own mount namespace and the first process's are the host's: in a container of its own the
    /// agent sees the host's processes all the same.
    pub(super) fn new() -> Self {
        let own = [std::process::id(), 1].into_iter().filter_map(mount_namespace);
        Self {
            owners: SocketOwners::new(own),
            containers: FirstProcesses::default(),
            sandboxes: FirstProcesses::default(),
            unscanned: BTreeSet::new(),
        }
    }

    /// Takes in which containers there are on the host's network, each with its first process, and which sandboxes of
    /// pods; whether anybody of them ended although still listed.
    pub(super) fn settle<'a>(
        &mut self,
        containers: impl Iterator<Item = (&'a Arc<str>, u32)>,
        sandboxes: impl Iterator<Item = (&'a Arc<str>, u32)>,
    ) -> bool {
        let news = self.containers.settle(containers, first_process);
        let news = self.sandboxes.settle(sandboxes, first_process) || news;
        let by_mount = self.containers.running().map(|(id, mount)| (mount, Arc::clone(id))).collect();
        self.unscanned.extend(self.owners.containers(by_mount));
        news
    }

    /// Whether a container or sandbox on the host's network ran by this process and does not any more.
    pub(super) fn has_ended(&self, id: &Arc<str>, pid: u32) -> bool {
        self.containers.has_ended(id, pid) || self.sandboxes.has_ended(id, pid)
    }

    /// Looks for the sockets that containers met since the last time already had.
    pub(super) async fn scan(&mut self) {
        if self.unscanned.is_empty() {
            return;
        }
        let mounts = std::mem::take(&mut self.unscanned);
        // A scan that fails is a fallback missing, and the next container begins another one.
        let held = tokio::task::spawn_blocking(move || held_by(&mounts)).await.unwrap_or_default();
        for one in held {
            let connection = Connection { proto: one.proto, local: one.local, remote: one.remote };
            self.owners.hold(one.mount_namespace, connection);
        }
    }

    /// Asks the kernel side about the host's sockets in the flows that are new.
    pub(super) fn ask(&mut self, kernel: &Kernel, flows: &[(FlowKey, FlowCounters)], now: u64) {
        self.owners.begin();
        let any = self.owners.any();
        let moment = Duration::from_nanos(now);
        let mut asked = BTreeSet::new();
        for (key, read) in flows.iter().filter(|(_, read)| now.saturating_sub(read.first_seen) < ASKED) {
            if key.hook == Hook::EGRESS
                && read.socket != 0
                && let Some(owner) = kernel.owner(read.socket)
            {
                self.owners.socket(read.socket, owner, moment);
            }
            // Of a socket, the mount namespace may be a new container's; of a port, only a known one matters.
            if !any || !matches!(key.proto, Proto::TCP | Proto::UDP | Proto::SCTP) {
                continue;
            }
            let tuple = Tuple::of(key);
            let end = |peer: crate::flow::tuple::Peer| SocketAddr::new(peer.address, peer.port);
            let ends = [
                (read.source.id, tuple.source, tuple.destination),
                (read.destination.id, tuple.destination, tuple.source),
            ];
            for (_, local, remote) in ends.into_iter().filter(|(id, ..)| *id == EndpointId::HOST) {
                let connection = Connection { proto: key.proto, local: end(local), remote: end(remote) };
                for port in ports(&connection) {
                    if asked.insert((port.address, port.port, port.proto.0))
                        && let Some(owner) = kernel.port_owner(&port)
                    {
                        self.owners.port(port, owner, moment);
                    }
                }
            }
        }
    }
}

/// A process by number, if it is in the container's cgroup: the number may be another's by now.
fn first_process(id: &str, pid: u32) -> Option<FirstProcess> {
    proc::same(pid, |start_time| {
        let is_its_own = mentions(&cgroup::read(pid)?, id);
        is_its_own.then_some(FirstProcess { start_time, mount_namespace: mount_namespace(pid)? })
    })
}
