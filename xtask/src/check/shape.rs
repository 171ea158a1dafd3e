//! Files → those too long, without a first line that says what they do, or not finished.

use super::source::{Finding, Source, has_word};

/// Lines in a Rust file: longer ones have two concepts.
const LINES: usize = 500;

/// Words of unfinished work, in two halves so that this file passes its own rule.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];

/// Where `unsafe` may stand. Each is small and does nothing else; the kernel side cannot do without.
const UNSAFE: &[&str] = &[
    "netobs-ebpf/src/",
    "netobs-common/src/pod.rs",
    "netobs/src/export/process.rs",
    "netobs/src/host/netlink/socket.rs",
    "netobs/src/kernel/syscall.rs",
    "tests/src/bpf.rs",
    "tests/src/paged.rs",
    // Making a tunnel device is an ioctl.
    "tests/src/relay.rs",
];

/// State that outlives its owner: tests interfere, the order of start-up matters.
const GLOBAL_STATE: &[&str] =
    &["OnceLock", "LazyLock", "OnceCell", "LazyCell", "thread_local", "lazy_static"];

/// What [`super::RULES`] calls.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(|source| if source.is_rust() { rust(source) } else { text(source) }).collect()
}

fn rust(source: &Source) -> Vec<Finding> {
    let mut findings = text(source);
    if !source.text.starts_with("//! ") {
        findings.push(source.finding(1, "begin with a `//!` line: what goes in, what comes out"));
    }
    let length = source.text.lines().count();
    if length > LINES {
        findings
            .push(source.finding(LINES, format!("{length} lines, more than {LINES}: split it by concept")));
    }
    for (line, code) in source.code() {
        let code = code.as_str();
        if has_word(code, "unsafe") && !UNSAFE.iter().any(|place| source.path.starts_with(place)) {
            findings
                .push(source.finding(line, "`unsafe` outside the places listed in xtask/src/check/shape.rs"));
        }
        if has_word(code, "Pod") && code.contains("impl ") && source.path != "netobs-common/src/pod.rs" {
            findings.push(source.finding(line, "`Pod` is implemented in netobs-common/src/pod.rs alone"));
        }
        if source.path.starts_with("netobs/src/") && !source.is_test() {
            for word in GLOBAL_STATE.iter().filter(|word| has_word(code, word)) {
                findings.push(source.finding(line, format!("`{word}`: pass state by value")));
            }
        }
        if code.contains("#[ignore") {
            findings
                .push(source.finding(line, "an ignored test passes for a test; use the tests' `require`"));
        }
    }
    findings
}

fn text(source: &Source) -> Vec<Finding> {
    // Made by tools.
    if source.path.ends_with(".lock") || source.path.ends_with(".snap") || source.path.starts_with("LICENSE")
    {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, text) in source.lines() {
        for word in UNFINISHED.iter().filter(|word| has_word(text, word)) {
            findings.push(source.finding(line, format!("{word}: finish it, or file an issue")));
        }
        if text.ends_with([' ', '\t', '\r']) {
            findings.push(source.finding(line, "white space at the end of the line"));
        }
    }
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        findings.push(source.finding(source.text.lines().count(), "no line end at the end of the file"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, text: &str) -> Vec<String> {
        check(&[Source::of(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_says_what_it_does() {
        assert_eq!(told("netobs/src/a.rs", "//! In → out.\nfn a() {}\n"), [""; 0]);
        assert_eq!(told("netobs/src/a.rs", "fn a() {}\n").len(), 1);
    }

    #[test]
    fn a_long_file_is_named() {
        let long = format!("//! Long.\n{}", "\n".repeat(LINES));
        assert!(told("netobs/src/a.rs", &long)[0].contains("split it"));
    }

    #[test]
    fn unsafe_stands_in_few_places() {
        let text = "//! A.\nfn a() { unsafe { b() } }\n";
        assert_eq!(told("netobs/src/flow/a.rs", text).len(), 1);
        assert_eq!(told("netobs-ebpf/src/skb.rs", text).len(), 0);
    }

    #[test]
    fn state_is_passed_and_not_found() {
        assert_eq!(told("netobs/src/a.rs", "//! A.\nstatic A: OnceLock<u8> = OnceLock::new();\n").len(), 1);
    }

    #[test]
    fn unfinished_work_is_named_in_any_text() {
        assert_eq!(told("README.md", concat!("later: TO", "DO\n")).len(), 1);
        assert_eq!(told("a.md", "no line end").len(), 1);
        assert_eq!(told("a.md", "space \n").len(), 1);
    }
}
