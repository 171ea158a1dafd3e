//! The host's interfaces as they are published: what endpoints hang on, and what lies between them.

use std::sync::Arc;

use super::names::RoleName;

/// One interface of the host. Who is behind it is said by the endpoints' own interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    /// Its name, sanitised.
    pub name: Arc<str>,
    /// Its index.
    pub ifindex: u32,
    /// The kind of device, by the kernel's word: `bridge`, `veth`, `tap`, `vxlan` …
    pub kind: Arc<str>,
    /// What it is for; `None` where it is not observed.
    pub role: Option<RoleName>,
    /// Index of the bridge it is a port of.
    pub bridge: Option<u32>,
    /// Index of the device below it on this host: of a VLAN, a macvlan, a VXLAN device.
    pub lower: Option<u32>,
}
