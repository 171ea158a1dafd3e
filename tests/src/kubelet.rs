//! Pods made as a kubelet makes them: by the pod runtime's own interface over gRPC.
//!
//! Messages: `k8s.io/cri-api`, pkg/apis/runtime/v1/api.proto; only the fields that are used.

mod wire;

use std::{collections::HashMap, path::Path, time::Duration};

use anyhow::{Context, Result};
use tonic::{
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

use self::wire::*;

/// A pod as it is asked for.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// Its namespace.
    pub namespace: &'static str,
    /// Its name.
    pub name: String,
    /// Its labels, beside those a kubelet sets.
    pub labels: Vec<(&'static str, String)>,
    /// Whether it uses the node's network stack.
    pub host_network: bool,
    /// Names of its containers.
    pub containers: Vec<&'static str>,
}

/// A pod that runs.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Id of its sandbox.
    pub sandbox: String,
    /// Its containers: name, id, first process.
    pub containers: Vec<(String, String, u32)>,
    /// Its address; none on the node's stack.
    pub address: Option<String>,
    /// The sandbox's process.
    pub pid: u32,
}

/// A client of a pod runtime.
#[derive(Debug)]
pub struct Kubelet {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl Kubelet {
    /// Connects to a runtime's socket.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(socket: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?.timeout(PATIENCE);
        let channel = runtime.block_on(endpoint.connect())?;
        Ok(Self { runtime, channel })
    }

    fn call<Q, R>(&self, method: &'static str, question: Q) -> Result<R>
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        self.runtime.block_on(async {
            let mut grpc = Grpc::new(self.channel.clone());
            grpc.ready().await?;
            let codec = tonic_prost::ProstCodec::<Q, R>::default();
            let answer = grpc.unary(tonic::Request::new(question), PathAndQuery::from_static(method), codec);
            Ok(answer.await.with_context(|| method.to_owned())?.into_inner())
        })
    }

    /// Whether the runtime says that it can run pods with a network.
    ///
    /// # Errors
    /// When it does not answer, or says that it cannot.
    pub fn is_ready(&self) -> Result<()> {
        let status: StatusResponse =
            self.call("/runtime.v1.RuntimeService/Status", StatusRequest { verbose: false })?;
        let conditions = status.status.map(|status| status.conditions).unwrap_or_default();
        let unmet: Vec<_> = conditions.iter().filter(|one| !one.status).map(|one| &one.message).collect();
        anyhow::ensure!(!conditions.is_empty() && unmet.is_empty(), "not ready: {unmet:?}");
        Ok(())
    }

