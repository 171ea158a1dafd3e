//! Sockets of the host's stack → the containers on it that own them. Pure: what the kernel side recorded, what
//! was read of processes, and the time are arguments.
//!
//! A container on the host's network has no interface and no address. What tells its connections from the
//! host's is the mount namespace of the process that opened the socket: every container has one of its own,
//! and every process in it, however short-lived, is in it.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use netobs_common::{
    owner::{BoundPort, SocketOwner},
    wire::Proto,
};

/// How long a mount namespace nobody knows may turn out to be a new container's.
const PATIENCE: Duration = Duration::from_secs(2);

/// Mount namespaces of nobody that are remembered.
const STRANGE: usize = 4_096;

/// Who owns a socket of the host's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketHolder {
    /// A process of the host.
    Host,
    /// A process of the container with this full id.
    Container(Arc<str>),
    /// A process of a mount namespace that is not the host's and that no container was found for yet.
    Unsettled,
}

/// A socket that a container on the host's network holds, found by a scan of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// IP protocol number.
    pub proto: Proto,
    /// The host's end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// What is known of sockets.
#[derive(Debug, Default)]
pub struct SocketOwners {
    /// Mount namespaces of processes that are the host's own: the agent's, and the first process's.
    own: BTreeSet<u32>,
    /// Mount namespace → container.
    containers: HashMap<u32, Arc<str>>,
    /// Of mount namespaces that are nobody's: since when.
    strange: HashMap<u32, Duration>,
    sockets: HashMap<u64, SocketOwner>,
    ports: HashMap<BoundPort, SocketOwner>,
    held: HashMap<Connection, u32>,
    listening: HashMap<BoundPort, u32>,
}

impl SocketOwners {
    /// Knows the host's own mount namespaces.
    #[must_use]
    pub fn new(own: impl IntoIterator<Item = u32>) -> Self {
        Self { own: own.into_iter().collect(), ..Self::default() }
    }

    /// The containers on the host's network there are now, by mount namespace; those that are new.
    pub fn containers(&mut self, now: HashMap<u32, Arc<str>>) -> Vec<u32> {
        let new = now.iter().filter(|(mount, id)| self.containers.get(mount) != Some(id));
        let new: Vec<u32> = new.map(|(mount, _)| *mount).filter(|mount| !self.own.contains(mount)).collect();
        self.containers = now;
        self.containers.retain(|mount, _| !self.own.contains(mount));
        let Self { containers, held, listening, strange, .. } = self;
        // The kernel gives inodes away again: what was found of a namespace ends with its container.
        held.retain(|_, mount| containers.contains_key(mount) && !new.contains(mount));
        listening.retain(|_, mount| containers.contains_key(mount) && !new.contains(mount));
        strange.retain(|mount, _| !containers.contains_key(mount));
        new
    }

    /// Whether any container is on the host's network: without one, no port is anybody's but the host's.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.containers.is_empty()
    }

    /// Takes in a socket found by a scan: one that listens has no other end.
    pub fn hold(&mut self, mount: u32, connection: Connection) {
        if connection.remote.port() == 0 {
            self.listening.insert(bound(connection.proto, connection.local), mount);
        } else {
            self.held.insert(connection, mount);
        }
    }

    /// Begins a tick: what the kernel side recorded is asked for again where it is needed.
    pub fn begin(&mut self) {
        self.sockets.clear();
        self.ports.clear();
    }

    /// Takes in what the kernel side recorded of a socket.
    pub fn socket(&mut self, cookie: u64, owner: SocketOwner, now: Duration) {
        self.meet(owner.mount_namespace, now);
        self.sockets.insert(cookie, owner);
    }

    /// Takes in what the kernel side recorded of a port.
    pub fn port(&mut self, port: BoundPort, owner: SocketOwner, now: Duration) {
        self.meet(owner.mount_namespace, now);
        self.ports.insert(port, owner);
    }

    fn meet(&mut self, mount: u32, now: Duration) {
        if mount != 0 && !self.own.contains(&mount) && !self.containers.contains_key(&mount) {
            // Services come and go, and inodes with them. Forgotten ones are waited for once more.
            if self.strange.len() >= STRANGE {
                self.strange.clear();
            }
            self.strange.entry(mount).or_insert(now);
        }
    }

    /// Who opened a socket; `None` if that was not recorded.
    #[must_use]
    pub fn of_socket(&self, cookie: u64, now: Duration) -> Option<SocketHolder> {
        self.sockets.get(&cookie).map(|owner| self.holder(owner.mount_namespace, now))
    }

    /// Who has a connection whose socket is older than the agent, or was accepted: by a scan, else by who bound
    /// the port.
    #[must_use]
    pub fn of_connection(&self, connection: Connection, now: Duration) -> SocketHolder {
        let recorded = || ports(&connection).into_iter().find_map(|port| self.ports.get(&port));
        let scanned = || ports(&connection).into_iter().find_map(|port| self.listening.get(&port));
        let mount = self
            .held
            .get(&connection)
            .copied()
            .or_else(|| recorded().map(|owner| owner.mount_namespace))
            .or_else(|| scanned().copied());
        mount.map_or(SocketHolder::Host, |mount| self.holder(mount, now))
    }

    fn holder(&self, mount: u32, now: Duration) -> SocketHolder {
        if let Some(id) = self.containers.get(&mount) {
            return SocketHolder::Container(Arc::clone(id));
        }
        match self.strange.get(&mount) {
            Some(since) if now.saturating_sub(*since) < PATIENCE => SocketHolder::Unsettled,
            _ => SocketHolder::Host,
        }
    }
}

