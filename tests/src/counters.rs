//! The interfaces' own counters, and the sums over packets they must equal (bytes with the Ethernet header
//! counted or not, by device kind and direction).

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::netns::Stack;

/// Bytes of an Ethernet header, which some devices leave out of their counters.
pub const ETHERNET: i128 = 14;

/// Packets and bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Socket buffers.
    pub packets: i128,
    /// Bytes as the device counts them.
    pub bytes: i128,
}

/// One interface and its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its kind: `veth`, `bridge`, `vxlan`, `loopback`, `tun`, or empty for hardware.
    pub kind: String,
    /// What tc shows at ingress.
    pub received: Count,
    /// What tc shows at egress, less what the queueing discipline or the peer dropped.
    pub sent: Count,
    /// Packets dropped on either way.
    pub dropped: i128,
}

/// Counters of every interface of a namespace, by index.
pub type Snapshot = BTreeMap<u32, Interface>;

/// Reads the counters of every interface in `stack`.
///
/// # Errors
/// When `ip` fails or its JSON lacks a field.
pub fn snapshot(stack: &Stack) -> Result<Snapshot> {
    let links: Value = serde_json::from_str(&stack.run("ip -s -j -d link")?)?;
    links.as_array().context("no list of links")?.iter().map(interface).collect()
}

fn interface(link: &Value) -> Result<(u32, Interface)> {
    let name = link["ifname"].as_str().context("ifname")?.to_owned();
    let read = |direction: &str, field: &str| {
        let value = link["stats64"][direction][field].as_i64();
        value.map(i128::from).with_context(|| format!("stats64.{direction}.{field} of {name}"))
    };
    let count = |direction: &str| {
        Ok::<_, anyhow::Error>(Count {
            packets: read(direction, "packets")?,
            bytes: read(direction, "bytes")?,
        })
    };
    let kind = match link["link_type"].as_str() {
        Some("loopback") => "loopback",
        _ => link["linkinfo"]["info_kind"].as_str().unwrap_or_default(),
    };
    let interface = Interface {
        kind: kind.to_owned(),
        received: count("rx")?,
        sent: count("tx")?,
        dropped: read("rx", "dropped")? + read("tx", "dropped")?,
        name: name.clone(),
    };
    Ok((link["ifindex"].as_u64().context("ifindex")?.try_into()?, interface))
}

/// What a device of this kind counts for packets tc saw: Σ len, less the Ethernet headers where it leaves
/// them out. Measured for veth, bridge, vxlan and lo.
#[must_use]
pub fn as_the_device_counts(kind: &str, ingress: bool, seen: Count) -> Count {
    let without_header = match kind {
        "bridge" => ingress,
        "vxlan" | "loopback" => true,
        _ => false,
    };
    if without_header { Count { bytes: seen.bytes - ETHERNET * seen.packets, ..seen } } else { seen }
}

impl std::ops::Sub for Count {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { packets: self.packets - other.packets, bytes: self.bytes - other.bytes }
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_leaves_the_header_out_on_the_way_in_only() {
        let seen = Count { packets: 10, bytes: 1000 };
        assert_eq!(as_the_device_counts("bridge", true, seen).bytes, 860);
        assert_eq!(as_the_device_counts("bridge", false, seen).bytes, 1000);
        assert_eq!(as_the_device_counts("veth", true, seen).bytes, 1000);
        assert_eq!(as_the_device_counts("loopback", false, seen).bytes, 860);
    }
}
