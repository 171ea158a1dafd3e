//! A virtual machine as plain data. No I/O.

use std::{net::IpAddr, sync::Arc};

use crate::host::facts::TapDevice;

/// A running virtual machine. Text has passed [`crate::identity::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The monitor's process.
    pub pid: u32,
    /// When that started, in ticks since boot: with the number, its identity.
    pub start_time: u64,
    /// The monitor: `qemu`, `firecracker`, `cloud-hypervisor`, `crosvm`.
    pub monitor: Arc<str>,
    /// What its command line says.
    pub by_process: Names,
    /// What libvirt's status file says, where there is one and it may be read.
    pub by_libvirt: Option<Names>,
    /// Its network cards, in the order of the command line.
    pub cards: Vec<Card>,
}

/// How a source calls a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Its UUID.
    pub uuid: Option<Arc<str>>,
}

/// A network card of a guest that ends in an interface of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The interface.
    pub device: TapDevice,
    /// The guest's hardware address on it.
    pub mac: Option<[u8; 6]>,
    /// What DHCP servers of libvirt leased to it.
    pub leased: Vec<Leased>,
}

/// An address that a DHCP server leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// The bridge of its network, on which alone it means anything.
    pub bridge: Arc<str>,
    /// The address.
    pub address: IpAddr,
}

/// `52:54:00:12:34:56` → six bytes.
#[must_use]
pub fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_has_six_bytes() {
        assert_eq!(mac("52:54:00:12:aB:ff"), Some([0x52, 0x54, 0, 0x12, 0xab, 0xff]));
        assert_eq!(mac("52-54-00-12-34-56"), Some([0x52, 0x54, 0, 0x12, 0x34, 0x56]));
        for wrong in ["", "52:54:00:12:34", "52:54:00:12:34:56:78", "52:54:00:12:34:5g", "5:54:00:12:34:56"] {
            assert_eq!(mac(wrong), None, "{wrong}");
        }
    }
}
