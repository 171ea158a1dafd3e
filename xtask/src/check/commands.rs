//! What other tools check: rustfmt, clippy on both sides, rustdoc, and the agent its generated documents.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{shell, tree};

const HOST: &[&str] = &["--workspace", "--exclude", "netobs-ebpf", "--locked"];

/// Runs all of them; the names of those that failed.
pub(super) fn run() -> Result<Vec<String>> {
    components()?;
    let mut clippy = tree::cargo()?;
    clippy.arg("clippy").args(HOST).args(["--all-targets", "--", "-D", "warnings"]);
    let mut doc = tree::cargo()?;
    doc.arg("doc")
        .args(HOST)
        .args(["--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings");
    let mut documents = tree::cargo()?;
    documents.args(["run", "--quiet", "--locked", "--package", "netobs", "--", "docs", "--check"]);
    let mut format = tree::cargo()?;
    format.args(["fmt", "--all", "--check"]);

    let mut failed = Vec::new();
    for (name, mut command) in [
        ("rustfmt", format),
        ("clippy", clippy),
        ("clippy of the kernel side", kernel_clippy()?),
        ("rustdoc", doc),
        ("the generator of documents, for those that are out of date", documents),
    ] {
        println!("netobs: checking with {name}");
        if !shell::succeeds_in_front(&mut command) {
            failed.push(name.to_owned());
        }
    }
    Ok(failed)
}

/// For the host: stable clippy has no `core` for the BPF target, and the lints are the same. What the BPF
/// compiler allows has to be allowed here too: unstable features, and no unwinding.
fn kernel_clippy() -> Result<Command> {
    let mut clippy = tree::cargo()?;
    clippy.args(["clippy", "--package", "netobs-ebpf", "--all-features", "--locked", "--target-dir"]);
    clippy.arg(tree::target()?.join("bpf-build")).args(["--", "-D", "warnings"]);
    clippy.env("RUSTC_BOOTSTRAP", "1").env("CARGO_PROFILE_DEV_PANIC", "abort");
    Ok(clippy)
}

/// rustup's minimal profile has neither rustfmt nor clippy.
fn components() -> Result<()> {
    let present =
        |tool: &str| -> Result<bool> { Ok(shell::succeeds(tree::cargo()?.args([tool, "--version"]))) };
    if present("fmt")? && present("clippy")? {
        return Ok(());
    }
    println!("netobs: installing rustfmt and clippy with rustup");
    shell::run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
        .context("rustfmt and clippy are needed: install them beside cargo")
}
