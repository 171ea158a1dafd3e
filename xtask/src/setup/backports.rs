//! The distribution's backports as a source of single packages, without making it one of the machine's: package lists of
//! their own, in a directory of ours.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use crate::shell;

/// apt's options for it; the lists are fetched into `lists`. From the archive the machine uses itself.
pub(crate) fn options(lists: &Path) -> Result<Vec<String>> {
    let told = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let codename = told.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("the distribution has no code name")?.trim_matches('"');
    let targets = shell::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE)",
        "Created-By: Packages",
    ]))?;
    let archive = targets.lines().find_map(|line| line.strip_suffix(&format!(" {codename}")));
    let archive = archive.context("no archive of this release is configured")?;
    fs::create_dir_all(lists.join("partial"))?;
    // Not among the lists: apt takes away what it does not know there.
    let list = lists.with_extension("sources.list");
    fs::write(&list, format!("deb {archive} {codename}-backports main\n"))?;
    let mut options: Vec<String> = [
        format!("Dir::Etc::sourcelist={}", list.display()),
        "Dir::Etc::sourceparts=-".into(),
        format!("Dir::State::lists={}", lists.display()),
    ]
    .into_iter()
    .flat_map(|option| ["-o".into(), option])
    .collect();
    // Its cache, too: the machine's own is of other lists.
    options.extend(["-o".into(), format!("Dir::Cache={}", lists.with_extension("cache").display())]);
    fs::create_dir_all(lists.with_extension("cache").join("archives/partial"))?;
    shell::run(Command::new("apt-get").args(&options).args(["-q", "update"]))?;
    Ok(options)
}
