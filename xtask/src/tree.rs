//! This checkout: where its parts lie, and the cargo that builds them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// The checkout's root directory.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Cargo's target directory, absolute: this program lies in `<target>/<profile>/`.
pub(crate) fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program lies")?;
    // Where rustdoc's or libtest's programs lie one deeper, in `deps`, the tag tells the difference.
    let tagged = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    let target =
        tagged.with_context(|| format!("{} is not below a cargo target directory", program.display()))?;
    Ok(target.to_path_buf())
}

/// Where cargo keeps what it has fetched and installed.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let given = env::var_os("CARGO_HOME").map(PathBuf::from);
    given.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

/// The built kernel side.
pub(crate) fn bpf_object() -> Result<PathBuf> {
    Ok(target()?.join("bpf/netobs"))
}

/// The cargo that runs us, at the root of the checkout.
pub(crate) fn cargo() -> Result<Command> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // A relative one means the user's directory, not the root.
    if env::var_os("CARGO_TARGET_DIR").is_some() {
        cargo.env("CARGO_TARGET_DIR", target()?);
    }
    Ok(cargo)
}
