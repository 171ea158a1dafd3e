//! The kernels that the tests' virtual machines boot: fetched from the distribution and its backports and unpacked
//! beside what cargo builds, installed nowhere.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{apt, backports};
use crate::{shell, tree};

/// What names the newest kernel for clouds.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// The modules a network card of virtio needs, and devices that the tests' own kernel may lack. One that is missing is
/// part of the kernel itself.
const MODULES: [&str; 32] = [
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "llc",
    "stp",
    "garp",
    "mrp",
    "8021q",
    "veth",
    "udp_tunnel",
    "ip6_udp_tunnel",
    "ip_tunnel",
    "tunnel4",
    "ipip",
    "gre",
    "ip_gre",
    "sit",
    "vxlan",
    "geneve",
    "dummy",
    "libcurve25519-generic",
    "curve25519-x86_64",
    "libchacha",
    "chacha-x86_64",
    "poly1305-x86_64",
    "libchacha20poly1305",
    "wireguard",
];
/// Says that all modules of this list were looked for.
const COMPLETE: &str = "modules-32";

/// Fetches the distribution's own one into `guest` and the newer one of its backports into `guest-backports`, each where
/// it is missing. What there is not is said and left out: the tests that need it say SKIPPED, or fail under
/// `NETOBS_REQUIRE=all`.
pub(crate) fn prepare() -> Result<()> {
    if !cfg!(target_arch = "x86_64") || shell::find("apt-get").is_none() {
        return Ok(());
    }
    let target = tree::target()?;
    let is_missing = |directory: &str| !target.join(directory).join(COMPLETE).is_file();
    let work = target.join("guest-download");
    if is_missing("guest") {
        // Also fetches the package lists where there are none.
        let offered = !apt::offered(&[PACKAGE])?.0.is_empty();
        match newest(&[]).filter(|_| offered) {
            Some(package) => fetch(&package, &[], &work, &target.join("guest"))?,
            None => println!(
                "netobs: this distribution has no {PACKAGE}; tests with virtual machines will not run"
            ),
        }
    }
    if is_missing("guest-backports") {
        let lists = target.join("guest-lists");
        let found = backports::options(&lists).map(|options| (newest(&options), options));
        match found {
            Ok((Some(package), options)) => {
                fetch(&package, &options, &work, &target.join("guest-backports"))?
            }
            Ok((None, _)) => println!("netobs: the distribution's backports have no {PACKAGE}"),
            Err(why) => println!("netobs: no {PACKAGE} from the distribution's backports: {why:#}"),
        }
    }
    Ok(())
}

fn fetch(package: &str, options: &[String], work: &Path, to: &Path) -> Result<()> {
    fs::remove_dir_all(work).ok();
    fs::create_dir_all(work)?;
    println!(
        "netobs: fetching {package} for the tests' virtual machines (unpacked below target, not installed)"
    );
    shell::run(Command::new("apt-get").args(options).args(["-q", "download", package]).current_dir(work))?;
    let archive = files(work)?.into_iter().find(|file| file.extension().is_some_and(|one| one == "deb"));
    let archive = archive.with_context(|| format!("apt-get downloaded no {package}"))?;
    shell::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(work.join("unpacked")))?;
    take(&work.join("unpacked"), to)?;
    fs::remove_dir_all(work)?;
    Ok(())
}

/// The package that [`PACKAGE`] leads to.
fn newest(options: &[String]) -> Option<String> {
    let mut ask = Command::new("apt-cache");
    let told = shell::output(ask.args(options).args(["depends", PACKAGE]).env("LC_ALL", "C")).ok()?;
    let names = told.lines().filter_map(|line| line.trim().strip_prefix("Depends:"));
    names.map(|name| name.trim().to_owned()).find(|name| name.starts_with("linux-image-"))
}

/// Moves kernel and modules out of the unpacked package; the kernel last, and then the word that all is there.
fn take(unpacked: &Path, to: &Path) -> Result<()> {
    fs::remove_dir_all(to).ok();
    fs::create_dir_all(to)?;
    let releases = [unpacked.join("lib/modules"), unpacked.join("usr/lib/modules")];
    let release = releases.iter().find_map(|path| files(path).ok()?.into_iter().next());
    let mut drivers = Vec::new();
    below(&release.context("the package holds no modules")?.join("kernel"), &mut drivers)?;
    for module in MODULES {
        for packed in ["", ".xz"] {
            let name = format!("{module}.ko{packed}");
            let Some(file) = drivers.iter().find(|file| file.ends_with(&name)) else { continue };
            fs::copy(file, to.join(&name)).with_context(|| format!("copying {}", file.display()))?;
            if !packed.is_empty() {
                shell::run(Command::new("xz").arg("-d").arg(to.join(&name)))?;
            }
        }
    }
    let kernels = files(&unpacked.join("boot"))?;
    let named =
        |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"));
    let Some(kernel) = kernels.iter().find(named) else { bail!("the package holds no kernel") };
    fs::copy(kernel, to.join("vmlinuz"))?;
    fs::write(to.join(COMPLETE), "")?;
    Ok(())
}

/// Every file below a directory.
fn below(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for file in files(directory)? {
        if file.is_dir() {
            below(&file, found)?;
        } else {
            found.push(file);
        }
    }
    Ok(())
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
