//! The user's choice and this machine → compiler and linker of the kernel side, installed where missing.

use std::{fmt, process::Command};

use anyhow::{Context, Result, bail};

use super::{
    apt,
    compiler::{Compiler, Version},
    linker::{self, Linker},
};
use crate::shell;

/// Debian's compiler with a built `core` for the BPF target (a back-port for its web browsers).
const DEBIAN_COMPILER: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf"];

/// Which compiler and linker to use; found or installed where not given.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Compiler of the kernel side: a rustup toolchain with rust-src, or the path of a rustc with `core` for BPF
    #[arg(long, env = "NETOBS_BPF_COMPILER", value_name = "TOOLCHAIN|RUSTC", global = true)]
    bpf_compiler: Option<String>,
    /// Linker of the kernel side: a bpf-linker 0.13
    #[arg(long, env = "NETOBS_BPF_LINKER", value_name = "PROGRAM", global = true)]
    bpf_linker: Option<String>,
}

/// What builds the kernel side.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// The compiler.
    pub(crate) compiler: Compiler,
    pub(crate) version: Version,
    /// The linker.
    pub(crate) linker: Linker,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { compiler, version, linker } = self;
        write!(
            f,
            "rustc {} with LLVM {} ({compiler}), bpf-linker {}",
            version.release, version.llvm, linker.version
        )
    }
}

/// The LLVM which Debian's compiler writes for, to name its packages before it is there to be asked.
const DEBIAN_LLVM: u32 = 22;
/// The LLVM of rustup's nightly at the time of writing, for the command that others type.
pub(crate) const UPSTREAM_LLVM: u32 = 22;

/// The Debian packages without which [`install`] cannot do its work.
pub(crate) fn missing_packages(choice: &Choice) -> Result<Vec<String>> {
    let mut packages = Vec::new();
    let llvm = match compilers(choice)?.first() {
        Some(compiler) => compiler.version()?.llvm,
        None => {
            packages.extend(DEBIAN_COMPILER.iter().map(|&package| package.to_owned()));
            DEBIAN_LLVM
        }
    };
    if !linkers(choice)?.iter().any(|linker| linker.fits(llvm)) {
        packages.extend(linker::missing_packages(llvm));
    }
    Ok(packages)
}

/// Installs a compiler and a linker that fits it, as far as they are missing.
pub(crate) fn install(choice: &Choice) -> Result<Toolchain> {
    if compilers(choice)?.is_empty() {
        install_compiler()?;
    }
    if let Some(ready) = ready(choice)? {
        return Ok(ready);
    }
    if choice.bpf_linker.is_some() {
        bail!(
            "the chosen bpf-linker fits no compiler here: it must be 0.13, with the compiler's LLVM or a later one"
        );
    }
    install_linker(&compilers(choice)?)?;
    ready(choice)?.context("compiler and bpf-linker were installed, but do not fit each other")
}

/// The first compiler here with a linker that fits it.
pub(crate) fn ready(choice: &Choice) -> Result<Option<Toolchain>> {
    let linkers = linkers(choice)?;
    for compiler in compilers(choice)? {
        let version = compiler.version()?;
        if let Some(linker) = linkers.iter().find(|linker| linker.fits(version.llvm)) {
            return Ok(Some(Toolchain { compiler, version, linker: linker.clone() }));
        }
    }
    Ok(None)
}

fn linkers(choice: &Choice) -> Result<Vec<Linker>> {
    match &choice.bpf_linker {
        Some(program) => Ok(vec![Linker::chosen(program)?]),
        None => Ok(Linker::present()),
    }
}

fn compilers(choice: &Choice) -> Result<Vec<Compiler>> {
    match &choice.bpf_compiler {
        Some(name) => Ok(vec![Compiler::chosen(name)?]),
        None => Ok(Compiler::present()),
    }
}

/// Debian's compiler where it exists, for it is of one piece with its LLVM; else rustup's nightly.
fn install_compiler() -> Result<()> {
    if apt::offered(DEBIAN_COMPILER)?.1.is_empty() {
        return apt::install(DEBIAN_COMPILER, "the compiler for the kernel side");
    }
    let arguments = ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"];
    if shell::find("rustup").is_none() {
        bail!("no compiler for the kernel side: install rustup, then run `rustup {}`", arguments.join(" "));
    }
    println!(
        "netobs: installing rustup's nightly toolchain with rust-src (the compiler for the kernel side)"
    );
    shell::run(Command::new("rustup").args(arguments))
        .context("could not install a compiler for the kernel side")
}

/// A linker for the first compiler for which there can be one.
fn install_linker(compilers: &[Compiler]) -> Result<()> {
    let mut wanted = Vec::new();
    for compiler in compilers {
        let llvm = compiler.version()?.llvm;
        if linker::installable(llvm)? {
            return linker::install(llvm);
        }
        wanted.push(llvm);
    }
    let Some(llvm) = wanted.first() else {
        bail!("no compiler for the kernel side, so no bpf-linker for it")
    };
    println!(
        "netobs: this distribution has no llvm-{llvm}-dev; LLVM's own package source for this release has it; then run:"
    );
    println!("    {}", linker::command(*llvm));
    bail!("no bpf-linker 0.13 for LLVM {llvm}: install LLVM {llvm} as said above, then run this again")
}
