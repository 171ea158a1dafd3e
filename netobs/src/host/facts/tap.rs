//! The host's end of a guest's network card, as the process that holds it shows it: plain data.

/// An interface as a descriptor shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TapDevice {
    /// A tap, by name: `iff:` of `/proc/PID/fdinfo/N` (`tun_chr_show_fdinfo`, drivers/net/tun.c, Linux 6.18).
    Named(String),
    /// A macvtap, by index: its character device is `/dev/tapINDEX` (`macvtap_device_event`,
    /// drivers/net/macvtap.c, Linux 6.18).
    Index(u32),
}
