//! A real libvirt with directories of its own, inside one network stack; gone without a trace when dropped.
//!
//! Its paths are compiled in, so it runs in a mount namespace where they lead to a directory of the tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{
    machine::{Card, Console},
    machine_image::MachineImage,
    netns::Stack,
    process::{Background, command, run_within, until},
};

/// Runs everything as root, moves nothing into cgroups, and labels nothing: what it would otherwise do to the machine.
const QEMU: &str = "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nremember_owner = 0\n\
                    security_driver = \"none\"\ncgroup_controllers = []\nnamespaces = []\nstdio_handler = \"file\"\n";

/// A running daemon.
#[derive(Debug)]
pub struct Libvirt {
    directory: PathBuf,
    daemon: Option<Background>,
}

impl Libvirt {
    /// Starts libvirtd in `stack`, everything it writes below `directory`; it asks the emulator what it can do
    /// meanwhile, which takes some ten seconds.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(stack: &Stack, directory: &Path) -> Result<Self> {
        let mut script = String::from("mount --make-rprivate /\n");
        for (own, path) in [
            ("run", "/run/libvirt"),
            ("lib", "/var/lib/libvirt"),
            ("cache", "/var/cache/libvirt"),
            ("log", "/var/log/libvirt"),
            ("etc", "/etc/libvirt"),
        ] {
            fs::create_dir_all(directory.join(own))?;
            script +=
                &format!("mkdir -p {path} && mount --bind '{}' {path}\n", directory.join(own).display());
        }
        fs::write(directory.join("etc/qemu.conf"), QEMU)?;
        fs::write(directory.join("etc/libvirtd.conf"), "auth_unix_rw = \"none\"\n")?;
        // The configuration by its place outside, for the sweep to know whose it is.
        let configuration = directory.join("etc/libvirtd.conf");
        script += &format!(
            "exec libvirtd --config '{}' --pid-file /run/libvirt/libvirtd.pid\n",
            configuration.display()
        );
        let log = directory.join("libvirtd.log");
        let mut daemon = stack.command("unshare", ["-m", "sh", "-ec", &script]);
        Ok(Self { directory: directory.to_owned(), daemon: Some(Background::start(&mut daemon, &log)?) })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// With its log when it does not within two minutes.
    pub fn wait(&mut self) -> Result<()> {
        until("libvirt", Duration::from_secs(120), || {
            if let Some(status) = self.daemon.as_mut().and_then(Background::ended) {
                bail!("libvirtd ended ({status})");
            }
            run_within(self.virsh().arg("version"), Duration::from_secs(10)).map(drop)
        })
    }

    /// Where it keeps the status of what runs.
    #[must_use]
    pub fn status_directory(&self) -> PathBuf {
        self.directory.join("run/qemu")
    }

    fn virsh(&self) -> Command {
        let socket = self.directory.join("run/libvirt-sock");
        command("virsh", ["-q", "-c", &format!("qemu:///system?socket={}", socket.display())])
    }

    /// Starts a machine on a bridge of the stack; libvirt makes the tap. Returns a line to it.
    ///
    /// # Errors
    /// When libvirt refuses.
    pub fn create(
        &self,
        image: &MachineImage,
        name: &str,
        uuid: &str,
        bridge: &str,
        card: &Card,
    ) -> Result<Console> {
        let console = self.directory.join(format!("{name}.console"));
        let description = format!(
            "<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>192</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{}</kernel><initrd>{}</initrd>\
             <cmdline>console=ttyS0 quiet panic=-1 {}</cmdline></os>\
             <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\
             <interface type='bridge'><mac address='{}'/><source bridge='{bridge}'/><target dev='{}'/>\
             <model type='virtio'/></interface>\
             <serial type='file'><source path='{}'/></serial>\
             <serial type='unix'><source mode='bind' path='{}'/></serial></devices></domain>",
            image.kernel.display(),
            image.initrd.display(),
            card.word(0),
            card.mac(),
            card.tap,
            self.directory.join(format!("{name}.boot")).display(),
            console.display(),
        );
        let file = self.directory.join(format!("{name}.xml"));
        fs::write(&file, description)?;
        run_within(self.virsh().arg("create").arg(&file), Duration::from_secs(60))?;
        Ok(Console::at(console))
    }

    /// Ends a machine.
    ///
    /// # Errors
    /// When libvirt refuses.
    pub fn destroy(&self, name: &str) -> Result<()> {
        run_within(self.virsh().args(["destroy", name]), Duration::from_secs(60)).map(drop)
    }

    /// Stops the daemon. Its machines go on.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.stop(Duration::from_secs(15))?;
        }
        Ok(())
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        let running = run_within(self.virsh().args(["list", "--name"]), Duration::from_secs(10));
        for name in running.unwrap_or_default().split_whitespace() {
            self.destroy(name).ok();
        }
        self.stop().ok();
    }
}
