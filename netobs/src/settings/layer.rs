//! One definition of every setting → flags, environment variables and keys of the file.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// What was typed, in one place: on the command line and in the environment (clap fills it), or in the file
/// (serde fills it). A setting nobody typed is `None`. The flag `--metrics-listen` is the variable
/// `NETOBS_METRICS_LISTEN` and the key `metrics_listen`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// Address and port of /metrics, /healthz and /readyz [default: 127.0.0.1:9777]
    #[arg(long, env = "NETOBS_METRICS_LISTEN", value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,

    /// Address and port of the JSON API; loopback only, for it asks for no token [default: 127.0.0.1:9778]
    #[arg(long, env = "NETOBS_WEB_LISTEN", value_name = "ADDR:PORT")]
    pub web_listen: Option<SocketAddr>,

    /// Unix socket for the other commands [default: /run/netobs/netobs.sock]
    #[arg(long, env = "NETOBS_SOCKET", value_name = "PATH")]
    pub socket: Option<String>,

    /// How much the metrics tell apart [default: workload]
    #[arg(long, env = "NETOBS_DETAIL", value_enum)]
    pub detail: Option<Detail>,

    /// Label sets a workload or endpoint metric may have before the rest is called `other` [default: 2000]
    #[arg(long, env = "NETOBS_MAX_SERIES", value_name = "N", allow_negative_numbers = true)]
    pub max_series: Option<u32>,

    /// Flow sightings the kernel keeps in detail; totals stay exact beyond [default: 65536]
    #[arg(long, env = "NETOBS_MAX_FLOWS", value_name = "N", allow_negative_numbers = true)]
    pub max_flows: Option<u32>,

    /// Interface that leads outside, instead of the default route's; may be repeated
    #[arg(long, env = "NETOBS_UPLINK", value_name = "INTERFACE", value_delimiter = ',')]
    pub uplink: Vec<String>,

    /// Observe interfaces inside network namespaces too, `lo` and macvlan among them; needs CAP_SYS_ADMIN and
    /// CAP_SYS_PTRACE [default: false]
    #[arg(long, env = "NETOBS_INSIDE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub inside: Option<bool>,

    /// UDP port of VXLAN to look into, beside the devices' own, 4789 and 8472; may be repeated
    #[arg(long, env = "NETOBS_VXLAN_PORT", value_name = "PORT", value_delimiter = ',')]
    pub vxlan_port: Vec<u16>,

    /// Name for a network outside, as in office=203.0.113.0/24; may be repeated
    #[arg(long, env = "NETOBS_NETWORK", value_name = "NAME=CIDR", value_delimiter = ',')]
    pub network: Vec<String>,

    /// Address of another node, or network of its pods, as in node-2=198.51.100.3; may be repeated
    #[arg(long, env = "NETOBS_NODE", value_name = "NAME=ADDR", value_delimiter = ',')]
    pub node: Vec<String>,

    /// Docker's (or podman's) API socket, empty for none [default: /var/run/docker.sock]
    #[arg(long, env = "NETOBS_DOCKER_SOCKET", value_name = "PATH")]
    pub docker_socket: Option<String>,

    /// Pod runtime's socket, empty for none [default: the first of containerd's, CRI-O's and k3s's]
    #[arg(long, env = "NETOBS_CRI_SOCKET", value_name = "PATH")]
    pub cri_socket: Option<String>,

    /// How to reach the Kubernetes API, empty for not at all [default: as a pod does, where it is one]
    #[arg(long, env = "NETOBS_KUBECONFIG", value_name = "PATH")]
    pub kubeconfig: Option<String>,

    /// This node's name in the cluster [default: the host's name]
    #[arg(long, env = "NETOBS_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,

    /// Directory of libvirt's status files, empty for none [default: /run/libvirt/qemu]
    #[arg(long, env = "NETOBS_LIBVIRT_DIR", value_name = "PATH")]
    pub libvirt_dir: Option<String>,

    /// How programs are attached: auto takes TCX where the kernel has it [default: auto]
    #[arg(long, env = "NETOBS_ATTACH", value_enum)]
    pub attach: Option<Attach>,

    /// What is logged on standard error [default: info]
    #[arg(long, env = "NETOBS_LOG_LEVEL", value_enum, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,

    /// How it is logged [default: text]
    #[arg(long, env = "NETOBS_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

impl Layer {
    /// This layer where it says something, else the one below.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            metrics_listen: self.metrics_listen.or(below.metrics_listen),
            web_listen: self.web_listen.or(below.web_listen),
            socket: self.socket.or(below.socket),
            detail: self.detail.or(below.detail),
            max_series: self.max_series.or(below.max_series),
            max_flows: self.max_flows.or(below.max_flows),
            uplink: if self.uplink.is_empty() { below.uplink } else { self.uplink },
            inside: self.inside.or(below.inside),
            vxlan_port: if self.vxlan_port.is_empty() { below.vxlan_port } else { self.vxlan_port },
            network: if self.network.is_empty() { below.network } else { self.network },
            node: if self.node.is_empty() { below.node } else { self.node },
            docker_socket: self.docker_socket.or(below.docker_socket),
            cri_socket: self.cri_socket.or(below.cri_socket),
            kubeconfig: self.kubeconfig.or(below.kubeconfig),
            node_name: self.node_name.or(below.node_name),
            libvirt_dir: self.libvirt_dir.or(below.libvirt_dir),
            attach: self.attach.or(below.attach),
            log_level: self.log_level.or(below.log_level),
            log_format: self.log_format.or(below.log_format),
        }
    }
}

/// How much the metrics tell apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Kinds and paths: finite whatever runs on the host
    Path,
    /// The workloads of both sides as well
    #[default]
    Workload,
    /// The endpoints themselves as well
    Endpoint,
}

/// How programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// TCX, else clsact
    #[default]
    Auto,
    /// TCX only (Linux 6.6 and later)
    Tcx,
    /// A tc filter on a clsact qdisc
    Clsact,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing
    Off,
    /// What keeps netobs from working
    Error,
    /// What it has to do without
    Warn,
    /// What it does
    #[default]
    Info,
    /// Every interface and container
    Debug,
    /// Everything
    Trace,
}

impl LogLevel {
    /// The word in flags and filters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How it is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}
