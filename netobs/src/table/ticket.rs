//! An explanation → Markdown for a ticket, with the way drawn in Mermaid and the last hop marked. Pure.

use std::fmt::Write as _;

use super::{
    explain::{place, probed, saying, side},
    markdown::inert,
    text, units,
};
use crate::{
    map::escaped,
    report::{Explanation, HopDirection, HopRow, Verdict},
};

/// The page, in GitHub's Markdown.
#[must_use]
pub fn ticket(answer: &Explanation) -> String {
    let mut page = String::new();
    let [source, destination] = [&answer.source, &answer.destination].map(side);
    writeln!(page, "## {} → {}: `{}`\n", plain(&source), plain(&destination), answer.verdict).ok();
    writeln!(page, "{}\n", saying(answer)).ok();
    if let Some(probe) = &answer.probe {
        writeln!(page, "{}\n", plain(&probed(probe))).ok();
    }
    let mut facts = vec![("Node", answer.head.node.to_string()), ("Time", answer.head.time.to_string())];
    facts.extend(answer.protocol.map(|one| ("Protocol", one.to_string())));
    facts.extend(answer.path.map(|one| ("Path", one.to_string())));
    facts.extend(answer.last_hop.as_ref().map(|hop| ("Seen last", place(hop))));
    facts.extend(answer.expected_next_hop.as_ref().map(|hop| ("Expected next", place(hop))));
    for (name, value) in facts {
        writeln!(page, "- {name}: {}", plain(&value)).ok();
    }
    if let Some(way) = way(answer, &source, &destination) {
        writeln!(page, "\n```mermaid\n{way}```").ok();
    }
    if !answer.evidence.is_empty() {
        page.push_str("\n### Evidence\n\n| time | evidence | count | hop | detail |\n| --- | --- | ---: | --- | --- |\n");
        for one in &answer.evidence {
            let hop = one.hop.as_deref().unwrap_or("-");
            let detail = one.detail.as_deref().unwrap_or_default();
            let (hop, detail, count) = (plain(hop), plain(detail), units::count(one.count));
            writeln!(page, "| {} | {} | {count} | {hop} | {detail} |", one.first_seen, one.kind).ok();
        }
    }
    if !answer.causes.is_empty() {
        page.push_str("\n### Causes\n");
        for (number, one) in answer.causes.iter().enumerate() {
            writeln!(page, "\n{}. **{}** ({})", number + 1, one.cause, one.confidence).ok();
            let parts =
                [("observed", &one.observed), ("configured", &one.configured), ("advice", &one.advice)];
            for (name, words) in parts {
                writeln!(page, "   - {name}: {}", plain(words)).ok();
            }
            writeln!(page, "   - check: `{}`", text::printable(&one.check).replace('`', "'")).ok();
        }
    }
    for unread in &answer.unread {
        writeln!(page, "\nNot read: {}", plain(unread)).ok();
    }
    page
}

/// Where the packets went, and where they were seen last.
fn way(answer: &Explanation, source: &str, destination: &str) -> Option<String> {
    let forward: Vec<&HopRow> =
        answer.hops.iter().filter(|hop| hop.direction == HopDirection::Forward).collect();
    let last = answer.last_hop.as_ref()?;
    let arrived = matches!(answer.verdict, Verdict::Reachable | Verdict::Degraded | Verdict::Refused);
    let mut lines = "flowchart LR\n".to_owned();
    writeln!(lines, "  a[\"{}\"]", escaped(source)).ok();
    let mut before = "a".to_owned();
    let mut marked = None;
    let shown: Vec<String> = if forward.is_empty() {
        vec![format!("{} {}", last.interface, last.hook)]
    } else {
        forward.iter().map(|hop| format!("{} {}", hop.interface, hop.hook)).collect()
    };
    for (number, name) in shown.iter().enumerate() {
        writeln!(lines, "  {before} --> h{number}[\"{}\"]", escaped(name)).ok();
        before = format!("h{number}");
        if *name == format!("{} {}", last.interface, last.hook) && !arrived {
            marked = Some(number);
            break;
        }
    }
    let arrow = if arrived { "-->" } else { "-. not seen .->" };
    writeln!(lines, "  {before} {arrow} b[\"{}\"]", escaped(destination)).ok();
    if let Some(number) = marked {
        writeln!(lines, "  style h{number} stroke:#c00,stroke-width:3px").ok();
    }
    Some(lines)
}

/// A text that means nothing to Markdown.
fn plain(words: &str) -> String {
    inert(&crate::identity::text::clean_to(words, 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::explain::tests::{failing, healthy};

    #[test]
    fn a_ticket_of_what_does_not_work() {
        insta::assert_snapshot!(ticket(&failing()));
    }

    #[test]
    fn a_ticket_of_what_works() {
        insta::assert_snapshot!(ticket(&healthy()));
    }

    #[test]
    fn names_cannot_change_the_page() {
        let mut answer = failing();
        answer.destination.endpoint = "container/a|b`<script>`]\n# x".into();
        let page = ticket(&answer);
        assert!(!page.contains("<script>") && !page.contains("\n# x"), "{page}");
    }
}
