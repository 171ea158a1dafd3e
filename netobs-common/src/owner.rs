//! Who opened a socket, recorded in process context.

use crate::wire::Proto;

/// The value of the `OWNERS` map, whose key is the socket cookie, and of the `PORTS` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOwner {
    /// Identifier of the process's cgroup (version 2 hierarchy).
    pub cgroup: u64,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Inode of the process's mount namespace, which every container has of its own, also one on the host's
    /// network; 0 where the kernel does not describe its structures (BTF).
    pub mount_namespace: u32,
    /// The thread's name, padded with zeros (`TASK_COMM_LEN`).
    pub command: [u8; 16],
}

const _: () = assert!(size_of::<SocketOwner>() == 8 + 4 + 4 + 16);

/// The key of the `PORTS` map: what a process of the host's network namespace bound. An accepted connection
/// has a cookie of its own that no process asked for; this tells whose it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BoundPort {
    /// IPv6, or IPv4 mapped into it; all zeros where every address was asked for, of IPv4 with the mapping's
    /// prefix.
    pub address: [u8; 16],
    /// In host byte order.
    pub port: u16,
    /// IP protocol number.
    pub proto: Proto,
    /// Zero.
    pub padding: u8,
}

const _: () = assert!(size_of::<BoundPort>() == 16 + 2 + 1 + 1);

/// Where the kernel keeps what tells a process's namespaces, in bytes from the start of each structure: read
/// from the kernel's own description (BTF) when the programs are loaded. All zero where that is missing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLayout {
    /// `task_struct.nsproxy`.
    pub nsproxy: u32,
    /// `nsproxy.mnt_ns`.
    pub mount: u32,
    /// `nsproxy.net_ns`.
    pub network: u32,
    /// `mnt_namespace.ns.inum`.
    pub mount_inode: u32,
    /// `net.ns.inum`.
    pub network_inode: u32,
    /// Inode of the network namespace whose sockets are recorded: the agent's.
    pub own_network: u32,
}

const _: () = assert!(size_of::<TaskLayout>() == 6 * 4);
