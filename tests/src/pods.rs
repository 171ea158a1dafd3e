//! A real containerd with its pod runtime interface, private sockets and directories, inside one network stack;
//! gone without a trace when dropped.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    dockerd, image,
    kubelet::{Kubelet, Pod, PodSpec},
    netns::{Stack, kill_processes_in},
    process::{Background, command, run, run_within, until},
};

/// The image every container of a pod runs, and every sandbox too.
pub const IMAGE: &str = "docker.io/library/netobs-lab:1";
/// The bridge pods are on.
pub const BRIDGE: &str = "cni0";
/// The node's address on it.
pub const GATEWAY: &str = "10.88.0.1";

/// A running daemon with its pods.
#[derive(Debug)]
pub struct Pods {
    stack: Stack,
    directory: PathBuf,
    daemon: Option<Background>,
}

impl Pods {
    /// Starts containerd in `stack`, everything it writes below `directory`, and imports [`IMAGE`] with the given
    /// programs in it.
    ///
    /// # Errors
    /// With the daemon's log when it is not ready within 30 seconds.
    pub fn start(stack: &Stack, directory: &Path, programs: &[PathBuf]) -> Result<Self> {
        fs::create_dir_all(directory.join("cni"))?;
        let mut pods = Self { stack: stack.clone(), directory: directory.to_owned(), daemon: None };
        pods.configure()?;
        pods.start_again()?;
        pods.import(programs)?;
        Ok(pods)
    }

