//! What the Engine API said → plain data, checked and cleaned. Pure.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::wire::{Attachment, Inspected, Network, NetworkSettings, Version};
use crate::{
    identity::text,
    runtime::facts::{PublishedPort, RuntimeContainer, RuntimeName, RuntimeNetwork, is_useful_label},
};

/// The newest API version whose replies were checked; newer daemons are spoken to in their oldest.
const NEWEST_KNOWN: (u32, u32) = (1, 48);
/// Networks, ports and labels of one container that are kept.
const PARTS_LIMIT: usize = 256;
/// Longest path of a network namespace that is kept.
const PATH_LIMIT: usize = 512;

/// Who answers, by its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) runtime: RuntimeName,
    pub(super) version: Arc<str>,
    pub(super) api: Arc<str>,
}

/// Who answers and which version of the API is spoken with it; `None` if that makes no sense.
pub(super) fn dialect(said: &Version) -> Option<Dialect> {
    let newest = api_version(&said.api_version)?;
    let oldest = api_version(&said.min_api_version).unwrap_or((1, 0));
    let (major, minor) = newest.min(NEWEST_KNOWN).max(oldest);
    let podman = said.components.iter().any(|part| part.name.starts_with("Podman"));
    Some(Dialect {
        runtime: if podman { RuntimeName::Podman } else { RuntimeName::Docker },
        version: text::clean(&said.version).into(),
        api: format!("{major}.{minor}").into(),
    })
}

/// `1.41` → (1, 41). It becomes part of a request, so nothing else passes.
fn api_version(said: &str) -> Option<(u32, u32)> {
    let (major, minor) = said.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether this is an id as Docker and podman make them. It becomes part of a request.
pub(super) fn is_id(said: &str) -> bool {
    said.len() == 64 && said.bytes().all(|one| matches!(one, b'0'..=b'9' | b'a'..=b'f'))
}

/// A running container; `None` if it does not run, or if what was said of it makes no sense.
pub(super) fn container(
    said: &Inspected,
    runtime: RuntimeName,
    networks: &BTreeMap<String, Network>,
) -> Option<RuntimeContainer> {
    if !said.state.running || !is_id(&said.id) {
        return None;
    }
    let pid = u32::try_from(said.state.pid).ok().filter(|pid| *pid > 0)?;
    let image = if said.config.image.is_empty() { &said.image } else { &said.config.image };
    let name = text::clean(said.name.trim_start_matches('/'));
    let sandbox = &said.network_settings.sandbox_key;
    Some(RuntimeContainer {
        id: said.id.as_str().into(),
        name: if name.is_empty() { said.id.get(..12)?.into() } else { name.into() },
        image: text::clean(image).into(),
        runtime,
        pid,
        started_at: started_at(&said.state.started_at),
        labels: said
            .config
            .labels
            .iter()
            .filter(|(name, _)| is_useful_label(name))
            .take(PARTS_LIMIT)
            .map(|(name, value)| (text::clean(name).into(), text::clean(value).into()))
            .collect(),
        network_mode: text::clean(&said.host_config.network_mode).into(),
        networks: attachments(&said.network_settings, runtime, networks),
        ports: ports(&said.network_settings),
        // A stopped container keeps a stale one, but does not come this far; a joined one has none.
        sandbox_key: (!sandbox.is_empty()).then(|| text::clean_to(sandbox, PATH_LIMIT).into()),
    })
}

/// Year 1 means never.
fn started_at(said: &str) -> Option<Timestamp> {
    let never = Date::constant(2, 1, 1).to_zoned(TimeZone::UTC).ok()?.timestamp();
    said.parse().ok().filter(|at: &Timestamp| *at > never)
}

fn attachments(
    said: &NetworkSettings,
    runtime: RuntimeName,
    networks: &BTreeMap<String, Network>,
) -> Vec<RuntimeNetwork> {
    said.networks
        .iter()
        .filter(|(_, one)| !one.network_id.is_empty() || !one.ip_address.is_empty())
        .take(PARTS_LIMIT)
        .map(|(name, one)| attachment(name, one, runtime, networks.get(&one.network_id)))
        .collect()
}

fn attachment(
    name: &str,
    said: &Attachment,
    runtime: RuntimeName,
    network: Option<&Network>,
) -> RuntimeNetwork {
    let option = |key: &str| {
        let value = network.and_then(|one| one.options.get(key)).filter(|value| !value.is_empty());
        value.map(|value| Arc::<str>::from(text::clean(value)))
    };
    let driver = network.map_or("", |one| one.driver.as_str());
    let bridge = if driver == "bridge" {
        option("com.docker.network.bridge.name").or_else(|| default_bridge(runtime, &said.network_id))
    } else {
        None
    };
    RuntimeNetwork {
        name: text::clean(name).into(),
        id: text::clean(&said.network_id).into(),
        driver: text::clean(driver).into(),
        bridge_interface: bridge,
        parent: option("parent"),
        address: address(&said.ip_address),
        address6: address(&said.global_ipv6_address),
        prefix: u8::try_from(said.ip_prefix_len).ok().filter(|bits| *bits <= 128).unwrap_or(0),
        mac: mac(&said.mac_address),
        gateway: address(&said.gateway),
    }
}

/// Docker names the bridge of a user network after the network's id; podman counts.
fn default_bridge(runtime: RuntimeName, network: &str) -> Option<Arc<str>> {
    (runtime == RuntimeName::Docker && is_id(network)).then(|| format!("br-{}", &network[..12]).into())
}

fn ports(said: &NetworkSettings) -> Vec<PublishedPort> {
    let bindings = said.ports.iter().flat_map(|(port, bindings)| {
        bindings.iter().flatten().filter_map(move |binding| {
            let (container_port, protocol) = port.split_once('/')?;
            Some(PublishedPort {
                // Old daemons say "" for all addresses.
                host_ip: address(&binding.host_ip).unwrap_or(IpAddr::from([0; 4])),
                host_port: binding.host_port.parse().ok()?,
                container_port: container_port.parse().ok()?,
                protocol: protocol_number(protocol)?,
            })
        })
    });
    let mut ports: Vec<_> = bindings.take(PARTS_LIMIT * 16).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The protocols Docker can publish, by their IANA numbers.
fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "tcp" => Some(6),
        "udp" => Some(17),
        "sctp" => Some(132),
        _ => None,
    }
}

/// An address; daemons write none as "", some with a prefix length.
fn address(said: &str) -> Option<IpAddr> {
    let bare = said.split_once('/').map_or(said, |(bare, _)| bare);
    bare.parse().ok().filter(|one: &IpAddr| !one.is_unspecified() || said == "0.0.0.0" || said == "::")
}

fn mac(said: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = said.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next().filter(|part| part.len() == 2)?, 16).ok()?;
    }
    (parts.next().is_none() && bytes != [0; 6]).then_some(bytes)
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
