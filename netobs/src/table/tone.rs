//! What a text means → how it is coloured, on a terminal and in the interactive view alike.

use ratatui::style::{Color, Modifier, Style};

use crate::report::Verdict;

/// What a text means to the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// The name of a column.
    Head,
    /// As it should be.
    Good,
    /// Look at it.
    Warn,
    /// Something does not work.
    Bad,
    /// Less important than the rest.
    Faint,
}

impl Tone {
    /// How a verdict is to be read.
    #[must_use]
    pub const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Dropped | Verdict::Refused | Verdict::Unreachable | Verdict::Unanswered => Self::Bad,
            Verdict::OneWay | Verdict::Degraded => Self::Warn,
            Verdict::Reachable => Self::Good,
            Verdict::Unknown => Self::Faint,
        }
    }

    /// The escape sequence that begins it, and the one that ends it.
    #[must_use]
    pub const fn escapes(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("", ""),
            Self::Head => ("\x1b[1m", "\x1b[0m"),
            Self::Good => ("\x1b[32m", "\x1b[0m"),
            Self::Warn => ("\x1b[33m", "\x1b[0m"),
            Self::Bad => ("\x1b[31m", "\x1b[0m"),
            Self::Faint => ("\x1b[2m", "\x1b[0m"),
        }
    }

    /// The same in the interactive view; without colour only what needs none is left.
    #[must_use]
    pub fn style(self, colour: bool) -> Style {
        let plain = Style::new();
        match self {
            Self::Plain => plain,
            Self::Head => plain.add_modifier(Modifier::BOLD),
            Self::Faint => plain.add_modifier(Modifier::DIM),
            Self::Bad | Self::Warn | Self::Good if !colour => plain,
            Self::Good => plain.fg(Color::Green),
            Self::Warn => plain.fg(Color::Yellow),
            Self::Bad => plain.fg(Color::Red),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_a_bad_verdict_is_only_its_word() {
        assert_eq!(Tone::of(Verdict::Refused).style(false), Style::new());
        assert_eq!(Tone::of(Verdict::Refused).style(true).fg, Some(Color::Red));
    }

    #[test]
    fn only_an_answer_is_good() {
        let good: Vec<_> = Verdict::ALL.iter().filter(|&&verdict| Tone::of(verdict) == Tone::Good).collect();
        assert_eq!(good, [&Verdict::Reachable]);
    }
}
