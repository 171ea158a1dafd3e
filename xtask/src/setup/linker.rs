//! A compiler's LLVM → a `bpf-linker` that reads what it writes.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::apt;
use crate::{shell, tree};

/// The versions known to work are those of this series.
const SERIES: &str = "0.13.";
/// The one that is installed.
const VERSION: &str = "0.13.0";
/// The versions of LLVM it can be built with.
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// A linker for the kernel side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its version.
    pub(crate) version: String,
    /// Major version of the LLVM library it loads; `None` if it is linked in.
    llvm: Option<u32>,
}

impl Linker {
    /// The linker the user named.
    pub(crate) fn chosen(program: &str) -> Result<Self> {
        let linker = shell::find(program).or_else(|| Some(program.into())).and_then(Self::probe);
        linker.with_context(|| format!("{program} is no bpf-linker that runs"))
    }

    /// Those on this machine.
    pub(crate) fn present() -> Vec<Self> {
        let known = [cargo_bin(), tree::target().ok().map(|target| target.join("tools/bin/bpf-linker"))];
        let mut programs: Vec<PathBuf> =
            shell::find("bpf-linker").into_iter().chain(known.into_iter().flatten()).collect();
        programs.dedup();
        programs.into_iter().filter_map(Self::probe).collect()
    }

    fn probe(program: PathBuf) -> Option<Self> {
        let told = shell::output(Command::new(&program).arg("--version")).ok()?;
        let version = told.strip_prefix("bpf-linker ")?.trim().to_owned();
        let libraries = shell::output(Command::new("ldd").arg(&program)).unwrap_or_default();
        Some(Self { program, version, llvm: llvm_library(&libraries) })
    }

    /// Whether it links what a compiler with this LLVM writes: LLVM reads the bitcode of its own and of
    /// earlier versions.
    pub(crate) fn fits(&self, compiler: u32) -> bool {
        self.version.starts_with(SERIES) && self.llvm.is_none_or(|own| own >= compiler)
    }
}

/// Whether [`install`] has what it needs, here or from the distribution.
pub(crate) fn installable(llvm: u32) -> Result<bool> {
    if !LLVM.contains(&llvm) {
        return Ok(false);
    }
    let packages = missing_packages(llvm);
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    Ok(names.is_empty() || apt::offered(&names)?.1.is_empty())
}

/// Builds `bpf-linker` against this LLVM: in cargo's own directory, or, where another version of it lives
/// there, below the target directory.
pub(crate) fn install(llvm: u32) -> Result<()> {
    if !LLVM.contains(&llvm) {
        bail!(
            "bpf-linker {VERSION} cannot be built with LLVM {llvm}; choose another compiler with --bpf-compiler"
        );
    }
    let packages = missing_packages(llvm);
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    apt::install(&names, "to build bpf-linker")?;

    let mut cargo = tree::cargo()?;
    cargo.args(arguments(llvm));
    let place = if shell::find("bpf-linker").is_some() || cargo_bin().is_some_and(|program| program.exists())
    {
        let own = tree::target()?.join("tools");
        cargo.arg("--force").arg("--root").arg(&own);
        own.join("bin")
    } else {
        cargo_bin()
            .and_then(|program| program.parent().map(PathBuf::from))
            .context("no HOME to install into")?
    };
    if let Some(prefix) = llvm_prefix(llvm) {
        cargo.env("LLVM_PREFIX", prefix);
    }
    // The target directory of this checkout is not the place for its parts.
    cargo.env_remove("CARGO_TARGET_DIR");
    println!(
        "netobs: building bpf-linker {VERSION} with LLVM {llvm} into {} (one to two minutes)",
        place.display()
    );
    shell::run(&mut cargo).context("could not build bpf-linker")
}

/// The same, to be typed where there is no apt-get.
pub(crate) fn command(llvm: u32) -> String {
    format!("cargo {}", arguments(llvm).join(" "))
}

fn arguments(llvm: u32) -> Vec<String> {
    let line = format!(
        "install bpf-linker --version {VERSION} --locked --no-default-features --features llvm-{llvm}"
    );
    line.split(' ').map(str::to_owned).collect()
}

/// The Debian packages for building it that are not here.
pub(crate) fn missing_packages(llvm: u32) -> Vec<String> {
    let mut packages = Vec::new();
    if llvm_prefix(llvm).is_none() {
        packages.push(format!("llvm-{llvm}-dev"));
    }
    for (file, package) in [
        (format!("/usr/lib/llvm-{llvm}/lib/libPolly.a"), format!("libpolly-{llvm}-dev")),
        ("/usr/include/zlib.h".into(), "zlib1g-dev".into()),
        ("/usr/include/zstd.h".into(), "libzstd-dev".into()),
    ] {
        if apt::available() && !fs::exists(file).unwrap_or(false) {
            packages.push(package);
        }
    }
    packages
}

/// Where LLVM's development files of this version lie.
fn llvm_prefix(llvm: u32) -> Option<PathBuf> {
    if let Some(given) = env::var_os("LLVM_PREFIX") {
        return Some(given.into());
    }
    let debian = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if debian.join("bin/llvm-config").exists() && debian.join("include/llvm-c/Core.h").exists() {
        return Some(debian);
    }
    let elsewhere = shell::output(Command::new("llvm-config").arg("--version")).ok()?;
    let prefix = shell::output(Command::new("llvm-config").arg("--prefix")).ok()?;
    elsewhere.starts_with(&format!("{llvm}.")).then(|| prefix.into())
}

/// Where `cargo install` puts it.
fn cargo_bin() -> Option<PathBuf> {
    let root = env::var_os("CARGO_INSTALL_ROOT").map(PathBuf::from).or_else(tree::cargo_home)?;
    Some(root.join("bin/bpf-linker"))
}

/// `libLLVM.so.22.1 => /usr/lib/…`, Debian and upstream; `libLLVM-17.so.1` before LLVM 18.
fn llvm_library(ldd: &str) -> Option<u32> {
    let name = ldd.split_whitespace().find(|word| word.starts_with("libLLVM"))?;
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linker(version: &str, llvm: Option<u32>) -> Linker {
        Linker { program: "bpf-linker".into(), version: version.into(), llvm }
    }

    #[test]
    fn a_linker_reads_bitcode_of_its_own_llvm_and_of_earlier_ones() {
        assert!(linker("0.13.0", Some(22)).fits(22));
        assert!(linker("0.13.1", Some(23)).fits(22));
        assert!(!linker("0.13.0", Some(21)).fits(22));
        assert!(linker("0.13.0", None).fits(22));
    }

    #[test]
    fn a_linker_of_another_series_does_not_fit() {
        assert!(!linker("0.9.14", Some(22)).fits(22));
    }

    #[test]
    fn the_llvm_version_is_read_from_its_library() {
        let now =
            "\tlinux-vdso.so.1 (0x0)\n\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x0)\n";
        assert_eq!(llvm_library(now), Some(22));
        assert_eq!(llvm_library("\tlibLLVM-17.so.1 => /usr/lib/x (0x0)"), Some(17));
        assert_eq!(llvm_library("\tnot a dynamic executable"), None);
    }
}
