//! The tree → its text files, and how a finding in one is told.

use std::{fmt, fs, process::Command};

use anyhow::Result;

use crate::{shell, tree};

/// A text file.
pub(super) struct Source {
    /// Relative to the root.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
}

/// A rule that does not hold at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Source {
    /// Whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file is for tests alone.
    pub(super) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines of Rust up to the file's own tests, without comments and without what stands in strings.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, String)> {
        let own = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        self.text[..own].lines().enumerate().map(|(index, line)| (index + 1, bare(line)))
    }

    /// A finding here.
    pub(super) fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    #[cfg(test)]
    pub(super) fn of(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// A line without its comment and without the insides of its strings. Strings of several lines are taken
/// for code after the first, which no rule here minds.
fn bare(line: &str) -> String {
    let mut bare = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    let mut string = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if string => drop(characters.next()),
            '"' if !bare.ends_with('\'') || characters.peek() != Some(&'\'') => {
                string = !string;
                bare.push('"');
            }
            '/' if !string && characters.peek() == Some(&'/') => break,
            _ if string => {}
            _ => bare.push(character),
        }
    }
    bare
}

/// Whether `word` stands in `code` by itself.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

/// Every text file that git knows or would add.
pub(super) fn read_all() -> Result<Vec<Source>> {
    let mut git = Command::new("git");
    git.current_dir(tree::root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listing = shell::output(&mut git)?;
    let paths = listing.split('\0').filter(|path| !path.is_empty());
    // Not readable as text: deleted but not yet committed, a link to a directory, or an image.
    let read = |path: &str| {
        Some(Source { path: path.into(), text: fs::read_to_string(tree::root().join(path)).ok()? })
    };
    Ok(paths.filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_a_files_own_tests_are_no_code() {
        let source = Source::of("a.rs", "fn a() {} // why\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n");
        assert_eq!(source.code().collect::<Vec<_>>(), [(1, "fn a() {} ".to_owned())]);
    }

    #[test]
    fn what_stands_in_a_string_is_no_code() {
        assert_eq!(bare(r#"let a = "unsafe // \" x"; b() // c"#), r#"let a = ""; b() "#);
        assert_eq!(bare(r#"split('"') // "c""#), r#"split('"') "#);
    }

    #[test]
    fn a_word_is_not_part_of_another() {
        assert!(has_word("unsafe { x }", "unsafe"));
        assert!(!has_word("unsafe_op_in_unsafe_fn", "unsafe"));
        assert!(has_word("an_unsafe unsafe", "unsafe"));
    }
}
