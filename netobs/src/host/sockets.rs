//! Descriptors of processes, and the host's tables of sockets → who holds which connection. The fallback for
//! sockets older than the agent; a socket that lives between two looks is missed.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
};

use netobs_common::wire::Proto;

use super::proc;

/// An internet socket of the host's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldSocket {
    /// Inode of the mount namespace of a process that holds it.
    pub mount_namespace: u32,
    /// IP protocol number.
    pub proto: Proto,
    /// The host's end.
    pub local: SocketAddr,
    /// The other end; port 0 where there is none.
    pub remote: SocketAddr,
}

/// Inode of a process's mount namespace; `None` if it is gone, or is not ours to look at.
#[must_use]
pub fn mount_namespace(pid: u32) -> Option<u32> {
    u32::try_from(fs::metadata(proc::path(pid, "ns/mnt")).ok()?.ino()).ok()
}

/// The sockets that processes of these mount namespaces hold. Blocking: looks at every process.
#[must_use]
pub fn held_by(mounts: &BTreeSet<u32>) -> Vec<HeldSocket> {
    let mut holders: HashMap<u64, u32> = HashMap::new();
    for pid in proc::pids() {
        let Some(mount) = mount_namespace(pid).filter(|mount| mounts.contains(mount)) else { continue };
        for descriptor in fs::read_dir(proc::path(pid, "fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(descriptor.path()).ok();
            if let Some(inode) = target.as_deref().and_then(|target| socket_inode(target.to_str()?)) {
                holders.insert(inode, mount);
            }
        }
    }
    if holders.is_empty() {
        return Vec::new();
    }
    let tables = [("tcp", Proto::TCP), ("tcp6", Proto::TCP), ("udp", Proto::UDP), ("udp6", Proto::UDP)];
    let mut held = Vec::new();
    for (table, proto) in tables {
        // Without IPv6 there is no table of it, and nothing in it.
        let lines = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        held.extend(lines.lines().filter_map(|line| {
            let (local, remote, inode) = parse(line)?;
            let mount_namespace = *holders.get(&inode)?;
            Some(HeldSocket { mount_namespace, proto, local, remote })
        }));
    }
    held
}

/// `socket:[12345]`.
fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// A line of `/proc/net/tcp` and its like: number, local end, other end, state, … inode as the tenth field
/// (Documentation/networking/proc_net_tcp.rst).
fn parse(line: &str) -> Option<(SocketAddr, SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    Some((end(fields.get(1)?)?, end(fields.get(2)?)?, fields.get(9)?.parse().ok()?))
}

/// An end as the kernel prints it, `0100007F:1F90`: 32-bit words of the address as this machine stores them, the port in network order.
pub(super) fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word =
        |at: usize| Some(u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            // An IPv6 socket with an IPv4 connection.
            Ipv6Addr::from(octets).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn both_families_are_read() {
        let line = "   0: 0100007F:1F90 0900CB71:C001 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20 4 30 10 -1";
        let found = parse(line).unwrap();
        assert_eq!((found.0.to_string(), found.2), ("127.0.0.1:8080".into(), 4711));
        assert_eq!(found.1.to_string(), "113.203.0.9:49153");
        let six = end("B80D0120000000000000000001000000:0050").unwrap();
        assert_eq!(six.to_string(), "[2001:db8::1]:80");
        assert_eq!(end("0000000000000000FFFF00000100007F:0050").unwrap().to_string(), "127.0.0.1:80");
    }

    #[test]
    fn a_head_line_is_no_socket() {
        assert_eq!(
            parse(
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
            ),
            None
        );
        assert_eq!(socket_inode("pipe:[5]"), None);
        assert_eq!(socket_inode("socket:[5]"), Some(5));
    }

    #[test]
    fn our_own_listener_is_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mount = mount_namespace(std::process::id()).unwrap();
        let held = held_by(&BTreeSet::from([mount]));
        let local = listener.local_addr().unwrap();
        assert!(held.iter().any(|one| one.local == local && one.remote.port() == 0), "{held:?}");
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in ".{0,120}") {
            proptest::prop_assert!(parse(&line).is_none() || line.contains(':'));
        }
    }
}
