//! This machine → the Rust compilers on it that can build for `bpfel-unknown-none`.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{shell, tree};

/// The target of the kernel side: little-endian BPF, as on every machine with an upstream Rust today.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Where Debian puts the compiler of its package `rustc-web`.
const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";

/// A compiler for the kernel side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// A rustup toolchain with `rust-src`, which builds `core` itself.
    Rustup(String),
    /// A compiler that comes with a built `core` for the target.
    Prebuilt(PathBuf),
}

impl Compiler {
    /// The compiler the user named: a path means [`Compiler::Prebuilt`], anything else a rustup toolchain.
    pub(crate) fn chosen(name: &str) -> Result<Self> {
        if name.contains('/') {
            if !has_core(Path::new(name)) {
                bail!("{name} has no `core` for {TARGET}; on Debian install libstd-rust-web-dev-bpf");
            }
            return Ok(Self::Prebuilt(name.into()));
        }
        let name = name.trim_start_matches('+');
        let known = rustup_toolchains();
        match known
            .iter()
            .find(|(toolchain, _)| toolchain == name || toolchain.starts_with(&format!("{name}-")))
        {
            Some((toolchain, directory)) if has_source(directory) => Ok(Self::Rustup(toolchain.clone())),
            _ => bail!("run `rustup toolchain install {name} --profile minimal --component rust-src` first"),
        }
    }

    /// Those on this machine, best first.
    pub(crate) fn present() -> Vec<Self> {
        let toolchains = rustup_toolchains();
        let nightly =
            toolchains.into_iter().filter(|(name, path)| name.starts_with("nightly") && has_source(path));
        let mut found: Vec<Self> = nightly.map(|(name, _)| Self::Rustup(name)).collect();
        if has_core(Path::new(DISTRIBUTION_RUSTC)) {
            found.push(Self::Prebuilt(DISTRIBUTION_RUSTC.into()));
        }
        found
    }

    /// `cargo build` for the target with this compiler, as far as the choice of the compiler goes.
    pub(crate) fn cargo_build(&self) -> Result<Command> {
        let mut cargo = match self {
            Self::Rustup(toolchain) => {
                let mut cargo = Command::new("rustup");
                cargo.current_dir(tree::root());
                // The cargo that runs us has set these for its own toolchain.
                for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
                    cargo.env_remove(variable);
                }
                cargo.args(["run", toolchain, "cargo", "build", "-Z", "build-std=core"]);
                cargo
            }
            Self::Prebuilt(rustc) => {
                let mut cargo = tree::cargo()?;
                // The target is no stable one: there are no stability promises to lose.
                cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").arg("build");
                cargo
            }
        };
        cargo.args(["--target", TARGET]);
        Ok(cargo)
    }

    /// What `rustc -vV` says.
    pub(crate) fn version(&self) -> Result<Version> {
        let mut rustc = match self {
            Self::Rustup(toolchain) => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", toolchain, "rustc"]);
                rustup
            }
            Self::Prebuilt(rustc) => Command::new(rustc),
        };
        Version::parse(&shell::output(rustc.arg("-vV"))?)
            .with_context(|| format!("cannot tell the version of {self}"))
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustup(toolchain) => write!(f, "rustup toolchain {toolchain}"),
            Self::Prebuilt(rustc) => write!(f, "{}", rustc.display()),
        }
    }
}

/// The versions that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Of Rust.
    pub(crate) release: String,
    /// Major version of LLVM.
    pub(crate) llvm: u32,
}

impl Version {
    fn parse(verbose: &str) -> Option<Self> {
        let field = |name| verbose.lines().find_map(|line: &str| line.strip_prefix(name)).map(str::trim);
        let llvm = field("LLVM version:")?.split('.').next()?.parse().ok()?;
        Some(Self { release: field("release:")?.to_owned(), llvm })
    }
}

/// Name and directory of each toolchain of rustup; none without rustup.
fn rustup_toolchains() -> Vec<(String, PathBuf)> {
    if shell::find("rustup").is_none() {
        return Vec::new();
    }
    let listing = shell::output(Command::new("rustup").args(["toolchain", "list", "-v"])).unwrap_or_default();
    listing.lines().filter_map(toolchain_line).collect()
}

/// `nightly-x86_64-unknown-linux-gnu (active, default) /home/me/.rustup/toolchains/nightly-…`
fn toolchain_line(line: &str) -> Option<(String, PathBuf)> {
    let name = line.split_whitespace().next()?;
    let directory = line.get(line.find('/')?..)?;
    Some((name.to_owned(), directory.trim_end().into()))
}

fn has_source(toolchain: &Path) -> bool {
    toolchain.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
}

fn has_core(rustc: &Path) -> bool {
    if !rustc.is_file() {
        return false;
    }
    let mut ask = Command::new(rustc);
    ask.args(["--print", "target-libdir", "--target", TARGET]).current_dir(env::temp_dir());
    let Ok(directory) = shell::output(&mut ask) else { return false };
    fs::read_dir(directory).is_ok_and(|files| {
        files.flatten().any(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_major_version_is_read_from_rustc() {
        let told = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(Version::parse(told), Some(Version { release: "1.96.0".into(), llvm: 22 }));
        assert_eq!(Version::parse("rustc 1.96.0\n"), None);
    }

    #[test]
    fn a_toolchain_is_told_by_name_and_directory() {
        let plain = toolchain_line("nightly-x86_64-unknown-linux-gnu /home/me/.rustup/toolchains/nightly");
        assert_eq!(
            plain,
            Some(("nightly-x86_64-unknown-linux-gnu".into(), "/home/me/.rustup/toolchains/nightly".into()))
        );
        let marked = toolchain_line("stable-x86_64-unknown-linux-gnu (active, default) /my home/stable");
        assert_eq!(marked, Some(("stable-x86_64-unknown-linux-gnu".into(), "/my home/stable".into())));
        assert_eq!(toolchain_line("no installed toolchains"), None);
    }
}
