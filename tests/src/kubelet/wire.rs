//! Messages of the container runtime interface, the fields that are used.

use std::collections::HashMap;

macro_rules! messages {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            #[derive(Clone, PartialEq, prost::Message)]
            pub(super) struct $name {
                $($(#[$attribute])* pub(super) $field: $kind,)*
            }
        )*
    };
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct NamespaceOption {
    #[prost(int32, tag = "1")]
    pub(super) network: i32,
    #[prost(int32, tag = "2")]
    pub(super) pid: i32,
    #[prost(int32, tag = "3")]
    pub(super) ipc: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Empty {}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct ListPodSandboxRequest {}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct StatusRequest {
    #[prost(bool, tag = "1")]
    pub(super) verbose: bool,
}

messages! {
    StatusResponse {
        #[prost(message, optional, tag = "1")]
        status: Option<RuntimeStatus>,
    }
    RuntimeStatus {
        #[prost(message, repeated, tag = "1")]
        conditions: Vec<RuntimeCondition>,
    }
    RuntimeCondition {
        #[prost(bool, tag = "2")]
        status: bool,
        #[prost(string, tag = "4")]
        message: String,
    }
    PodSandboxMetadata {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        uid: String,
        #[prost(string, tag = "3")]
        namespace: String,
        #[prost(uint32, tag = "4")]
        attempt: u32,
    }
    LinuxSandboxSecurityContext {
        #[prost(message, optional, tag = "1")]
        namespace_options: Option<NamespaceOption>,
    }
    LinuxPodSandboxConfig {
        #[prost(string, tag = "1")]
        cgroup_parent: String,
        #[prost(message, optional, tag = "2")]
        security_context: Option<LinuxSandboxSecurityContext>,
    }
    PodSandboxConfig {
        #[prost(message, optional, tag = "1")]
        metadata: Option<PodSandboxMetadata>,
        #[prost(string, tag = "2")]
        hostname: String,
        #[prost(string, tag = "3")]
        log_directory: String,
        #[prost(map = "string, string", tag = "6")]
        labels: HashMap<String, String>,
        #[prost(message, optional, tag = "8")]
        linux: Option<LinuxPodSandboxConfig>,
    }
    RunPodSandboxRequest {
        #[prost(message, optional, tag = "1")]
        config: Option<PodSandboxConfig>,
        #[prost(string, tag = "2")]
        runtime_handler: String,
    }
    RunPodSandboxResponse {
        #[prost(string, tag = "1")]
        pod_sandbox_id: String,
    }
    SandboxId {
        #[prost(string, tag = "1")]
        pod_sandbox_id: String,
    }
    ContainerId {
        #[prost(string, tag = "1")]
        container_id: String,
    }
    PodSandboxStatusRequest {
        #[prost(string, tag = "1")]
        pod_sandbox_id: String,
        #[prost(bool, tag = "2")]
        verbose: bool,
    }
    PodSandboxStatusResponse {
        #[prost(message, optional, tag = "1")]
        status: Option<PodSandboxStatus>,
        #[prost(map = "string, string", tag = "2")]
        info: HashMap<String, String>,
    }
    PodSandboxStatus {
        #[prost(message, optional, tag = "5")]
        network: Option<PodSandboxNetworkStatus>,
    }
    PodSandboxNetworkStatus {
        #[prost(string, tag = "1")]
        ip: String,
    }
    ListPodSandboxResponse {
        #[prost(message, repeated, tag = "1")]
        items: Vec<PodSandbox>,
    }
    PodSandbox {
        #[prost(string, tag = "1")]
        id: String,
    }
    ContainerMetadata {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(uint32, tag = "2")]
        attempt: u32,
    }
    ImageSpec {
        #[prost(string, tag = "1")]
        image: String,
    }
    LinuxContainerSecurityContext {
        #[prost(message, optional, tag = "3")]
        namespace_options: Option<NamespaceOption>,
    }
    LinuxContainerConfig {
        #[prost(message, optional, tag = "2")]
        security_context: Option<LinuxContainerSecurityContext>,
    }
    ContainerConfig {
        #[prost(message, optional, tag = "1")]
        metadata: Option<ContainerMetadata>,
        #[prost(message, optional, tag = "2")]
        image: Option<ImageSpec>,
        #[prost(string, repeated, tag = "3")]
        command: Vec<String>,
        #[prost(map = "string, string", tag = "9")]
        labels: HashMap<String, String>,
        #[prost(message, optional, tag = "15")]
        linux: Option<LinuxContainerConfig>,
    }
    CreateContainerRequest {
        #[prost(string, tag = "1")]
        pod_sandbox_id: String,
        #[prost(message, optional, tag = "2")]
        config: Option<ContainerConfig>,
        #[prost(message, optional, tag = "3")]
        sandbox_config: Option<PodSandboxConfig>,
    }
    CreateContainerResponse {
        #[prost(string, tag = "1")]
        container_id: String,
    }
    ContainerStatusRequest {
        #[prost(string, tag = "1")]
        container_id: String,
        #[prost(bool, tag = "2")]
        verbose: bool,
    }
    ContainerStatusResponse {
        #[prost(map = "string, string", tag = "2")]
        info: HashMap<String, String>,
    }
}
