//! Package names → installed, on Debian and Ubuntu; elsewhere one line that says what to do.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};

use crate::{privilege, shell};

/// Where apt keeps the package lists.
const LISTS: &str = "/var/lib/apt/lists";
/// Package lists older than this name versions that the archive may have replaced.
const LISTS_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Waits for another apt-get rather than fail, and gives up on a network that does not answer.
const OPTIONS: &[&str] = &[
    "-y",
    "-q",
    "-o",
    "DPkg::Lock::Timeout=300",
    "-o",
    "Acquire::http::Timeout=30",
    "-o",
    "Acquire::https::Timeout=30",
    "-o",
    "Acquire::Retries=2",
];

/// Packages whose installation starts a service, and the units to leave switched off. The tests start their
/// own daemons on private sockets.
const SERVICES: &[(&str, &[&str])] = &[
    ("docker.io", &["docker.service", "docker.socket", "containerd.service"]),
    (
        "libvirt-daemon-system",
        &[
            "libvirtd.service",
            "libvirtd.socket",
            "libvirtd-ro.socket",
            "libvirtd-admin.socket",
            "libvirt-guests.service",
            "virtlockd.socket",
            "virtlogd.socket",
        ],
    ),
    ("prometheus", &["prometheus.service", "prometheus-node-exporter.service"]),
];

/// Installs "$@". While it runs, Debian's own switch for the purpose (`policy-rc.d`, invoke-rc.d(8)) keeps
/// services from starting; one that is there already is somebody else's and stays.
const GUARDED_INSTALL: &str = r#"
export DEBIAN_FRONTEND=noninteractive
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ] || grep -qs 'cargo xtask setup' "$guard"; then
    trap 'rm -f "$guard"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n# cargo xtask setup: removed when its installation ends.\nexit 101\n' >"$guard"
    chmod 755 "$guard"
fi
apt-get "$@"
"#;

/// Whether this machine has apt-get.
pub(crate) fn available() -> bool {
    shell::find("apt-get").is_some()
}

/// Makes sure that `packages` can be installed; else fails with what somebody who may has to run.
pub(crate) fn require(packages: &[String], purpose: &str) -> Result<()> {
    // Other releases lack some of them; without lists nothing can be told.
    let known: Vec<&str> =
        packages.iter().map(String::as_str).filter(|name| no_lists() || has_candidate(name)).collect();
    privilege::require(
        &format!("to install packages {purpose}"),
        &format!(
            "have root run `apt-get update && apt-get install -y --no-install-recommends {}`",
            known.join(" ")
        ),
    )
}

/// Which of `packages` the distribution offers, and which it does not. Call [`require`] before.
pub(crate) fn offered<'a>(packages: &[&'a str]) -> Result<(Vec<&'a str>, Vec<&'a str>)> {
    refresh_old_lists()?;
    Ok(packages.iter().partition(|package| has_candidate(package)))
}

fn has_candidate(package: &str) -> bool {
    // A name that other packages only provide has a policy, but "(none)" as its candidate.
    let policy = shell::output(Command::new("apt-cache").args(["policy", package]).env("LC_ALL", "C"));
    policy.is_ok_and(|text| candidate(&text).is_some())
}

fn candidate(policy: &str) -> Option<&str> {
    let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?;
    Some(line.trim()).filter(|version| *version != "(none)")
}

/// Says that packages in the way may go, as on a machine that is thrown away afterwards.
const REMOVES: &str = "NETOBS_SETUP_REMOVES";

/// Installs packages which [`require`] let through. Removes none, unless [`REMOVES`] is set: what conflicts (a qemu from
/// another release) is an error, not a loss.
pub(crate) fn install(packages: &[&str], purpose: &str) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    refresh_old_lists()?;
    let units = new_units(packages);
    println!("netobs: installing {} ({purpose})", packages.join(", "));
    if !units.is_empty() {
        println!("netobs: their services are not started, and switched off: {}", units.join(", "));
    }
    let install = || {
        let mut command = privilege::as_root("sh");
        command.args(["-c", GUARDED_INSTALL, "sh"]).args(OPTIONS);
        if std::env::var_os(REMOVES).is_none() {
            command.arg("--no-remove");
        }
        command.args(["--no-install-recommends", "install"]).args(packages);
        shell::succeeds_in_front(&mut command)
    };
    if !install() {
        // Lists that are not old by the clock may still name what the archive has replaced since.
        println!("netobs: apt-get failed; fetching the package lists and trying once more");
        update()?;
        if !install() {
            bail!(
                "apt-get could not install {} (its reason is above; {REMOVES}=1 lets it remove what is in the way)",
                packages.join(" ")
            );
        }
    }
    disable(&units);
    Ok(())
}

/// The units that these packages would bring and that are not here yet.
fn new_units(packages: &[&str]) -> Vec<&'static str> {
    let brought = SERVICES.iter().filter(|(package, _)| packages.contains(package));
    let units = brought.flat_map(|(_, units)| units.iter().copied());
    units.filter(|unit| !unit_exists(unit)).collect()
}

fn unit_exists(unit: &str) -> bool {
    ["/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system"]
        .iter()
        .any(|directory| fs::exists(format!("{directory}/{unit}")).unwrap_or(false))
}

/// Otherwise they would start with the next boot. Without systemd nothing starts them.
fn disable(units: &[&str]) {
    let present: Vec<&str> = units.iter().copied().filter(|unit| unit_exists(unit)).collect();
    if present.is_empty() || shell::find("systemctl").is_none() {
        return;
    }
    if !shell::succeeds(privilege::as_root("systemctl").arg("disable").args(&present)) {
        println!("netobs: could not switch off {}; they start with the next boot", present.join(", "));
    }
}

/// Fetches the package lists if there are none or they are old; once in a run.
fn refresh_old_lists() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) || !lists_are_old(SystemTime::now()) {
        return Ok(());
    }
    update()
}

fn update() -> Result<()> {
    println!("netobs: fetching the package lists (apt-get update)");
    if !shell::succeeds_in_front(privilege::as_root("apt-get").args(OPTIONS).arg("update")) {
        bail!("apt-get update failed (its reason is above): check the network and /etc/apt/sources.list");
    }
    Ok(())
}

fn no_lists() -> bool {
    let Ok(mut entries) = fs::read_dir(LISTS) else { return true };
    !entries.any(|entry| entry.is_ok_and(|file| file.file_name().to_string_lossy().contains("_Packages")))
}

fn lists_are_old(now: SystemTime) -> bool {
    // The files carry the archive's time; the directories carry the time of the latest update.
    let updated = [LISTS.to_owned(), format!("{LISTS}/partial")]
        .iter()
        .filter_map(|directory| fs::metadata(directory).ok()?.modified().ok())
        .max();
    no_lists() || updated.is_none_or(|at| now.duration_since(at).unwrap_or_default() > LISTS_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_others_only_provide_has_no_candidate() {
        assert_eq!(candidate("bpftool:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate("gcc:\n  Installed: (none)\n  Candidate: 4:12.2.0-3\n"), Some("4:12.2.0-3"));
        assert_eq!(candidate(""), None);
    }
}
