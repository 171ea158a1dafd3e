//! Interfaces inside the network stacks of endpoints: their indexes mean nothing outside, so they are known by the
//! namespace as well.

/// The key of the `INNER` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InnerKey {
    /// Inode of the network namespace.
    pub namespace: u32,
    /// Index of the interface in it.
    pub index: u32,
}

const _: () = assert!(size_of::<InnerKey>() == 4 + 4);

/// Where the kernel keeps what tells the namespace of a packet's device, in bytes from the start of each structure:
/// read from the kernel's own description (BTF) when the programs are loaded. All zero where that is missing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceLayout {
    /// `sk_buff.dev`.
    pub device: u32,
    /// `net_device.nd_net.net`.
    pub network: u32,
    /// `net.ns.inum`.
    pub inode: u32,
}

const _: () = assert!(size_of::<DeviceLayout>() == 3 * 4);
