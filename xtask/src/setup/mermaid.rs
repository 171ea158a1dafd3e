//! The parser that judges the tests' Mermaid pictures: fetched by npm beside what cargo builds, installed nowhere.

use std::{fs, process::Command};

use anyhow::Result;

use crate::{shell, tree};

/// Mermaid, and the document it needs where there is no browser; jsdom 26 is the last for Node 18, Debian 12's.
const PACKAGES: [&str; 2] = ["mermaid@11", "jsdom@26"];

/// Fetches them where they are missing. Without npm, or where it fails, that is said and left out: the tests that
/// need them say SKIPPED, or fail under `NETOBS_REQUIRE=all`.
pub(crate) fn prepare() -> Result<()> {
    let to = tree::target()?.join("mermaid");
    if to.is_dir() || shell::find("npm").is_none() {
        return Ok(());
    }
    println!("netobs: fetching {} by npm for the tests' pictures (below target)", PACKAGES.join(" and "));
    let work = tree::target()?.join("mermaid-download");
    fs::remove_dir_all(&work).ok();
    fs::create_dir_all(&work)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error"]);
    npm.arg("--prefix").arg(&work).args(PACKAGES).current_dir(&work);
    if !shell::succeeds_in_front(&mut npm) {
        println!("netobs: npm could not fetch them; tests of Mermaid pictures will not run");
        return Ok(());
    }
    // Whole or not there at all.
    fs::rename(&work, &to)?;
    Ok(())
}
