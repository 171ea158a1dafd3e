//! netobs's modules → imports that do not point to the pure middle, and a middle that is not pure.

use super::source::{Finding, Source, has_word};

/// Read the world: kernel, host, runtimes.
const READERS: &[&str] = &["kernel", "host", "runtime"];
/// What the readers found, as plain data: belongs to the middle.
const FACTS: &[&str] = &["host::facts", "runtime::facts"];
/// Judge it: values in, values with reasons out, time as an argument.
const JUDGES: &[&str] = &["flow", "identity", "path", "evidence", "explain", "journal", "report"];
/// Show it: they read the report, and nothing else.
const FACES: &[&str] = &["export", "api", "map", "matrix", "table", "top", "web"];
/// Start and end it.
const EDGES: &[&str] = &["agent", "cli", "doctor", "instance", "publication", "shutdown"];

/// What anybody may import: plain data that readers found, and the one sanitiser of names that others choose.
const COMMON: &[&str] = &[
    "host::facts",
    "runtime::facts",
    "host::conntrack::Connection",
    "host::conntrack::Tuple",
    "identity::text",
];

/// Who must not import whom. What a row does not name is allowed, and so is [`COMMON`].
const BARRIERS: &[(&[&str], &[&[&str]])] = &[
    (FACTS, &[READERS, FACES, EDGES]),
    (JUDGES, &[READERS, FACES, EDGES]),
    (READERS, &[FACES, &["agent", "cli", "doctor"]]),
    (FACES, &[READERS, &["flow", "identity", "path", "evidence"]]),
];

/// What reads the world or the clock, and so cannot stand in the middle.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "tokio",
    "aya",
    "libc",
    "nix",
    "bollard",
    "rtnetlink",
];

/// What [`super::RULES`] calls.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let rust = sources.iter().filter(|source| source.is_rust());
    rust.filter_map(|source| Some((source, module(&source.path)?)))
        .flat_map(|(source, own)| of(source, &own))
        .collect()
}

fn of(source: &Source, own: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some((group, barred)) = BARRIERS.iter().find(|(group, _)| group.iter().any(|name| within(own, name)))
    else {
        return findings;
    };
    let mut code = String::new();
    let mut starts = Vec::new();
    for (line, text) in source.code() {
        starts.push((code.len(), line));
        code.push_str(&text);
        code.push('\n');
    }
    let line_of = |at: usize| starts.iter().rfind(|(start, _)| *start <= at).map_or(1, |(_, line)| *line);

    for (at, path) in paths(&code) {
        let common = COMMON.iter().any(|module| within(&path, module));
        let own_part = within(&path, own.split("::").next().unwrap_or(own)) && *group != FACTS;
        let names = barred.iter().flat_map(|names| names.iter());
        if let Some(name) = names.into_iter().find(|name| within(&path, name))
            && !common
            && !own_part
        {
            findings.push(
                source.finding(
                    line_of(at),
                    format!("{own} must not import {name} (xtask/src/check/imports.rs)"),
                ),
            );
        }
    }
    if (*group == FACTS || *group == JUDGES) && !source.is_test() {
        for (line, text) in source.code() {
            for word in IMPURE.iter().filter(|word| has_word(&text, word)) {
                findings.push(
                    source.finding(line, format!("{own} judges and must not read the world: `{word}`")),
                );
            }
        }
    }
    findings
}

/// The module of a file of the agent's library: `netobs/src/host/facts/link.rs` is `host::facts::link`.
fn module(path: &str) -> Option<String> {
    let inside = path.strip_prefix("netobs/src/")?.strip_suffix(".rs")?;
    Some(inside.strip_suffix("/mod").unwrap_or(inside).replace('/', "::"))
}

/// Whether a path is a module or lies in it.
fn within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that begins with `crate::`, without it, and where; braces are multiplied out.
fn paths(code: &str) -> Vec<(usize, String)> {
    let begins = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let mut found = Vec::new();
    for (at, word) in code.match_indices("crate::").filter(|(at, _)| begins(*at)) {
        let mut ends = Vec::new();
        expand(&code[at + word.len()..], String::new(), &mut ends);
        found.extend(ends.into_iter().map(|path| (at, path)));
    }
    found
}

/// Reads one use tree; what is left of the code after it comes back.
fn expand<'a>(code: &'a str, prefix: String, found: &mut Vec<String>) -> &'a str {
    let mut path = prefix;
    let mut rest = code.trim_start();
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            let mut rest = inside.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let before = rest.len();
                rest = expand(rest, path.clone(), found).trim_start().trim_start_matches(',').trim_start();
                if rest.len() == before {
                    break;
                }
            }
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if length == 0 {
            found.push(path);
            // `*`, or the end of a path in an expression.
            return rest.strip_prefix('*').unwrap_or(rest);
        }
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&rest[..length]);
        rest = &rest[length..];
        if let Some(name) = rest.trim_start().strip_prefix("as ") {
            let name = name.trim_start();
            rest = &name[name.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name.len())..];
        }
        let Some(deeper) = rest.strip_prefix("::") else {
            found.push(path);
            return rest;
        };
        rest = deeper.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, text: &str) -> Vec<String> {
        check(&[Source::of(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_use_tree_is_multiplied_out() {
        let code = "use crate::{\n    host::facts::{Link, entry::*},\n    kernel as k,\n};\nlet a = crate::path::of(b);";
        let found: Vec<String> = paths(code).into_iter().map(|(_, path)| path).collect();
        assert_eq!(found, ["host::facts::Link", "host::facts::entry", "kernel", "path::of"]);
    }

    #[test]
    fn judges_import_facts_and_no_reader() {
        assert_eq!(told("netobs/src/flow/join.rs", "use crate::host::facts::Link;\n"), [""; 0]);
        let told = told("netobs/src/flow/join.rs", "\nuse crate::{report::Flow, host::watch};\n");
        assert_eq!(
            told,
            ["netobs/src/flow/join.rs:2: flow::join must not import host (xtask/src/check/imports.rs)"]
        );
    }

    #[test]
    fn facts_do_not_import_their_own_reader() {
        assert_eq!(told("netobs/src/host/facts/link.rs", "use crate::host::netlink::Socket;\n").len(), 1);
        assert_eq!(told("netobs/src/host/watch.rs", "use crate::host::netlink::Socket;\n").len(), 0);
    }

    #[test]
    fn faces_read_the_report_only() {
        assert_eq!(told("netobs/src/export/traffic.rs", "use crate::report::Report;\n").len(), 0);
        assert_eq!(told("netobs/src/export/traffic.rs", "fn a(t: &crate::flow::Table) {}\n").len(), 1);
        assert_eq!(told("netobs/src/table/text.rs", "use crate::identity::text::clean_to;\n").len(), 0);
        assert_eq!(told("netobs/src/top/view/list.rs", "use crate::kernel::drain;\n").len(), 1);
    }

    #[test]
    fn the_middle_does_not_look_at_the_clock() {
        assert_eq!(told("netobs/src/identity/cgroup.rs", "let now = Instant::now();\n").len(), 1);
        assert_eq!(told("netobs/src/identity/cgroup.rs", "fn at(now: Instant) {}\n").len(), 0);
        assert_eq!(told("netobs/src/host/watch.rs", "let now = Instant::now();\n").len(), 0);
    }

    #[test]
    fn a_name_that_begins_alike_is_another_module() {
        assert_eq!(told("netobs/src/flow/a.rs", "use crate::hostname::of;\n").len(), 0);
    }
}
