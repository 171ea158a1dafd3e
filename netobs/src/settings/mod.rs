//! Flags, environment and file → [`Settings`]: checked once, never validated again.

mod file;
mod layer;
mod network;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use file::DEFAULT_FILE;
use serde::{Serialize, Serializer};

pub use layer::{Attach, Detail, Layer, LogFormat, LogLevel};

pub use network::NamedNetwork;

use netobs_common::tunnel::VXLAN_PORTS;

use crate::failure::Failure;

/// Where the metrics are unless told otherwise.
pub const METRICS_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9777);
/// Where the JSON API is unless told otherwise.
pub const WEB_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9778);
/// Where the local socket is unless told otherwise.
pub const SOCKET: &str = "/run/netobs/netobs.sock";
/// Where Docker listens unless told otherwise.
pub const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// Where pod runtimes listen unless told otherwise, the first that exists.
pub const CRI_SOCKETS: [&str; 3] =
    ["/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/k3s/containerd/containerd.sock"];
/// Where libvirt keeps the status of running guests unless told otherwise.
pub const LIBVIRT_DIR: &str = "/run/libvirt/qemu";
/// Label sets of a metric unless told otherwise.
pub const MAX_SERIES: u32 = 2_000;
/// Flow sightings in detail unless told otherwise.
pub const MAX_FLOWS: u32 = netobs_common::maps::FLOWS_CAPACITY;

/// An entry takes about 200 bytes of kernel memory: 8 Mi entries are the 1.6 GiB beyond which only a mistake is.
const MAX_FLOWS_LIMIT: u32 = 1 << 23;
/// A scrape of a million series takes a second and 100 MB.
const MAX_SERIES_LIMIT: u32 = 1_000_000;
/// `sockaddr_un::sun_path` with its closing zero.
const SOCKET_PATH_LIMIT: usize = 107;
/// `IFNAMSIZ` with its closing zero.
const INTERFACE_NAME_LIMIT: usize = 15;

/// What the agent runs with. Written out, it is a configuration file that says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub metrics_listen: SocketAddr,
    /// Where the JSON API is: a loopback address.
    pub web_listen: SocketAddr,
    /// The local socket: an absolute path.
    pub socket: PathBuf,
    /// How much the metrics tell apart.
    pub detail: Detail,
    /// Label sets a workload or endpoint metric may have.
    pub max_series: u32,
    /// Entries of the kernel's flow table.
    pub max_flows: u32,
    /// Interfaces that lead outside; none: the default routes'.
    #[serde(rename = "uplink")]
    pub uplinks: Vec<String>,
    /// Whether interfaces inside endpoints are observed too.
    pub inside: bool,
    /// UDP ports of VXLAN that are looked into beside the devices' own and the usual ones.
    #[serde(rename = "vxlan_port")]
    pub vxlan_ports: Vec<u16>,
    /// Names for networks outside.
    #[serde(rename = "network")]
    pub networks: Vec<NamedNetwork>,
    /// Addresses of other nodes, and networks of their pods.
    #[serde(rename = "node")]
    pub nodes: Vec<NamedNetwork>,
    /// Docker's API socket, if it is to be asked.
    #[serde(serialize_with = "empty_for_none")]
    pub docker_socket: Option<PathBuf>,
    /// The pod runtime's socket, if pods are to be asked for.
    #[serde(skip_serializing_if = "CriSocket::is_auto")]
    pub cri_socket: CriSocket,
    /// How the Kubernetes API is reached.
    #[serde(skip_serializing_if = "KubernetesAccess::is_auto")]
    pub kubeconfig: KubernetesAccess,
    /// This node's name in the cluster, if it is not the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Where libvirt's status files are, if they are to be read.
    #[serde(serialize_with = "empty_for_none")]
    pub libvirt_dir: Option<PathBuf>,
    /// How programs are attached.
    pub attach: Attach,
    /// What is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
}

