//! The matrix document → a table in Markdown, for a ticket: everything in words, times in full. Pure.

use super::{matrix::in_order, text::printable, units};
use crate::{
    matrix::{CellEvidence, MatrixCell, MatrixDocument},
    report::Verdict,
};

const HEAD: &str = "| source | destination | path | pairs | flows | bytes | last seen | evidence |\n\
                    | --- | --- | --- | --- | ---: | ---: | --- | --- |\n";

/// A line that says where and when, and a row for each cell.
#[must_use]
pub fn matrix_markdown(document: &MatrixDocument) -> String {
    let node = inert(&printable(&document.head.node));
    let mut out = format!("Who talks to whom on {node}, {}:\n\n{HEAD}", time(document.head.time));
    for cell in &document.cells {
        out.push_str(&row(cell));
    }
    out
}

fn row(cell: &MatrixCell) -> String {
    let pairs: Vec<_> = cell.pairs().map(|(verdict, count)| pairs(verdict, count)).collect();
    let evidence: Vec<_> = in_order(cell).into_iter().map(evidence).collect();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
        cell.source_kind,
        cell.destination_kind,
        cell.path,
        or_nothing(&pairs),
        cell.flows,
        units::bytes(cell.bytes),
        time(cell.last_seen),
        or_nothing(&evidence),
    )
}

/// What is not well stands out, without colour.
fn pairs(verdict: Verdict, count: u64) -> String {
    match verdict {
        Verdict::Reachable | Verdict::Unknown => format!("{count} {verdict}"),
        _ => format!("**{count} {verdict}**"),
    }
}

fn evidence(one: &CellEvidence) -> String {
    let more: Vec<_> = one.detail.iter().chain(&one.hop).map(|text| inert(&printable(text))).collect();
    if more.is_empty() {
        format!("{} {}", one.count, one.kind)
    } else {
        format!("{} {} ({})", one.count, one.kind, more.join(", "))
    }
}

fn or_nothing(words: &[String]) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// RFC 3339 to the second.
fn time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text that means nothing to Markdown, not even as the address of a page: any punctuation of ASCII may have a
/// backslash before it (CommonMark 0.31, 2.4), also in a table's cell (GitHub's extension). What means nothing where it
/// stands has none, so that the page can be read as it is.
pub(super) fn inert(text: &str) -> String {
    let is_plain = |one: Option<char>| one.is_some_and(char::is_alphanumeric);
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(one) = rest.next() {
        let after = rest.peek().copied();
        let means = match one {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '#' | '~' | '&' | '$' | '@' => true,
            '_' => !(is_plain(before) && is_plain(after)),
            ':' => after == Some('/'),
            '.' => before.is_some_and(|one| one.eq_ignore_ascii_case(&'w')),
            _ => false,
        };
        if means {
            out.push('\\');
        }
        out.push(one);
        before = Some(one);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{build, made_up};

    fn node() -> MatrixDocument {
        let (pairs, flows) = made_up::node();
        build(made_up::head(), &pairs, &flows)
    }

    #[test]
    fn a_ticket_gets_a_table() {
        insta::assert_snapshot!(matrix_markdown(&node()));
    }

    #[test]
    fn without_a_cell_there_is_a_head_alone() {
        let text = matrix_markdown(&MatrixDocument { head: made_up::head(), cells: Vec::new() });
        assert!(text.ends_with(HEAD), "{text}");
    }

    #[test]
    fn no_name_can_end_a_cell_or_mean_anything() {
        let mut document = node();
        let hostile =
            "a|b\n| `c` | <img src=x onerror=alert(1)> [x](https://example.org) \\| &amp; **d** \u{202e}e";
        document.head.node = hostile.into();
        let cell = &mut document.cells[0];
        (cell.evidence[0].hop, cell.evidence[0].detail) = (Some(hostile.into()), Some("x\\".into()));
        let text = matrix_markdown(&document);
        assert_eq!(text.lines().count(), 4 + document.cells.len(), "{text}");
        for line in text.lines().skip(2) {
            assert_eq!(bare(line).matches('|').count(), 9, "{line}");
        }
        let words = bare(&text);
        for sign in ["<", "`", "[", "&", "://", "\u{202e}"] {
            assert!(!words.contains(sign), "{sign} in {words}");
        }
    }

    /// Without what a backslash stands before.
    fn bare(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text.chars();
        while let Some(one) = rest.next() {
            if one == '\\' {
                rest.next();
            } else {
                out.push(one);
            }
        }
        out
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in
            ["netfilter_drop", "br-4f2a ingress", "0.340 ms", "container/web 10.0.0.2:80", "a (b), c!"]
        {
            assert_eq!(inert(name), name);
        }
        assert_eq!(inert("www.example.org https://x"), "www\\.example.org https\\://x");
        assert_eq!(inert("_x_ __y"), "\\_x\\_ \\_\\_y");
    }
}
