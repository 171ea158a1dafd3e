//! Text from outside → text that is safe to print, log and export. Pure.
//!
//! Names, images and labels are chosen by whoever starts a container. They pass here once, where they
//! enter, so that no output has to think of terminals (ECMA-48 escapes, C1 included), of right-to-left
//! overrides (Unicode TR 36) or of characters nobody can see. Quoting for a format (JSON, exposition)
//! stays the business of its encoder.

/// Longest name kept, in characters: Docker and Kubernetes allow 253 at most, a table shows 40.
pub const NAME_LIMIT: usize = 128;

/// What stands for a character that was taken out.
const REPLACEMENT: char = '?';

/// What stands for the rest of a text that was cut.
const ELLIPSIS: char = '…';

/// A name without anything that could move a cursor, hide or reorder text, and at most [`NAME_LIMIT`] long.
#[must_use]
pub fn clean(text: &str) -> String {
    clean_to(text, NAME_LIMIT)
}

/// As [`clean`], at most `limit` characters long.
#[must_use]
pub fn clean_to(text: &str, limit: usize) -> String {
    let mut rest = text.trim().chars();
    let mut cleaned: String =
        rest.by_ref().take(limit).map(|one| if is_hostile(one) { REPLACEMENT } else { one }).collect();
    if rest.next().is_some() {
        cleaned.pop();
        if limit > 0 {
            cleaned.push(ELLIPSIS);
        }
    }
    cleaned
}

/// Whether a character controls the output instead of being part of it, or cannot be seen.
#[must_use]
pub const fn is_hostile(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'     // C0, DEL, C1
        | '\u{ad}'                            // soft hyphen
        | '\u{34f}'                           // combining grapheme joiner
        | '\u{61c}' | '\u{200e}' | '\u{200f}' // directional marks
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // blank Hangul fillers
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'             // zero width
        | '\u{2028}'..='\u{202e}'             // line and paragraph separators, embeddings and overrides
        | '\u{2060}'..='\u{206f}'             // word joiner, invisible operators, isolates
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff0}'..='\u{ffff}'             // interlinear annotation, replacement, noncharacters
        | '\u{1d173}'..='\u{1d17a}'           // musical formatting
        | '\u{e0000}'..='\u{e0fff}') // tags and variation selectors
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_ordinary_name_is_left_alone() {
        for name in ["web", "my-app_1.2", "größe", "数据库", "postgres:16@sha256:ab/cd"] {
            assert_eq!(clean(name), name);
        }
    }

    #[test]
    fn escapes_that_set_the_title_or_the_clipboard_are_taken_apart() {
        assert_eq!(clean("a\x1b]52;c;ZXZpbA==\x07b"), "a?]52;c;ZXZpbA==?b");
        assert_eq!(clean("\u{9b}2Jx"), "?2Jx");
    }

    #[test]
    fn a_right_to_left_override_cannot_reorder_a_row() {
        assert_eq!(clean("exe.\u{202e}gpj"), "exe.?gpj");
    }

    #[test]
    fn a_new_line_cannot_start_a_line_of_its_own() {
        assert_eq!(clean("web\nroot: all good"), "web?root: all good");
    }

    #[test]
    fn a_long_name_is_cut_and_says_so() {
        let cut = clean(&"x".repeat(65_536));
        assert_eq!(cut.chars().count(), NAME_LIMIT);
        assert!(cut.ends_with('…'));
        assert_eq!(clean(&"x".repeat(NAME_LIMIT)), "x".repeat(NAME_LIMIT));
    }

    proptest! {
        #[test]
        fn nothing_hostile_passes_and_nothing_grows(text in any::<String>(), limit in 0_usize..200) {
            let cleaned = clean_to(&text, limit);
            prop_assert!(cleaned.chars().count() <= limit);
            prop_assert!(!cleaned.chars().any(|one| is_hostile(one) || one.is_control()));
        }

        #[test]
        fn cleaning_twice_changes_nothing(text in any::<String>()) {
            let once = clean(&text);
            prop_assert_eq!(clean(&once), once);
        }
    }
}