impl Settings {
    /// What was typed over what the file says, checked.
    ///
    /// # Errors
    /// A [`Failure`] of one line that says which setting is wrong and what would be right.
    pub fn resolve(typed: Layer, file: Option<&Path>) -> Result<Self, Failure> {
        Self::check(typed.over(file::read(file)?))
    }

    /// Fills in defaults and refuses what cannot work.
    ///
    /// # Errors
    /// As [`Settings::resolve`].
    pub fn check(layer: Layer) -> Result<Self, Failure> {
        let settings = Self {
            metrics_listen: layer.metrics_listen.unwrap_or(METRICS_LISTEN),
            web_listen: layer.web_listen.unwrap_or(WEB_LISTEN),
            socket: absolute("socket", layer.socket.as_deref().unwrap_or(SOCKET))?,
            detail: layer.detail.unwrap_or_default(),
            max_series: within("max-series", layer.max_series.unwrap_or(MAX_SERIES), MAX_SERIES_LIMIT)?,
            max_flows: within("max-flows", layer.max_flows.unwrap_or(MAX_FLOWS), MAX_FLOWS_LIMIT)?,
            docker_socket: match layer.docker_socket.as_deref().unwrap_or(DOCKER_SOCKET) {
                "" => None,
                path => Some(absolute("docker-socket", path)?),
            },
            cri_socket: match layer.cri_socket.as_deref() {
                None => CriSocket::Auto,
                Some("") => CriSocket::Off,
                Some(path) => CriSocket::At(absolute("cri-socket", path)?),
            },
            kubeconfig: match layer.kubeconfig.as_deref() {
                None => KubernetesAccess::Auto,
                Some("") => KubernetesAccess::Off,
                Some(path) if path.starts_with('/') && !path.contains('\0') => {
                    KubernetesAccess::Kubeconfig(PathBuf::from(path))
                }
                Some(path) => {
                    return Err(Failure::usage(format!("--kubeconfig {path:?}: give an absolute path")));
                }
            },
            node_name: match layer.node_name {
                Some(name) if name.is_empty() || !name.chars().all(is_of_a_name) => {
                    return Err(Failure::usage(format!(
                        "--node-name {name:?}: give the name that `kubectl get nodes` shows"
                    )));
                }
                name => name,
            },
            libvirt_dir: match layer.libvirt_dir.as_deref().unwrap_or(LIBVIRT_DIR) {
                "" => None,
                path if path.starts_with('/') && !path.contains('\0') => Some(PathBuf::from(path)),
                path => {
                    return Err(Failure::usage(format!("--libvirt-dir {path:?}: give an absolute path")));
                }
            },
            networks: named("network", &layer.network)?,
            nodes: named("node", &layer.node)?,
            uplinks: layer.uplink,
            inside: layer.inside.unwrap_or(false),
            vxlan_ports: layer.vxlan_port,
            attach: layer.attach.unwrap_or_default(),
            log_level: layer.log_level.unwrap_or_default(),
            log_format: layer.log_format.unwrap_or_default(),
        };
        if let Some(name) = settings.uplinks.iter().find(|name| !is_interface_name(name)) {
            return Err(Failure::usage(format!("--uplink {name:?}: this cannot be an interface's name")));
        }
        if settings.vxlan_ports.len() > VXLAN_PORTS || settings.vxlan_ports.contains(&0) {
            return Err(Failure::usage(format!(
                "--vxlan-port: give at most {VXLAN_PORTS} ports between 1 and 65535"
            )));
        }
        if !settings.web_listen.ip().is_loopback() {
            return Err(Failure::usage(format!(
                "--web-listen {}: an address others can reach needs TLS and a token, which this version does \
                 not have; use a loopback address and a tunnel",
                settings.web_listen
            )));
        }
        if settings.web_listen == settings.metrics_listen && settings.web_listen.port() != 0 {
            return Err(Failure::usage(format!(
                "--metrics-listen and --web-listen are both {}: give them different ports",
                settings.web_listen
            )));
        }
        Ok(settings)
    }
}

