//! A real dockerd with a containerd of its own, private sockets and directories, inside one network stack;
//! gone without a trace when dropped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    image,
    netns::{Stack, kill_processes_in},
    process::{self, Background, command, run, run_within, until},
};

/// The image every container of the lab runs.
pub const IMAGE: &str = "netobs-lab";

/// How dockerd is to be started.
#[derive(Clone, Debug)]
pub enum Bridge {
    /// It makes `docker0` with this address and prefix, and keeps the firewall as on any host.
    Own {
        /// Address and prefix length of `docker0`.
        ipv4: &'static str,
        /// Prefix of its containers' IPv6 addresses.
        ipv6: &'static str,
    },
    /// It uses an existing bridge and touches neither firewall nor sysctls.
    Existing(&'static str),
}

/// A running daemon.
#[derive(Debug)]
pub struct Docker {
    directory: PathBuf,
    containerd: Option<Background>,
    dockerd: Option<Background>,
    arguments: Vec<String>,
}

impl Docker {
    /// Starts containerd and dockerd in `stack`, everything they write below `directory`.
    ///
    /// # Errors
    /// With the daemon's log when it does not answer within 30 seconds.
    pub fn start(stack: &Stack, directory: &Path, bridge: &Bridge) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let mut docker = Self::left_in(directory);
        docker.start_containerd(stack)?;
        docker.start_dockerd(stack, bridge)?;
        Ok(docker)
    }

