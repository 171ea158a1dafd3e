//! Manifests → members of the workspace that do not inherit its lints. Without the line they have none.

use super::source::{Finding, Source};

/// What [`super::RULES`] calls.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let members = sources.iter().filter(|source| source.path.ends_with("/Cargo.toml"));
    members
        .flat_map(|source| {
            let mut findings = Vec::new();
            if !section(&source.text, "[lints]").any(|line| line.replace(' ', "") == "workspace=true") {
                findings.push(
                    source.finding(1, "does not inherit the workspace's lints: [lints] workspace = true"),
                );
            }
            // One version of each crate on both sides of the kernel boundary.
            for (line, text) in source.lines() {
                if text.contains("version = \"")
                    && !text.trim_start().starts_with('#')
                    && source.path.starts_with("netobs-ebpf/")
                {
                    findings.push(source.finding(line, "versions stand in the workspace's manifest"));
                }
            }
            findings
        })
        .collect()
}

fn section<'a>(manifest: &'a str, head: &'a str) -> impl Iterator<Item = &'a str> {
    let body = manifest.lines().map(str::trim).skip_while(move |line| *line != head).skip(1);
    body.take_while(|line| !line.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_without_the_workspaces_lints_is_named() {
        let inherits = Source::of("a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n");
        let has_own = Source::of("b/Cargo.toml", "[lints.rust]\nworkspace = true\n");
        assert_eq!(check(&[inherits]), []);
        assert_eq!(check(&[has_own]).len(), 1);
    }
}