/// Where pods are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CriSocket {
    /// The first of [`CRI_SOCKETS`] that exists.
    Auto,
    /// Nowhere.
    Off,
    /// Here.
    At(PathBuf),
}

/// How the Kubernetes API is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubernetesAccess {
    /// As a pod does, if this is one (`KUBERNETES_SERVICE_HOST` is set), else not at all.
    Auto,
    /// Not at all.
    Off,
    /// As this kubeconfig file says.
    Kubeconfig(PathBuf),
}

impl KubernetesAccess {
    /// Whether it is to be reached at all.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        cfg!(feature = "kubernetes")
            && match self {
                Self::Off => false,
                Self::Kubeconfig(_) => true,
                // What every pod has that may find the API (kubelet's service environment).
                Self::Auto => std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
            }
    }

    const fn is_auto(&self) -> bool {
        matches!(self, Self::Auto)
    }
}

impl Serialize for KubernetesAccess {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let path = if let Self::Kubeconfig(path) = self { path } else { Path::new("") };
        serializer.collect_str(&path.display())
    }
}

/// RFC 1123: it becomes part of a request.
const fn is_of_a_name(one: char) -> bool {
    one.is_ascii_alphanumeric() || matches!(one, '-' | '.')
}

impl CriSocket {
    const fn is_auto(&self) -> bool {
        matches!(self, Self::Auto)
    }

    /// The sockets to try, in order; none if pods are not to be asked for.
    #[must_use]
    pub fn candidates(&self) -> Vec<PathBuf> {
        match self {
            Self::Auto => CRI_SOCKETS.iter().map(PathBuf::from).collect(),
            Self::Off => Vec::new(),
            Self::At(path) => vec![path.clone()],
        }
    }
}

impl Serialize for CriSocket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let path = if let Self::At(path) = self { path } else { Path::new("") };
        serializer.collect_str(&path.display())
    }
}

fn empty_for_none<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_deref().unwrap_or(Path::new("")).display())
}

/// The path of a unix socket; `unix://` before it is accepted, as `DOCKER_HOST` writes it.
fn absolute(flag: &str, path: &str) -> Result<PathBuf, Failure> {
    let bare = path.strip_prefix("unix://").unwrap_or(path);
    if !bare.starts_with('/') || bare.contains('\0') {
        return Err(Failure::usage(format!("--{flag} {path:?}: give an absolute path")));
    }
    if bare.len() > SOCKET_PATH_LIMIT {
        return Err(Failure::usage(format!(
            "--{flag}: the path has {} bytes, a unix socket's may have {SOCKET_PATH_LIMIT}",
            bare.len()
        )));
    }
    Ok(PathBuf::from(bare))
}

fn named(flag: &str, all: &[String]) -> Result<Vec<NamedNetwork>, Failure> {
    let one = |text: &String| text.parse().map_err(|why| Failure::usage(format!("--{flag} {text:?}: {why}")));
    all.iter().map(one).collect()
}

fn within(flag: &str, value: u32, limit: u32) -> Result<u32, Failure> {
    if (1..=limit).contains(&value) {
        return Ok(value);
    }
    Err(Failure::usage(format!("--{flag} {value}: give a number between 1 and {limit}")))
}