/// What the local end may have been bound as, the most exact first: its address, every address of its family,
/// and every address (an IPv6 socket takes IPv4 too).
#[must_use]
pub fn ports(connection: &Connection) -> Vec<BoundPort> {
    let port = connection.local.port();
    let mut addresses = vec![connection.local.ip()];
    if connection.local.is_ipv4() {
        addresses.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    addresses.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    addresses.into_iter().map(|address| bound(connection.proto, SocketAddr::new(address, port))).collect()
}

fn bound(proto: Proto, local: SocketAddr) -> BoundPort {
    let address = match local.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    BoundPort { address, port: local.port(), proto, padding: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1;
    const PROXY: u32 = 20;
    const SERVICE: u32 = 30;
    const NOW: Duration = Duration::from_secs(100);

    fn known() -> SocketOwners {
        let mut owners = SocketOwners::new([OWN]);
        owners.containers(HashMap::from([(PROXY, "proxy".into())]));
        owners
    }

    fn by(mount_namespace: u32) -> SocketOwner {
        SocketOwner { mount_namespace, pid: 7, ..SocketOwner::default() }
    }

    fn served(local: &str) -> Connection {
        Connection {
            proto: Proto::TCP,
            local: local.parse().unwrap(),
            remote: "203.0.113.9:4000".parse().unwrap(),
        }
    }

    fn proxy() -> SocketHolder {
        SocketHolder::Container("proxy".into())
    }

    #[test]
    fn a_socket_is_its_containers_whatever_process_opened_it() {
        let mut owners = known();
        owners.socket(5, by(PROXY), NOW);
        owners.socket(6, by(OWN), NOW);
        assert_eq!(owners.of_socket(5, NOW), Some(proxy()));
        assert_eq!(owners.of_socket(6, NOW), Some(SocketHolder::Host));
        assert_eq!(owners.of_socket(7, NOW), None, "opened before anybody looked");
    }

    #[test]
    fn an_accepted_connection_is_its_listeners() {
        for address in ["198.51.100.7:80", "0.0.0.0:80", "[::]:80"] {
            let mut owners = known();
            owners.port(bound(Proto::TCP, address.parse().unwrap()), by(PROXY), NOW);
            assert_eq!(owners.of_connection(served("198.51.100.7:80"), NOW), proxy(), "{address}");
            assert_eq!(owners.of_connection(served("198.51.100.7:81"), NOW), SocketHolder::Host);
            let datagram = Connection { proto: Proto::UDP, ..served("198.51.100.7:80") };
            assert_eq!(owners.of_connection(datagram, NOW), SocketHolder::Host);
        }
    }

    #[test]
    fn the_more_exact_listener_is_the_one() {
        let mut owners = known();
        owners.port(bound(Proto::TCP, "[::]:80".parse().unwrap()), by(PROXY), NOW);
        owners.port(bound(Proto::TCP, "198.51.100.7:80".parse().unwrap()), by(OWN), NOW);
        assert_eq!(owners.of_connection(served("198.51.100.7:80"), NOW), SocketHolder::Host);
        assert_eq!(owners.of_connection(served("198.51.100.8:80"), NOW), proxy());
    }

    #[test]
    fn a_namespace_nobody_knows_is_waited_for_and_then_the_hosts() {
        let mut owners = known();
        owners.socket(5, by(SERVICE), NOW);
        assert_eq!(owners.of_socket(5, NOW), Some(SocketHolder::Unsettled));
        assert_eq!(owners.of_socket(5, NOW + PATIENCE), Some(SocketHolder::Host));
        owners.begin();
        owners.socket(6, by(SERVICE), NOW + PATIENCE);
        assert_eq!(owners.of_socket(6, NOW + PATIENCE), Some(SocketHolder::Host), "waited for once");
        owners.containers(HashMap::from([(SERVICE, "late".into())]));
        assert_eq!(owners.of_socket(6, NOW + PATIENCE), Some(SocketHolder::Container("late".into())));
    }

    #[test]
    fn sockets_older_than_the_agent_are_found_by_scan() {
        let mut owners = known();
        owners.hold(PROXY, served("198.51.100.7:5000"));
        let listens = Connection { remote: "0.0.0.0:0".parse().unwrap(), ..served("0.0.0.0:80") };
        owners.hold(PROXY, listens);
        assert_eq!(owners.of_connection(served("198.51.100.7:5000"), NOW), proxy());
        assert_eq!(owners.of_connection(served("198.51.100.7:80"), NOW), proxy());
        owners.port(bound(Proto::TCP, "0.0.0.0:80".parse().unwrap()), by(OWN), NOW);
        assert_eq!(
            owners.of_connection(served("198.51.100.7:80"), NOW),
            SocketHolder::Host,
            "what was recorded is newer than the scan"
        );
    }

    #[test]
    fn a_namespaces_number_given_away_again_is_another_container() {
        let mut owners = known();
        owners.hold(PROXY, served("198.51.100.7:5000"));
        assert_eq!(owners.containers(HashMap::from([(PROXY, "next".into())])), [PROXY]);
        assert_eq!(owners.of_connection(served("198.51.100.7:5000"), NOW), SocketHolder::Host);
    }

    #[test]
    fn a_container_in_the_hosts_mount_namespace_is_not_told_apart() {
        let mut owners = SocketOwners::new([OWN]);
        assert!(owners.containers(HashMap::from([(OWN, "odd".into())])).is_empty());
        owners.socket(5, by(OWN), NOW);
        assert_eq!(owners.of_socket(5, NOW), Some(SocketHolder::Host));
    }
}
