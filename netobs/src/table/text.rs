//! Any text → text of a known width in terminal cells, safe to print. Pure.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

use crate::identity::text::{clean_to, is_hostile};

/// Longest text of one cell of a table, characters: an IPv6 tuple has 47, an evidence's detail may be longer.
const LIMIT: usize = 200;

/// A text without anything that could move the cursor, hide or reorder what is printed.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    // The common case costs no allocation: at 65,536 flows that is what keeps a redraw short.
    if text.len() <= LIMIT && !text.chars().any(is_hostile) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(clean_to(text, LIMIT))
    }
}

/// How many terminal cells a text takes.
#[must_use]
pub fn cells(text: &str) -> usize {
    text.width()
}

/// A text in at most `limit` cells; what was cut is marked by `…`.
#[must_use]
pub fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if cells(text) <= limit {
        return Cow::Borrowed(text);
    }
    if limit == 0 {
        return Cow::Borrowed("");
    }
    let mut kept = head(text, limit - 1).to_owned();
    kept.push('…');
    Cow::Owned(kept)
}

/// The longest beginning of a text that takes at most `limit` cells.
///
/// Measured as a whole, since neighbours change each other's width (flags, skin tones), hence popping.
#[must_use]
pub fn head(text: &str, limit: usize) -> &str {
    // No character is narrower than zero cells, but most have one: start from a guess that is long enough.
    let mut end = text.char_indices().nth(limit.saturating_mul(4)).map_or(text.len(), |(at, _)| at);
    while cells(&text[..end]) > limit {
        end = text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
    }
    &text[..end]
}

/// A text in lines of at most `width` cells, broken between words; what has no room in `most` lines is cut.
#[must_use]
pub fn wrap(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let full = lines.len() >= most;
        match lines.last_mut() {
            // In the last line everything that is left is appended, and cut below.
            Some(line) if full || cells(line) + 1 + cells(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.into_iter().map(|line| cut(&line, width).into_owned()).collect()
}

/// A text in exactly `width` cells, to the left or to the right.
#[must_use]
pub fn fit(text: &str, width: usize, right: bool) -> String {
    let cut = cut(text, width);
    let blank = " ".repeat(width.saturating_sub(cells(&cut)));
    if right { format!("{blank}{cut}") } else { format!("{cut}{blank}") }
}

/// What a terminal without UTF-8 can show: the few signs of our own replaced, the rest by `?`.
#[must_use]
pub fn ascii(character: char) -> char {
    match character {
        '\0'..='\x7f' => character,
        '…' => '~',
        '→' => '>',
        '×' => 'x',
        '·' => '|',
        'µ' => 'u',
        '─' => '-',
        '│' => '|',
        '┌' | '┐' | '└' | '┘' => '+',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ordinary_text_is_not_copied() {
        assert!(matches!(printable("container/web"), Cow::Borrowed("container/web")));
    }

    #[test]
    fn an_escape_is_taken_out() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}c"), "a?[2Jb?c");
    }

    #[test]
    fn a_wide_character_at_the_edge_leaves_a_blank() {
        assert_eq!(cut("数据库", 4), "数…");
        assert_eq!(fit("数据库", 4, false), "数… ");
        assert_eq!(cells(&fit("数据库", 5, false)), 5);
    }

    #[test]
    fn numbers_stand_to_the_right() {
        assert_eq!(fit("12k", 5, true), "  12k");
        assert_eq!(fit("12k", 0, true), "");
    }

    #[test]
    fn a_long_text_is_broken_between_words_and_cut_at_the_end() {
        assert_eq!(wrap("one two three", 7, 2), ["one two", "three"]);
        assert_eq!(wrap("one two three four", 7, 2), ["one two", "three …"]);
        assert_eq!(wrap("unbreakable", 5, 2), ["unbr…"]);
        assert_eq!(wrap("", 5, 2), [""]);
    }

    #[test]
    fn ascii_never_fails() {
        assert_eq!("a→…b数".chars().map(ascii).collect::<String>(), "a>~b?");
    }

    proptest! {
        #[test]
        fn a_fitted_text_has_exactly_its_width(text in any::<String>(), width in 0_usize..60, right: bool) {
            let fitted = fit(&printable(&text), width, right);
            prop_assert_eq!(cells(&fitted), width);
            prop_assert!(!fitted.chars().any(is_hostile));
        }
    }
}
