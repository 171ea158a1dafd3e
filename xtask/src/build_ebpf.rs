//! The kernel side's source → `target/bpf/netobs`, the object the agent embeds. The only builder of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};

use crate::{
    setup::{self, Choice, Purpose, Toolchain, compiler::TARGET},
    shell, tree,
};

/// How to build it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Features of netobs-ebpf: `log` for log lines from the kernel side
    #[arg(long, value_delimiter = ',', value_name = "FEATURE")]
    features: Vec<String>,
}

/// The verb.
pub(crate) fn run(args: &Args, choice: &Choice) -> Result<ExitCode> {
    let toolchain = setup::prepare(Purpose::Build, choice)?;
    build(&toolchain, &args.features)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds it and says what was built. Quick where nothing has changed.
pub(crate) fn build(toolchain: &Toolchain, features: &[String]) -> Result<PathBuf> {
    let object = compile(toolchain, features)?;
    let size = object.metadata().with_context(|| format!("cannot read {}", object.display()))?.len();
    println!("netobs: {}, {size} bytes, by {toolchain}", object.display());
    Ok(object)
}

/// Builds it with not a word on standard output, for verbs that have something of their own to say there.
pub(crate) fn compile(toolchain: &Toolchain, features: &[String]) -> Result<PathBuf> {
    let target = tree::target()?;
    // Apart from the host's artefacts: other flags, another compiler, a lock of its own.
    let scratch = target.join("bpf-build");
    let mut cargo = toolchain.compiler.cargo_build()?;
    cargo.args(["--package", "netobs-ebpf", "--release", "--locked", "--target-dir"]).arg(&scratch);
    if !features.is_empty() {
        cargo.arg("--features").arg(features.join(","));
    }
    // Exactly these, whatever the user sets for the host.
    for variable in
        ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"]
    {
        cargo.env_remove(variable);
    }
    cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker.program);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(toolchain).join("\x1f"));
    // A trap for overflow is a call the verifier does not know; unwinding does not exist.
    for (setting, value) in [
        ("DEBUG", "2"),
        ("OPT_LEVEL", "3"),
        ("PANIC", "abort"),
        ("OVERFLOW_CHECKS", "false"),
        ("CODEGEN_UNITS", "1"),
    ] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    shell::run(&mut cargo).context("the kernel side does not build")?;

    let object = tree::bpf_object()?;
    publish(&scratch.join(TARGET).join("release/netobs"), &object)
        .with_context(|| format!("cannot write {}", object.display()))?;
    Ok(object)
}

/// Type information comes from the compiler's debug information; the linker turns it into BTF, which the
/// verifier's log and aya read. Paths are cut so that two machines build the same bytes.
fn flags(toolchain: &Toolchain) -> Vec<String> {
    let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
    // 32-bit comparisons and arithmetic, in kernels since 5.1.
    flags.push("-Ctarget-cpu=v3".to_owned());
    // Else every memset is a call of a function that writes byte by byte: 60 ns a packet.
    flags.push("-Clink-arg=--disable-expand-memcpy-in-order".to_owned());
    if toolchain.version.llvm >= 22 {
        // Else what stands at an odd offset, as headers behind Ethernet do, is read byte by byte. The verifier
        // allows it on packets and map values where the machine does (x86-64, arm64), never on the stack.
        flags.push("-Clink-arg=--cpu-features=+allows-misaligned-mem-access".to_owned());
    }
    let mut cut =
        |path: &Path, name: &str| flags.push(format!("--remap-path-prefix={}={name}", path.display()));
    cut(tree::root(), "netobs");
    if let Some(home) = tree::cargo_home() {
        cut(&home.join("registry/src"), "crates");
    }
    flags
}

/// Puts a built file in its place unless it is there already: a newer time stamp would rebuild the agent.
fn publish(built: &Path, object: &Path) -> io::Result<()> {
    let fresh = fs::read(built)?;
    if fs::read(object).is_ok_and(|old| old == fresh) {
        return Ok(());
    }
    if let Some(directory) = object.parent() {
        fs::create_dir_all(directory)?;
    }
    // In one step, for somebody may be compiling the agent. Not beside it: the agent's build watches there.
    let part = built.with_extension("part");
    fs::write(&part, &fresh)?;
    fs::rename(part, object)
}
