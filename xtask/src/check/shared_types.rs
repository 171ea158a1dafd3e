//! netobs-common's types → those whose layout two compilers could see differently, or which nobody proves.

use super::source::{Finding, Source, has_word};

/// What parsing gives back never crosses the boundary, so its layout is the compiler's affair.
const INSIDE_ONE_PROGRAM: &[&str] = &["netobs-common/src/parse/", "netobs-common/src/packet.rs"];

/// What [`super::RULES`] calls.
pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let shared = sources.iter().filter(|source| {
        source.path.starts_with("netobs-common/src/")
            && source.is_rust()
            && !INSIDE_ONE_PROGRAM.iter().any(|place| source.path.starts_with(place))
    });
    shared.flat_map(types).collect()
}

fn types(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut layout: Option<String> = None;
    for (line, code) in source.code() {
        let code = code.trim();
        if let Some(argument) = code.strip_prefix("#[repr(").and_then(|rest| rest.strip_suffix(")]")) {
            layout = Some(argument.to_owned());
        }
        if has_word(code, "enum") && code.starts_with("pub") {
            findings.push(
                source.finding(line, "an enum has invalid bit patterns: a newtype with constants has none"),
            );
        }
        let Some(name) = code.strip_prefix("pub struct ") else { continue };
        let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        match layout.take().as_deref() {
            Some("transparent") => {}
            Some("C") if source.text.contains(&format!("size_of::<{name}>() ==")) => {}
            Some("C") => {
                findings.push(source.finding(line, format!("no `const _` proves the size of {name}")))
            }
            _ => findings
                .push(source.finding(line, format!("{name} is neither repr(C) nor repr(transparent)"))),
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&[Source::of("netobs-common/src/key.rs", text)]).len()
    }

    #[test]
    fn a_shared_type_has_a_fixed_and_proven_layout() {
        assert_eq!(findings("#[repr(transparent)]\npub struct Kind(pub u8);\n"), 0);
        let proven = "#[repr(C)]\n#[derive(Clone)]\npub struct Key {\n}\nconst _: () = assert!(size_of::<Key>() == 0);\n";
        assert_eq!(findings(proven), 0);
        assert_eq!(findings("#[repr(C)]\npub struct Key {\n}\n"), 1);
        assert_eq!(findings("pub struct Key {\n}\n"), 1);
    }

    #[test]
    fn one_types_layout_does_not_hold_for_the_next() {
        assert_eq!(findings("#[repr(transparent)]\npub struct A(u8);\npub struct B(u8);\n"), 1);
    }

    #[test]
    fn the_kernel_may_write_any_byte_so_there_are_no_enums() {
        assert_eq!(findings("#[repr(u8)]\npub enum Kind { A }\n"), 1);
    }
}
