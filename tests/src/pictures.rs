//! The text of a picture → whether the real Graphviz and the real Mermaid take it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::process::{command, run_within};

/// A picture of a hundred nodes takes a second; two cores may also compile meanwhile.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Where `cargo xtask setup --test` puts Mermaid: beside what cargo builds.
#[must_use]
pub fn mermaid() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let target = here.ancestors().find(|path| path.join("CACHEDIR.TAG").exists())?;
    Some(target.join("mermaid")).filter(|directory| directory.join("node_modules/mermaid").is_dir())
}

/// Has Mermaid's own parser read a text.
///
/// # Errors
/// With its complaint.
pub fn mermaid_takes(directory: &Path, text: &str) -> Result<()> {
    let file = directory.join("picture.mermaid");
    fs::write(&file, text)?;
    let packages = mermaid().context("Mermaid was not fetched: cargo xtask setup --test")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("mermaid-parse.mjs");
    let told = run_within(command("node", [&script, &packages, &file]).current_dir(directory), LIMIT);
    told.map(drop).with_context(|| text.to_owned())
}

/// Has Graphviz draw a text, and returns the drawing (SVG).
///
/// # Errors
/// With its complaint; a warning is one.
pub fn dot_draws(directory: &Path, text: &str) -> Result<String> {
    let (file, drawn) = (directory.join("picture.dot"), directory.join("picture.svg"));
    fs::write(&file, text)?;
    let mut dot = command("dot", ["-Tsvg", "-o"]);
    let done = crate::process::finish(dot.arg(&drawn).arg(&file), LIMIT)?;
    anyhow::ensure!(
        done.status.success() && done.stderr.trim().is_empty(),
        "dot: {}: {}\n{text}",
        done.status,
        done.stderr
    );
    Ok(fs::read_to_string(&drawn)?)
}
