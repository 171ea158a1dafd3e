//! What a virtual machine of the lab boots: a Debian kernel for clouds, and a file system in memory that holds
//! busybox, the kernel's network driver and programs of the tests' own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};

use crate::{
    image,
    process::{command, run_within},
};

/// Modules that lead to a network card of virtio, in the order of their dependencies.
const MODULES: [&str; 7] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
];

/// The first program. Cards are configured from the kernel's command line (`net0=ADDRESS/PREFIX,GATEWAY`); then
/// every line that comes over the second serial port is run by the shell, and its output and status go back.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in MODULES virtio_net; do insmod /modules/$module.ko; done
ip link set lo up
for card in 0 1 2; do
  value=$(sed -n "s/.*net$card=\([^ ]*\).*/\1/p" /proc/cmdline)
  [ -n "$value" ] || continue
  ip addr add "${value%%,*}" dev eth$card
  ip link set eth$card up
  gateway="${value#*,}"
  [ "$gateway" = none ] || ip route add default via "$gateway"
done
stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
while read -r line <&3; do
  sh -c "$line" >/tmp/output 2>&1 </dev/null
  status=$?
  cat /tmp/output >&3
  echo "::$status" >&3
done
"#;

/// Kernel and file system, ready to boot.
#[derive(Clone, Debug)]
pub struct MachineImage {
    /// The kernel.
    pub kernel: PathBuf,
    /// The file system.
    pub initrd: PathBuf,
}

impl MachineImage {
    /// Builds it in `directory` with the given programs in it.
    ///
    /// # Errors
    /// When no kernel was fetched (`cargo xtask setup --test` does), or a program is missing.
    pub fn build(directory: &Path, programs: &[PathBuf]) -> Result<Self> {
        Self::of(&fetched("guest")?, directory, programs)
    }

    /// The same with the newer kernel of the distribution's backports.
    ///
    /// # Errors
    /// As [`MachineImage::build`].
    pub fn newer(directory: &Path, programs: &[PathBuf]) -> Result<Self> {
        Self::of(&fetched("guest-backports")?, directory, programs)
    }

    fn of(fetched: &Path, directory: &Path, programs: &[PathBuf]) -> Result<Self> {
        let root = directory.join("machine-root");
        image::lay_out(&root, programs)?;
        // The image's links are made anew by busybox itself, for every applet.
        fs::create_dir_all(root.join("modules"))?;
        // What of them is not there is part of the kernel.
        for file in fs::read_dir(fetched)?.flatten().map(|entry| entry.path()) {
            if let Some(name) = file.file_name().filter(|_| file.extension().is_some_and(|one| one == "ko")) {
                fs::copy(&file, root.join("modules").join(name))
                    .with_context(|| file.display().to_string())?;
            }
        }
        let init = root.join("init");
        fs::write(&init, INIT.replace("MODULES", &MODULES.join(" ")))?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let initrd = directory.join("initrd");
        let pack = format!(
            "cd '{}' && find . | busybox cpio -o -H newc | gzip -1 > '{}'",
            root.display(),
            initrd.display()
        );
        run_within(command("sh", ["-c", &pack]).stdin(Stdio::null()), std::time::Duration::from_secs(60))?;
        fs::remove_dir_all(root)?;
        Ok(Self { kernel: fetched.join("vmlinuz"), initrd })
    }
}

/// Where `cargo xtask setup --test` puts the kernel: beside what cargo builds.
fn fetched(which: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let target = here.ancestors().find(|path| path.join("CACHEDIR.TAG").exists());
    let directory = target.context("not below a cargo target directory")?.join(which);
    ensure!(
        directory.join("vmlinuz").is_file(),
        "no kernel in {}: cargo xtask setup --test",
        directory.display()
    );
    Ok(directory)
}

/// Whether a kernel was fetched.
#[must_use]
pub fn is_fetched() -> bool {
    fetched("guest").is_ok()
}

/// Whether the newer one was.
#[must_use]
pub fn newer_is_fetched() -> bool {
    fetched("guest-backports").is_ok()
}
