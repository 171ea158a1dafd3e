//! The kernel side and an empty program → nanoseconds a packet, as a table, JSON, and `docs/performance.md`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};

use crate::{
    build_ebpf, privilege,
    setup::{self, Choice, Purpose},
    shell, tree,
};

/// How to show it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Rounds, of which the medians are shown
    #[arg(long, default_value_t = 9)]
    rounds: u32,
}

/// The verb. The table goes to `docs/performance.md` as well.
pub(crate) fn run(args: &Args, choice: &Choice) -> Result<ExitCode> {
    privilege::require("to load the classifier that is measured", "run this as root")?;
    let toolchain = setup::prepare(Purpose::Build, choice)?;
    build_ebpf::compile(&toolchain, &[])?;
    let mut bench = privilege::as_root(build()?);
    bench.arg("--rounds").arg(args.rounds.to_string());
    bench.arg("--document").arg(tree::root().join("docs/performance.md"));
    if args.json {
        bench.arg("--json");
    }
    shell::replace(&mut bench)
}

/// Builds the bench, with what the tests are built of: the time is the kernel's. Says where it is.
fn build() -> Result<PathBuf> {
    let mut cargo = tree::cargo()?;
    cargo.args(["bench", "--quiet", "--locked", "--profile", "dev", "--no-run", "--message-format", "json"]);
    cargo.args(["--package", "netobs-tests", "--bench", "classifier"]);
    let told = shell::output(&mut cargo).context("the bench does not build")?;
    match executable(&told) {
        Some(program) => Ok(program),
        None => bail!("cargo built the bench and does not say where it is"),
    }
}

/// The last program cargo names in its JSON lines. There is no JSON reader here, and none is needed: a path
/// that cargo would have to escape is refused.
fn executable(told: &str) -> Option<PathBuf> {
    let last = told.lines().rev().find(|line| line.contains(r#""executable":""#))?;
    let (_, after) = last.split_once(r#""executable":""#)?;
    let (path, _) = after.split_once('"')?;
    (!path.contains('\\')).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_one_that_cargo_names() {
        let told = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                    {\"reason\":\"compiler-artifact\",\"executable\":\"/a b/classifier-1\",\"fresh\":true}\n\
                    {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(told), Some("/a b/classifier-1".into()));
        assert_eq!(executable("{\"executable\":null}"), None);
        assert_eq!(executable("{\"executable\":\"/a\\\"b\"}"), None);
    }
}