/// The kernel's own rule (`dev_valid_name`).
fn is_interface_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= INTERFACE_NAME_LIMIT
        && !name.contains(|one: char| one == '/' || one == ':' || one == '\0' || one.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(layer: Layer) -> String {
        let failure = Settings::check(layer).unwrap_err();
        assert_eq!(failure.status.code(), 2);
        failure.to_string()
    }

    #[test]
    fn what_nobody_typed_has_the_documented_default() {
        let settings = Settings::check(Layer::default()).unwrap();
        assert_eq!(settings.metrics_listen.to_string(), "127.0.0.1:9777");
        assert_eq!(settings.web_listen.to_string(), "127.0.0.1:9778");
        assert_eq!(settings.socket, Path::new("/run/netobs/netobs.sock"));
        assert_eq!(settings.docker_socket.as_deref(), Some(Path::new("/var/run/docker.sock")));
        assert_eq!((settings.max_series, settings.max_flows), (2_000, 65_536));
        assert_eq!((settings.detail, settings.attach), (Detail::Workload, Attach::Auto));
    }

    #[test]
    fn what_was_typed_wins_over_the_file() {
        let typed = Layer { max_flows: Some(1), uplink: vec!["eth0".into()], ..Layer::default() };
        let file = Layer {
            max_flows: Some(2),
            max_series: Some(3),
            uplink: vec!["eth1".into()],
            ..Layer::default()
        };
        let settings = Settings::check(typed.over(file)).unwrap();
        assert_eq!((settings.max_flows, settings.max_series), (1, 3));
        assert_eq!(settings.uplinks, ["eth0"]);
    }

    #[test]
    fn an_empty_docker_socket_means_none() {
        let layer = Layer { docker_socket: Some(String::new()), ..Layer::default() };
        assert_eq!(Settings::check(layer).unwrap().docker_socket, None);
    }

    #[test]
    fn settings_written_out_read_back_as_the_same() {
        let layer = Layer {
            uplink: vec!["eth0".into()],
            vxlan_port: vec![4_790],
            docker_socket: Some(String::new()),
            network: vec!["office=203.0.113.0/24".into()],
            node: vec!["two=198.51.100.3".into()],
            cri_socket: Some(String::new()),
            libvirt_dir: Some(String::new()),
            kubeconfig: Some("/etc/kubeconfig".into()),
            node_name: Some("n1".into()),
            attach: Some(Attach::Clsact),
            max_series: Some(7),
            ..Layer::default()
        };
        let settings = Settings::check(layer).unwrap();
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(Settings::check(file::parse(text.as_bytes()).unwrap()).unwrap(), settings);
    }

    #[test]
    fn the_web_page_stays_on_loopback() {
        let listen = |address: &str| Layer { web_listen: Some(address.parse().unwrap()), ..Layer::default() };
        assert!(refused(listen("0.0.0.0:9778")).contains("TLS and a token"));
        assert!(refused(listen("[::]:9778")).contains("TLS and a token"));
        assert!(Settings::check(listen("[::1]:9778")).is_ok());
        assert!(Settings::check(listen("127.1.2.3:1")).is_ok());
    }

    #[test]
    fn two_listeners_cannot_share_a_port_unless_the_kernel_chooses_it() {
        let both = |address: &str| Layer {
            web_listen: Some(address.parse().unwrap()),
            metrics_listen: Some(address.parse().unwrap()),
            ..Layer::default()
        };
        assert!(refused(both("127.0.0.1:9")).contains("different ports"));
        assert!(Settings::check(both("127.0.0.1:0")).is_ok());
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        assert!(refused(Layer { max_flows: Some(0), ..Layer::default() }).contains("between 1 and"));
        assert!(refused(Layer { max_series: Some(u32::MAX), ..Layer::default() }).contains("between 1 and"));
        assert!(
            refused(Layer { socket: Some("netobs.sock".into()), ..Layer::default() }).contains("absolute")
        );
        assert!(
            refused(Layer { socket: Some(format!("/{}", "x".repeat(107))), ..Layer::default() })
                .contains("108 bytes")
        );
        for ports in [vec![0], vec![1, 2, 3, 4, 5]] {
            assert!(refused(Layer { vxlan_port: ports, ..Layer::default() }).contains("--vxlan-port"));
        }
        for name in ["", "a b", "eth0/1", "sixteen-letters-", ".."] {
            assert!(
                refused(Layer { uplink: vec![name.into()], ..Layer::default() }).contains("--uplink"),
                "{name}"
            );
        }
    }
}
