//! Who runs us → how a command is run as root: as it is, by sudo, or not at all.

use std::{
    io::{self, IsTerminal},
    process::Command,
};

use anyhow::{Result, bail};

use crate::shell;

/// Whether we are root already.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Makes sure that [`as_root`] will work, asking for a password where there is somebody to ask.
///
/// `purpose` and `remedy` complete the error: "root is needed {purpose}; {remedy}".
pub(crate) fn require(purpose: &str, remedy: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    if shell::find("sudo").is_none() {
        bail!("root is needed {purpose}, and there is no sudo: {remedy}");
    }
    if shell::succeeds(Command::new("sudo").args(["-n", "true"])) {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        bail!(
            "root is needed {purpose}, and sudo wants a password but there is no terminal to ask at: {remedy}"
        );
    }
    println!("netobs: root is needed {purpose}; sudo may ask for your password");
    if !shell::succeeds_in_front(Command::new("sudo").arg("-v")) {
        bail!("root is needed {purpose}, and sudo refuses: {remedy}");
    }
    Ok(())
}

/// A command run as root with our environment. Call [`require`] before.
pub(crate) fn as_root(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("--preserve-env").arg("--").arg(program);
    sudo
}