    /// Runs a pod, its containers sleeping in `image`.
    ///
    /// # Errors
    /// When the runtime refuses.
    pub fn run(&self, spec: &PodSpec, image: &str) -> Result<Pod> {
        let uid = uid_of(&spec.name);
        let config = sandbox_config(spec, &uid);
        let made: RunPodSandboxResponse = self.call(
            "/runtime.v1.RuntimeService/RunPodSandbox",
            RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: String::new() },
        )?;
        let sandbox = made.pod_sandbox_id;
        let mut containers = Vec::new();
        for name in &spec.containers {
            let id = self.start_container(&sandbox, &config, name, image)?;
            let pid = self.container_pid(&id)?;
            containers.push(((*name).to_owned(), id, pid));
        }
        let said: PodSandboxStatusResponse = self.call(
            "/runtime.v1.RuntimeService/PodSandboxStatus",
            PodSandboxStatusRequest { pod_sandbox_id: sandbox.clone(), verbose: true },
        )?;
        let address = said.status.and_then(|status| status.network).map(|network| network.ip);
        Ok(Pod {
            namespace: spec.namespace.to_owned(),
            name: spec.name.clone(),
            uid,
            sandbox,
            containers,
            address: address.filter(|address| !address.is_empty()),
            pid: pid_of(&said.info)?,
        })
    }

    fn start_container(
        &self,
        sandbox: &str,
        sandbox_config: &PodSandboxConfig,
        name: &str,
        image: &str,
    ) -> Result<String> {
        let mut labels = sandbox_config.labels.clone();
        labels.insert("io.kubernetes.container.name".into(), name.into());
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.into(), attempt: 0 }),
            image: Some(ImageSpec { image: image.into() }),
            command: vec!["/bin/sleep".into(), "100000".into()],
            labels,
            linux: Some(LinuxContainerConfig {
                security_context: Some(LinuxContainerSecurityContext {
                    namespace_options: sandbox_config
                        .linux
                        .as_ref()
                        .and_then(|linux| linux.security_context.as_ref()?.namespace_options),
                }),
            }),
        };
        let made: CreateContainerResponse = self.call(
            "/runtime.v1.RuntimeService/CreateContainer",
            CreateContainerRequest {
                pod_sandbox_id: sandbox.to_owned(),
                config: Some(config),
                sandbox_config: Some(sandbox_config.clone()),
            },
        )?;
        let container_id = made.container_id;
        let _: Empty = self.call(
            "/runtime.v1.RuntimeService/StartContainer",
            ContainerId { container_id: container_id.clone() },
        )?;
        Ok(container_id)
    }

    fn container_pid(&self, id: &str) -> Result<u32> {
        let said: ContainerStatusResponse = self.call(
            "/runtime.v1.RuntimeService/ContainerStatus",
            ContainerStatusRequest { container_id: id.to_owned(), verbose: true },
        )?;
        pid_of(&said.info)
    }

    /// Stops and removes a pod.
    ///
    /// # Errors
    /// When the runtime refuses.
    pub fn remove(&self, sandbox: &str) -> Result<()> {
        let id = || SandboxId { pod_sandbox_id: sandbox.to_owned() };
        let _: Empty = self.call("/runtime.v1.RuntimeService/StopPodSandbox", id())?;
        let _: Empty = self.call("/runtime.v1.RuntimeService/RemovePodSandbox", id())?;
        Ok(())
    }

    /// Ids of all sandboxes there are.
    ///
    /// # Errors
    /// When the runtime does not answer.
    pub fn sandboxes(&self) -> Result<Vec<String>> {
        let listed: ListPodSandboxResponse =
            self.call("/runtime.v1.RuntimeService/ListPodSandbox", ListPodSandboxRequest {})?;
        Ok(listed.items.into_iter().map(|one| one.id).collect())
    }
}

/// A UID that is a pod's own, in the API server's form.
fn uid_of(name: &str) -> String {
    let sum = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!(
        "{:08x}-{:04x}-4{:03x}-8000-{:012x}",
        sum >> 32,
        sum >> 16 & 0xffff,
        sum & 0xfff,
        sum & 0xffff_ffff_ffff
    )
}

fn sandbox_config(spec: &PodSpec, uid: &str) -> PodSandboxConfig {
    /// `NamespaceMode.NODE`; POD is 0.
    const NODE: i32 = 2;
    let mut labels: HashMap<String, String> =
        spec.labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    labels.insert("io.kubernetes.pod.name".into(), spec.name.clone());
    labels.insert("io.kubernetes.pod.namespace".into(), spec.namespace.into());
    labels.insert("io.kubernetes.pod.uid".into(), uid.into());
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: spec.name.clone(),
            uid: uid.into(),
            namespace: spec.namespace.into(),
            attempt: 0,
        }),
        // A host's name is not a pod's to set: runc refuses one on the node's stack.
        hostname: if spec.host_network { String::new() } else { spec.name.clone() },
        log_directory: String::new(),
        labels,
        linux: Some(LinuxPodSandboxConfig {
            // As the kubelet's cgroupfs driver names it.
            cgroup_parent: format!("/kubepods/besteffort/pod{uid}"),
            security_context: Some(LinuxSandboxSecurityContext {
                namespace_options: Some(NamespaceOption {
                    network: if spec.host_network { NODE } else { 0 },
                    pid: 1,
                    ipc: 0,
                }),
            }),
        }),
    }
}

fn pid_of(info: &HashMap<String, String>) -> Result<u32> {
    let text = info.get("info").context("the runtime gave no further information")?;
    let json: serde_json::Value = serde_json::from_str(text)?;
    Ok(json["pid"].as_u64().context("no pid")?.try_into()?)
}