    fn start_containerd(&mut self, stack: &Stack) -> Result<()> {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let configuration = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = \"{}\"\n",
            at("containerd"),
            at("containerd-state"),
            at("containerd.sock"),
        );
        fs::write(self.directory.join("containerd.toml"), configuration)?;
        let log = self.directory.join("containerd.log");
        let mut daemon =
            Background::start(&mut stack.command("containerd", ["-c", &at("containerd.toml")]), &log)?;
        let socket = self.directory.join("containerd.sock");
        until("containerd's socket", Duration::from_secs(30), || {
            if let Some(status) = daemon.ended() {
                bail!("containerd ended ({status}): {}", daemon.log());
            }
            std::os::unix::net::UnixStream::connect(&socket)?;
            Ok(())
        })?;
        self.containerd = Some(daemon);
        Ok(())
    }

    fn start_dockerd(&mut self, stack: &Stack, bridge: &Bridge) -> Result<()> {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let mut arguments = vec![
            format!("--data-root={}", at("data")),
            format!("--exec-root={}", at("exec")),
            format!("--pidfile={}", at("dockerd.pid")),
            format!("--host=unix://{}", at("docker.sock")),
            format!("--containerd={}", at("containerd.sock")),
            // Containers go on while the daemon is away.
            "--live-restore".into(),
            // An empty file: the machine's own configuration must not reach in here.
            format!("--config-file={}", at("daemon.json")),
        ];
        fs::write(self.directory.join("daemon.json"), "{}")?;
        match bridge {
            Bridge::Own { ipv4, ipv6 } => arguments.extend([
                format!("--bip={ipv4}"),
                "--ipv6".into(),
                format!("--fixed-cidr-v6={ipv6}"),
            ]),
            Bridge::Existing(name) => arguments.extend([
                format!("--bridge={name}"),
                "--iptables=false".into(),
                "--ip6tables=false".into(),
                "--ip-forward=false".into(),
                "--ip-masq=false".into(),
            ]),
        }
        self.arguments = arguments;
        self.start_again(stack)
    }

    /// Stops the daemon. Its containers go on.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.dockerd.take() {
            daemon.stop(Duration::from_secs(15))?;
        }
        Ok(())
    }

    /// Starts the daemon again.
    ///
    /// # Errors
    /// With its log when it does not answer within 30 seconds.
    pub fn start_again(&mut self, stack: &Stack) -> Result<()> {
        let log = self.directory.join("dockerd.log");
        self.dockerd = Some(Background::start(&mut stack.command("dockerd", &self.arguments), &log)?);
        until("dockerd to answer", Duration::from_secs(30), || {
            if let Some(status) = self.dockerd.as_mut().and_then(Background::ended) {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("dockerd ended ({status}): {log}");
            }
            self.docker(&["version", "--format", "{{.Server.Version}}"])
        })?;
        Ok(())
    }

    /// A handle on a daemon that an earlier command left running in `directory`.
    #[must_use]
    pub fn left_in(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), containerd: None, dockerd: None, arguments: Vec::new() }
    }

    /// The Engine API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// A command of Docker's client, told of this daemon only.
    #[must_use]
    pub fn client(&self) -> Command {
        // Debian's client by its path: another one may come first on the search path.
        let program = if Path::new("/usr/bin/docker").is_file() { "/usr/bin/docker" } else { "docker" };
        let mut client = Command::new(program);
        client.arg("--host").arg(format!("unix://{}", self.socket().display()));
        client.env("DOCKER_CONFIG", self.directory.join("client"));
        client.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        client
    }

    /// Runs Docker's client; it must succeed. Returns its standard output without the last line's end.
    ///
    /// # Errors
    /// When it fails.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        Ok(run_within(self.client().args(arguments), Duration::from_secs(60))?.trim_end().to_owned())
    }

    /// Makes [`IMAGE`] out of busybox and the given programs.
    ///
    /// # Errors
    /// When a program is missing or the import fails.
    pub fn import_image(&self, programs: &[PathBuf]) -> Result<()> {
        let root = self.directory.join("image");
        image::lay_out(&root, programs)?;
        let mut tar = image::tar(&root).stdout(Stdio::piped()).spawn().context("starting tar")?;
        let stream = tar.stdout.take().context("tar has no output")?;
        let done = self.client().args(["import", "-", IMAGE]).stdin(stream).output()?;
        if !tar.wait()?.success() || !done.status.success() {
            bail!("docker import: {}", String::from_utf8_lossy(&done.stderr));
        }
        fs::remove_dir_all(root)?;
        Ok(())
    }

    /// Starts a container of this name with the client's options and a command in [`IMAGE`].
    ///
    /// # Errors
    /// When Docker refuses.
    pub fn start_container(&self, name: &str, options: &[&str], program: &[&str]) -> Result<()> {
        let mut arguments = vec!["run", "--detach", "--name", name, "--hostname", name];
        if options.iter().any(|word| word.contains("host") || word.contains("container:")) {
            arguments.truncate(4);
        }
        arguments.extend(options);
        arguments.push(IMAGE);
        arguments.extend(program);
        self.docker(&arguments)?;
        Ok(())
    }

    /// What `docker inspect --format` says of a container.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn inspect(&self, name: &str, format: &str) -> Result<String> {
        self.docker(&["inspect", "--format", format, name])
    }

    /// The IPv4 address of a container in a network.
    ///
    /// # Errors
    /// When it has none.
    pub fn address(&self, name: &str, network: &str) -> Result<String> {
        let text = self
            .inspect(name, &format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}"))?;
        if text.is_empty() { bail!("{name} has no address in {network}") } else { Ok(text) }
    }

    /// The network stack of a container.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stack(&self, name: &str) -> Result<Stack> {
        let pid: u32 = self.inspect(name, "{{.State.Pid}}")?.parse()?;
        if pid == 0 { bail!("container {name} does not run") } else { Ok(Stack::of_process(pid)) }
    }

    /// Runs a command line, split at blanks, inside a container.
    ///
    /// # Errors
    /// When it fails.
    pub fn exec(&self, name: &str, line: &str) -> Result<String> {
        let mut arguments = vec!["exec", name];
        arguments.extend(line.split_whitespace());
        self.docker(&arguments)
    }

    /// Leaves the daemon running.
    pub fn leave(mut self) {
        self.dockerd.take().into_iter().chain(self.containerd.take()).for_each(Background::leave);
        std::mem::forget(self);
    }

    /// Ends containers and daemons and removes every file and mount.
    pub fn remove(&mut self) {
        // Also programs that were started in a container's stack from outside.
        kill_in_containers(&self.directory);
        if self.socket().exists() {
            let containers = self.docker(&["ps", "--all", "--quiet"]).unwrap_or_default();
            if !containers.is_empty() {
                let mut arguments = vec!["rm", "--force", "--volumes"];
                arguments.extend(containers.split_whitespace());
                self.docker(&arguments).ok();
            }
        }
        for daemon in [&mut self.dockerd, &mut self.containerd] {
            if let Some(mut daemon) = daemon.take() {
                daemon.stop(Duration::from_secs(15)).ok();
            }
        }
        clear(&self.directory);
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes what a daemon, ended or killed, left in its directory: processes, mounts, cgroups, files.
pub fn clear(directory: &Path) {
    kill_in_containers(directory);
    for pid in processes_naming(directory) {
        process::end(pid);
    }
    kill_in_containers(directory);
    finish_clearing(directory);
}

fn kill_in_containers(directory: &Path) {
    let files = fs::read_dir(directory.join("exec/netns")).into_iter().flatten().flatten();
    // `default` is the daemon's own stack, for containers on the host's network.
    for file in files.filter(|file| file.file_name() != "default") {
        kill_processes_in(&file.path());
    }
}

fn finish_clearing(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
        if Path::new(mount).starts_with(directory) {
            run(&mut command("umount", ["-l", mount])).ok();
        }
    }
    fs::remove_dir_all(directory).ok();
    // The runtime leaves its parent cgroup; one that is still in use refuses to go.
    for controller in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        fs::remove_dir(controller.path().join("docker")).ok();
    }
    fs::remove_dir("/sys/fs/cgroup/docker").ok();
}

/// Daemons, shims and machines whose command line names the directory.
fn processes_naming(directory: &Path) -> Vec<i32> {
    let text = directory.display().to_string();
    let programs = ["dockerd", "containerd", "docker-proxy", "runc", "libvirtd", "qemu-system"];
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let program = line.split('\0').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            programs.iter().any(|name| program.starts_with(name)) && line.contains(&text)
        })
        .collect()
}
