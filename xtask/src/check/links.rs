//! Documents → their links to files that are not there.

use std::path::{Component, Path, PathBuf};

use super::source::{Finding, Source};
use crate::tree;

/// What [`super::RULES`] calls.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    broken(sources, |path| tree::root().join(path).exists())
}

fn broken(sources: &[Source], exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".md")) {
        let directory = Path::new(&source.path).parent().unwrap_or(Path::new(""));
        for (line, text) in source.lines() {
            for target in targets(text) {
                let file = target.split('#').next().unwrap_or_default();
                let elsewhere = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
                if !elsewhere && !exists(&plain(&directory.join(file))) {
                    findings.push(source.finding(line, format!("links to {file}, which is not there")));
                }
            }
        }
    }
    findings
}

/// The targets of `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_nowhere_is_named() {
        let page = Source::of(
            "docs/a.md",
            "[here](b.md#top) [up](../README.md) [web](https://docs.rs) [gone](c.md)\n",
        );
        let there = |path: &Path| path == Path::new("docs/b.md") || path == Path::new("README.md");
        let told: Vec<String> = broken(&[page], there).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["docs/a.md:1: links to c.md, which is not there"]);
    }
}
