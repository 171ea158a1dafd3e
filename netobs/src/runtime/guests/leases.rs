//! DHCP leases of libvirt's networks (`/var/lib/libvirt/dnsmasq/BRIDGE.status`) → addresses by hardware address.
//! Parsing is pure.
//!
//! JSON written by libvirt's lease helper (src/network/leaseshelper.c, libvirt 9.0).

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde::Deserialize;

use super::file;
use crate::{
    identity::text,
    runtime::facts::guest::{self, Leased},
};

/// Some 150 bytes a lease, and a network has a few hundred.
const LONGEST: u64 = 4 << 20;
/// Files of networks that are read.
const MOST: usize = 256;

/// By hardware address; networks may have equal ones.
pub type Leases = BTreeMap<[u8; 6], Vec<Leased>>;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Lease {
    ip_address: Option<String>,
    mac_address: Option<String>,
    expiry_time: Option<i64>,
}

/// The leases that hold at `now` (seconds since 1970). What cannot be read is passed over: a lease is one
/// source of addresses among several. Blocking.
#[must_use]
pub fn read(directory: &Path, now: i64) -> Leases {
    let mut leases = Leases::new();
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in entries.filter(|path| path.extension().is_some_and(|one| one == "status")).take(MOST) {
        let Some(bridge) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        if let Ok(json) = file::read(&path, LONGEST) {
            take(&json, &text::clean(bridge).into(), now, &mut leases);
        }
    }
    leases
}

fn take(json: &[u8], bridge: &Arc<str>, now: i64, leases: &mut Leases) {
    for lease in serde_json::from_slice::<Vec<Lease>>(json).unwrap_or_default() {
        let mac = lease.mac_address.as_deref().and_then(guest::mac);
        let address = lease.ip_address.and_then(|text| text.parse().ok());
        // 0 is a lease without end.
        let holds = lease.expiry_time.is_none_or(|end| end == 0 || end > now);
        if let (Some(mac), Some(address), true) = (mac, address, holds) {
            leases.entry(mac).or_default().push(Leased { bridge: Arc::clone(bridge), address });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_until_it_expires() {
        let json = br#"[
            {"ip-address": "192.168.122.7", "mac-address": "52:54:00:00:00:01", "hostname": "a", "expiry-time": 100},
            {"ip-address": "192.168.122.8", "mac-address": "52:54:00:00:00:02", "expiry-time": 99},
            {"ip-address": "192.168.122.9", "mac-address": "52:54:00:00:00:03", "expiry-time": 0},
            {"ip-address": "none", "mac-address": "52:54:00:00:00:04"}
        ]"#;
        let mut leases = Leases::new();
        take(json, &"virbr0".into(), 99, &mut leases);
        let found: Vec<_> = leases.iter().map(|(mac, addresses)| (mac[5], addresses.len())).collect();
        assert_eq!(found, [(1, 1), (3, 1)]);
    }

    #[test]
    fn what_is_no_list_of_leases_is_none() {
        let mut leases = Leases::new();
        for text in [&b""[..], b"{}", b"[1]", b"[{\"mac-address\": 7}]", b"\xff"] {
            take(text, &"virbr0".into(), 0, &mut leases);
        }
        assert!(leases.is_empty());
    }

    #[test]
    fn a_lease_is_of_the_bridge_that_its_file_is_called_after() {
        let directory = tempfile::tempdir().unwrap();
        let lease = |ip: &str| format!(r#"[{{"ip-address": "{ip}", "mac-address": "52:54:00:00:00:01"}}]"#);
        std::fs::write(directory.path().join("virbr0.status"), lease("192.168.122.7")).unwrap();
        std::fs::write(directory.path().join("virbr1.status"), lease("192.168.123.7")).unwrap();
        let leases = read(directory.path(), 0);
        let mut found: Vec<_> =
            leases.values().flatten().map(|one| (one.bridge.to_string(), one.address.to_string())).collect();
        found.sort();
        let expected = [("virbr0", "192.168.122.7"), ("virbr1", "192.168.123.7")];
        assert_eq!(found, expected.map(|(bridge, address)| (bridge.to_owned(), address.to_owned())));
    }
}
