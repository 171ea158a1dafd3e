//! A filter → every test, run by `cargo test` with all it needs in place.

use std::{env, path::Path, process::ExitCode};

use anyhow::{Context, Result};

use crate::{
    build_ebpf, privilege,
    setup::{self, Choice, Purpose},
    shell, tree,
};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the test program of this name (tests/tests/NAME), or else tests whose name contains this
    filter: Option<String>,
    /// Words for the test programs themselves: --nocapture, --test-threads 1
    #[arg(last = true)]
    words: Vec<String>,
}

/// The verb. Becomes `cargo test`, so that its closing lines and its exit status are the last word.
pub(crate) fn run(args: &Args, choice: &Choice) -> Result<ExitCode> {
    privilege::require(
        "by the tests that load the kernel side",
        "run this as root, or `cargo test` for the others",
    )?;
    let toolchain = setup::prepare(Purpose::Test, choice)?;
    let object = build_ebpf::build(&toolchain, &[])?;
    // The same selection as the tests, so that nothing is compiled twice for another set of features.
    let packages = ["--workspace", "--exclude", "netobs-ebpf", "--exclude", "xtask"];
    println!("netobs: building the agent and the tests");
    shell::run(tree::cargo()?.args(["build", "--locked", "--bins", "--examples"]).args(packages))?;

    let mut cargo = tree::cargo()?;
    cargo.args(["test", "--locked", "--no-fail-fast", "--workspace", "--exclude", "netobs-ebpf"]);
    match &args.filter {
        Some(name) if is_program(tree::root(), name) => cargo.args(["--test", name]),
        filter => cargo.args(filter),
    };
    cargo.arg("--").args(&args.words);
    cargo.env("NETOBS_BIN", tree::target()?.join("debug/netobs")).env("NETOBS_BPF_OBJECT", object);
    if !privilege::is_root() {
        cargo.env(runner_variable()?, "sudo --preserve-env --");
    }
    shell::replace(&mut cargo)
}

/// Whether the tests have a program of that name: a file, or a folder with a `main.rs`.
fn is_program(root: &Path, name: &str) -> bool {
    let program = root.join("tests/tests").join(name);
    program.with_extension("rs").is_file() || program.join("main.rs").is_file()
}

/// Cargo builds as the user and starts each test program by what this variable of the host's target names.
fn runner_variable() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = shell::output(std::process::Command::new(rustc).arg("-vV"))?;
    let host =
        told.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace('-', "_")))
}
