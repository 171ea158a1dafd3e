//! The kernel that the tests' virtual machines boot: fetched from the distribution and unpacked beside what cargo
//! builds, installed nowhere.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::apt;
use crate::{shell, tree};

/// What names the newest kernel for clouds.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// The modules a network card of virtio needs.
const MODULES: [&str; 8] = [
    "virtio/virtio.ko",
    "virtio/virtio_ring.ko",
    "virtio/virtio_pci_legacy_dev.ko",
    "virtio/virtio_pci_modern_dev.ko",
    "virtio/virtio_pci.ko",
    "core/failover.ko",
    "net/net_failover.ko",
    "net/virtio_net.ko",
];

/// Fetches it where it is missing. What the distribution does not have is said and left out: the tests that need it
/// say SKIPPED, or fail under `NETOBS_REQUIRE=all`.
pub(crate) fn prepare() -> Result<()> {
    let to = tree::target()?.join("guest");
    if to.join("vmlinuz").is_file() || !cfg!(target_arch = "x86_64") || shell::find("apt-get").is_none() {
        return Ok(());
    }
    // Also fetches the package lists where there are none.
    let offered = !apt::offered(&[PACKAGE])?.0.is_empty();
    let Some(package) = newest().filter(|_| offered) else {
        println!("netobs: this distribution has no {PACKAGE}; tests with virtual machines will not run");
        return Ok(());
    };
    println!(
        "netobs: fetching {package} for the tests' virtual machines (unpacked below target, not installed)"
    );
    let work = tree::target()?.join("guest-download");
    fs::remove_dir_all(&work).ok();
    fs::create_dir_all(&work)?;
    shell::run(Command::new("apt-get").args(["-q", "download", &package]).current_dir(&work))?;
    let archive = files(&work)?.into_iter().find(|file| file.extension().is_some_and(|one| one == "deb"));
    let archive = archive.with_context(|| format!("apt-get downloaded no {package}"))?;
    shell::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(work.join("unpacked")))?;
    take(&work.join("unpacked"), &to)?;
    fs::remove_dir_all(&work)?;
    Ok(())
}

/// The package that [`PACKAGE`] leads to.
fn newest() -> Option<String> {
    let told = shell::output(Command::new("apt-cache").args(["depends", PACKAGE]).env("LC_ALL", "C")).ok()?;
    let names = told.lines().filter_map(|line| line.trim().strip_prefix("Depends:"));
    names.map(|name| name.trim().to_owned()).find(|name| name.starts_with("linux-image-"))
}

/// Moves kernel and modules out of the unpacked package; the kernel last, as it says that all is there.
fn take(unpacked: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let releases = [unpacked.join("lib/modules"), unpacked.join("usr/lib/modules")];
    let release = releases.iter().find_map(|path| files(path).ok()?.into_iter().next());
    let drivers = release.context("the package holds no modules")?.join("kernel");
    for module in MODULES {
        let (directory, name) = module.split_once('/').context("a module's place")?;
        let parent = if directory == "core" { "net" } else { "drivers" };
        let file = drivers.join(parent).join(directory).join(name);
        fs::copy(&file, to.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    let kernels = files(&unpacked.join("boot"))?;
    let named =
        |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"));
    let Some(kernel) = kernels.iter().find(named) else { bail!("the package holds no kernel") };
    fs::copy(kernel, to.join("vmlinuz"))?;
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
