//! Where a table is printed → how wide it may be, and whether in colour.

use std::{ffi::OsStr, io::IsTerminal};

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Cells a line may have; none in a pipe, where a cut text would be a wrong text.
    pub width: Option<usize>,
    /// Whether to colour.
    pub colour: bool,
    /// Whether characters outside ASCII must be avoided.
    pub ascii: bool,
}

/// What the environment says about printing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// Width of the terminal on standard output, if it is one.
    pub terminal: Option<usize>,
    /// `NO_COLOR`: <https://no-color.org>.
    pub no_color: Option<&'a OsStr>,
    /// `TERM`.
    pub term: Option<&'a OsStr>,
    /// The first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set and not empty.
    pub locale: Option<&'a OsStr>,
}

impl Look {
    /// What fits standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let terminal = std::io::stdout().is_terminal().then(|| {
            // 80: a terminal that does not know its size is assumed to be the classic one.
            ratatui::crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns))
        });
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
        Self::fit(Surroundings {
            terminal,
            no_color: std::env::var_os("NO_COLOR").as_deref(),
            term: std::env::var_os("TERM").as_deref(),
            locale: locale.as_deref(),
        })
    }

    /// What fits the surroundings.
    #[must_use]
    pub fn fit(around: Surroundings<'_>) -> Self {
        let utf8 = around.locale.is_none_or(|locale| {
            let locale = locale.to_string_lossy().to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Self {
            width: around.terminal,
            colour: around.terminal.is_some()
                && around.no_color.is_none_or(OsStr::is_empty)
                && around.term.is_none_or(|term| term != "dumb"),
            // A pipe gets UTF-8 whatever the locale: what reads it is a program, not a font.
            ascii: around.terminal.is_some() && !utf8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> Surroundings<'static> {
        Surroundings {
            terminal: Some(80),
            locale: Some(OsStr::new("C.UTF-8")),
            term: Some(OsStr::new("xterm")),
            no_color: None,
        }
    }

    #[test]
    fn a_terminal_has_a_width_and_colour() {
        assert_eq!(Look::fit(terminal()), Look { width: Some(80), colour: true, ascii: false });
    }

    #[test]
    fn a_pipe_has_neither() {
        let around = Surroundings { terminal: None, ..terminal() };
        assert_eq!(Look::fit(around), Look::default());
    }

    #[test]
    fn no_color_counts_only_when_it_says_something() {
        let asked =
            |value| Look::fit(Surroundings { no_color: Some(OsStr::new(value)), ..terminal() }).colour;
        assert!(!asked("1"));
        assert!(asked(""));
    }

    #[test]
    fn a_dumb_terminal_gets_no_colour() {
        assert!(!Look::fit(Surroundings { term: Some(OsStr::new("dumb")), ..terminal() }).colour);
    }

    #[test]
    fn a_locale_that_is_not_utf_8_gets_ascii() {
        let in_locale =
            |value| Look::fit(Surroundings { locale: Some(OsStr::new(value)), ..terminal() }).ascii;
        assert!(in_locale("de_DE.ISO-8859-1"));
        assert!(in_locale("C"));
        assert!(!in_locale("en_US.utf8"));
        assert!(!Look::fit(Surroundings { locale: None, ..terminal() }).ascii);
    }
}
