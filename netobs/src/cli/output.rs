//! Text → standard output. A reader that went away is no error.

use std::io::{self, Write};

use anyhow::Context;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// It may want more.
    Listening,
    /// It closed the pipe: there is nothing left to do.
    Gone,
}

/// Writes a text at once.
///
/// # Errors
/// If standard output fails for another reason than a closed pipe (a full disk).
pub(super) fn print(text: &str) -> anyhow::Result<Reader> {
    print_bytes(text.as_bytes())
}

/// As [`print()`], of bytes.
///
/// # Errors
/// As [`print()`].
pub(super) fn print_bytes(bytes: &[u8]) -> anyhow::Result<Reader> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Listening),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("standard output cannot be written"),
    }
}

/// Writes a document as JSON, two spaces deep, with a new line at its end.
///
/// # Errors
/// As [`print()`].
pub(super) fn print_json<T: serde::Serialize>(document: &T) -> anyhow::Result<Reader> {
    let mut text =
        serde_json::to_string_pretty(document).context("the document cannot be written as JSON")?;
    text.push('\n');
    print(&text)
}

/// One line on standard error. Nobody listening there is no reason to fail.
pub(super) fn note(line: &str) {
    drop(writeln!(io::stderr(), "netobs: {line}"));
}
