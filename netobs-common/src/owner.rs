//! Who opened a socket, recorded in process context.

/// The value of the `OWNERS` map; the key is the socket cookie.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOwner {
    /// Identifier of the process's cgroup (version 2 hierarchy).
    pub cgroup: u64,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Zero.
    pub padding: u32,
    /// The thread's name, padded with zeros (`TASK_COMM_LEN`).
    pub command: [u8; 16],
}

const _: () = assert!(size_of::<SocketOwner>() == 8 + 4 + 4 + 16);
