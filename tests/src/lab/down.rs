//! Whatever is left of a lab, complete or not → nothing.

use std::{fs, path::Path};

use anyhow::{Result, bail};

use super::{DEMO_BRIDGE, DIRECTORY, NAMES};
use crate::{
    dockerd::{self, Docker},
    netns,
    process::{command, finish, run},
};

/// Removes the lab: containers, daemons, namespaces, bridge, files. Nothing to remove is no error.
///
/// # Errors
/// With what could not be removed.
pub fn down() -> Result<()> {
    let directory = Path::new(DIRECTORY).join("docker");
    if directory.exists() {
        // A daemon that still answers takes its containers, cgroups and networks along properly.
        Docker::left_in(&directory).remove();
        dockerd::clear(&directory);
    }
    for name in namespaces() {
        netns::remove(&name)?;
    }
    if Path::new("/sys/class/net").join(DEMO_BRIDGE).exists() {
        run(&mut command("ip", ["link", "del", DEMO_BRIDGE]))?;
    }
    if Path::new(DIRECTORY).exists() {
        fs::remove_dir_all(DIRECTORY)?;
    }
    let left = namespaces();
    if !left.is_empty() {
        bail!("could not remove the namespaces {}", left.join(", "));
    }
    // The kernel's bridge for containers of `--with docker` on the host: nothing else may still name it.
    let links =
        finish(&mut command("ip", ["-o", "link", "show", "master", DEMO_BRIDGE]), crate::process::SHORT)?;
    if !links.stdout.is_empty() {
        bail!("interfaces are left on {DEMO_BRIDGE}: {}", links.stdout);
    }
    Ok(())
}

fn namespaces() -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(NAMES))
        .collect()
}