    fn configure(&self) -> Result<()> {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let configuration = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\n[grpc]\n  address = \"{}\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"{IMAGE}\"\n  \
             disable_apparmor = true\n  restrict_oom_score_adj = true\n  disable_tcp_service = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\n  bin_dir = \"/usr/lib/cni\"\n  conf_dir = \"{}\"\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"native\"\n",
            at("root"),
            at("state"),
            at("containerd.sock"),
            at("cni"),
        );
        fs::write(self.directory.join("containerd.toml"), configuration)?;
        let network = serde_json::json!({
            "cniVersion": "0.4.0",
            "name": "netobs-lab",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": BRIDGE,
                    "isGateway": true,
                    "ipMasq": true,
                    "hairpinMode": true,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": at("addresses"),
                        "ranges": [[{"subnet": "10.88.0.0/24", "gateway": GATEWAY}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        fs::write(self.directory.join("cni/10-lab.conflist"), network.to_string())?;
        Ok(())
    }

    /// Starts the daemon, the first time or again; its pods have gone on meanwhile.
    ///
    /// # Errors
    /// With the daemon's log when it is not ready within 30 seconds.
    pub fn start_again(&mut self) -> Result<()> {
        let configuration = self.directory.join("containerd.toml").display().to_string();
        let log = self.directory.join("containerd.log");
        let mut daemon =
            Background::start(&mut self.stack.command("containerd", ["-c", &configuration]), &log)?;
        until("the pod runtime", Duration::from_secs(30), || {
            if let Some(status) = daemon.ended() {
                bail!("containerd ended ({status}): {}", daemon.log());
            }
            self.kubelet()?.is_ready()
        })
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Stops the daemon. Its pods go on.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(Duration::from_secs(15))?;
        }
        Ok(())
    }

    fn import(&self, programs: &[PathBuf]) -> Result<()> {
        let root = self.directory.join("image");
        image::lay_out(&root, programs)?;
        let archive = self.directory.join("image.tar");
        image::archive(&root, IMAGE, &archive)?;
        let socket = self.socket().display().to_string();
        let file = archive.display().to_string();
        let import = ["-a", &socket, "-n", "k8s.io", "images", "import", "--snapshotter", "native", &file];
        run_within(&mut command("ctr", import), Duration::from_secs(60))?;
        fs::remove_dir_all(root)?;
        fs::remove_file(archive)?;
        Ok(())
    }

    /// The runtime's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    /// A client that makes pods.
    ///
    /// # Errors
    /// When nobody answers at the socket.
    pub fn kubelet(&self) -> Result<Kubelet> {
        Kubelet::connect(&self.socket())
    }

    /// Runs a pod.
    ///
    /// # Errors
    /// With the daemon's log when the runtime refuses.
    pub fn run(&self, spec: &PodSpec) -> Result<Pod> {
        let log = || fs::read_to_string(self.directory.join("containerd.log")).unwrap_or_default();
        let tail = |log: String| log.lines().rev().take(5).map(str::to_owned).collect::<Vec<_>>().join("\n");
        self.kubelet()?.run(spec, IMAGE).with_context(|| format!("pod {}: {}", spec.name, tail(log())))
    }

    /// A command inside a container, by its id.
    #[must_use]
    pub fn exec(&self, container: &str, program: &[&str]) -> std::process::Command {
        let socket = self.socket().display().to_string();
        let name = crate::netns::unique("exec");
        let mut exec =
            command("ctr", ["-a", &socket, "-n", "k8s.io", "tasks", "exec", "--exec-id", &name, container]);
        exec.args(program);
        exec
    }

    /// Ends pods and daemon and removes every file, mount, namespace and cgroup.
    pub fn remove(&mut self) {
        if let Ok(kubelet) = self.kubelet() {
            for sandbox in kubelet.sandboxes().unwrap_or_default() {
                kubelet.remove(&sandbox).ok();
            }
        }
        self.stop().ok();
        clear(&self.directory);
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes what a daemon, ended or killed, left: namespaces made by the network plug-ins, and what any containerd
/// leaves.
pub fn clear(directory: &Path) {
    for mount in namespaces_in(directory) {
        kill_processes_in(&mount);
        run(command("umount", ["-l"]).arg(&mount)).ok();
        fs::remove_file(&mount).ok();
    }
    let sandboxes = ids_in(directory);
    dockerd::clear(directory);
    for id in sandboxes {
        forget(&id);
    }
    remove_cgroups(Path::new("/sys/fs/cgroup"));
}

/// Directories of what runs by the daemon of this directory, each by its id.
fn bundles(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let bundles = directory.join("state/io.containerd.runtime.v2.task/k8s.io");
    fs::read_dir(bundles).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Ids of what runs by the daemon of this directory.
fn ids_in(directory: &Path) -> Vec<String> {
    bundles(directory).filter_map(|bundle| bundle.file_name()?.to_str().map(str::to_owned)).collect()
}

/// What the runtime and the network plug-ins keep outside the daemon's directory, for a container that was killed.
fn forget(id: &str) {
    fs::remove_dir_all(Path::new("/run/containerd/runc/k8s.io").join(id)).ok();
    for result in fs::read_dir("/var/lib/cni/results").into_iter().flatten().flatten() {
        if result.file_name().to_string_lossy().contains(id) {
            fs::remove_file(result.path()).ok();
        }
    }
}

/// Files of `/run/netns` that the daemon of this directory made: the bundles of its sandboxes name them.
fn namespaces_in(directory: &Path) -> Vec<PathBuf> {
    let named = bundles(directory).filter_map(|bundle| {
        let text = fs::read_to_string(bundle.join("config.json")).ok()?;
        let spec: serde_json::Value = serde_json::from_str(&text).ok()?;
        let namespaces = spec["linux"]["namespaces"].as_array()?;
        let path = namespaces.iter().find(|one| one["type"] == "network")?["path"].as_str()?;
        path.contains("/netns/cni-").then(|| PathBuf::from(path))
    });
    named.collect()
}

/// Empty cgroups of pods, in every hierarchy; one that is still in use refuses to go.
fn remove_cgroups(root: &Path) {
    let controllers = fs::read_dir(root).into_iter().flatten().flatten().map(|one| one.path());
    for top in controllers.chain([root.to_owned()]).map(|one| one.join("kubepods")) {
        remove_empty(&top);
    }
}

fn remove_empty(cgroup: &Path) {
    for child in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&child.path());
        }
    }
    fs::remove_dir(cgroup).ok();
}
