//! The few fields of the Engine API's replies that are read. JSON bytes → these structs; anything may be
//! missing or null (old daemons, podman), anything else is skipped without being stored.
//!
//! Source: Docker Engine API 1.41 (`docs.docker.com/reference/api/engine/version/v1.41`).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// `null` as the type's default, as old daemons and podman write it.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// `GET /version`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Version {
    #[serde(deserialize_with = "or_default")]
    pub(super) version: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) api_version: String,
    #[serde(rename = "MinAPIVersion", deserialize_with = "or_default")]
    pub(super) min_api_version: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) components: Vec<Component>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Component {
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
}

/// An entry of `GET /containers/json`: enough to tell whether the container must be inspected again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    names: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    state: String,
    #[serde(deserialize_with = "or_default")]
    network_settings: NetworkSettings,
}

/// `GET /containers/ID/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Inspected {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) image: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) state: State,
    #[serde(deserialize_with = "or_default")]
    pub(super) config: Config,
    #[serde(deserialize_with = "or_default")]
    pub(super) host_config: HostConfig,
    #[serde(deserialize_with = "or_default")]
    pub(super) network_settings: NetworkSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    #[serde(deserialize_with = "or_default")]
    pub(super) running: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) pid: i64,
    #[serde(deserialize_with = "or_default")]
    pub(super) started_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    #[serde(deserialize_with = "or_default")]
    pub(super) image: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    #[serde(deserialize_with = "or_default")]
    pub(super) network_mode: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    pub(super) sandbox_key: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    #[serde(deserialize_with = "or_default")]
    pub(super) networks: BTreeMap<String, Attachment>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PortBinding {
    #[serde(deserialize_with = "or_default")]
    pub(super) host_ip: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) host_port: String,
}

/// A container's side of a network. Its endpoint id is new with every start: that is how a restart
/// between two lists is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Attachment {
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub(super) network_id: String,
    #[serde(rename = "EndpointID", deserialize_with = "or_default")]
    pub(super) endpoint_id: String,
    #[serde(rename = "Gateway", deserialize_with = "or_default")]
    pub(super) gateway: String,
    #[serde(rename = "IPAddress", deserialize_with = "or_default")]
    pub(super) ip_address: String,
    #[serde(rename = "IPPrefixLen", deserialize_with = "or_default")]
    pub(super) ip_prefix_len: i64,
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "or_default")]
    pub(super) global_ipv6_address: String,
    #[serde(rename = "MacAddress", deserialize_with = "or_default")]
    pub(super) mac_address: String,
}

/// An entry of `GET /networks`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    #[serde(deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) driver: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) options: BTreeMap<String, String>,
}

/// A line of `GET /events`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Event {
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub(super) kind: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) action: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) actor: Actor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Actor {
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub(super) id: String,
    #[serde(rename = "Attributes", deserialize_with = "or_default")]
    pub(super) attributes: Attributes,
}

/// All labels of the container are here too; only the one field is kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attributes {
    #[serde(deserialize_with = "or_default")]
    pub(super) container: String,
}
