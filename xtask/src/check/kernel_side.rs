//! The kernel side's files → verdicts that would touch traffic, and files too long to find a fault in.

use super::source::{Finding, Source, has_word};

/// Lines in a file of the kernel side: the verifier's complaints are hard enough to place.
const LINES: usize = 200;

/// Every verdict of `include/uapi/linux/pkt_cls.h` but "go on". Any of them ends the chain, and programs
/// behind ours would not run.
const VERDICTS: &[&str] = &[
    "TC_ACT_OK",
    "TC_ACT_RECLASSIFY",
    "TC_ACT_SHOT",
    "TC_ACT_PIPE",
    "TC_ACT_STOLEN",
    "TC_ACT_QUEUED",
    "TC_ACT_REPEAT",
    "TC_ACT_REDIRECT",
    "TC_ACT_TRAP",
    "TCX_PASS",
    "TCX_DROP",
    "TCX_REDIRECT",
];

/// What [`super::RULES`] calls.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("netobs-ebpf/") && source.is_rust())
    {
        let length = source.text.lines().count();
        if length > LINES {
            findings.push(source.finding(LINES, format!("{length} lines, more than {LINES}")));
        }
        for (line, code) in source.code() {
            for verdict in VERDICTS.iter().filter(|verdict| has_word(&code, verdict)) {
                findings.push(
                    source.finding(line, format!("{verdict}: an observer's only verdict is TC_ACT_UNSPEC")),
                );
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_found_and_going_on_is_none() {
        let drops = Source::of("netobs-ebpf/src/main.rs", "return TC_ACT_SHOT;\n");
        assert_eq!(check(&[drops]).len(), 1);
        let observes = Source::of("netobs-ebpf/src/main.rs", "TC_ACT_UNSPEC // never TC_ACT_OK\n");
        assert_eq!(check(&[observes]), []);
    }

    #[test]
    fn a_file_of_the_kernel_side_is_short() {
        assert_eq!(check(&[Source::of("netobs-ebpf/src/a.rs", &"\n".repeat(LINES + 1))]).len(), 1);
    }
}
