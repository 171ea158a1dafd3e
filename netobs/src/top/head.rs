//! Documents and what is hidden of them → the lines above the list: who is here, how much, what is missing. Pure.

use std::collections::BTreeMap;

use super::{Filter, Sort, TopInput, order::Rows};
use crate::{
    report::KindName,
    table::{
        grid::Cell,
        text::{cells, cut, printable, wrap},
        tone::Tone,
        units,
    },
};

/// Most lines about what was not found or does not work: the list matters more.
const NOTES: usize = 8;

/// What the head lines tell of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) input: &'a TopInput,
    pub(crate) rows: &'a Rows,
    pub(crate) filter: &'a Filter,
    pub(crate) sort: Sort,
    pub(crate) loopback: bool,
    pub(crate) paused: bool,
    /// Why no newer documents come, and how old the last ones are.
    pub(crate) trouble: Option<&'a str>,
}

/// The head, at most `width` cells wide.
#[must_use]
pub(crate) fn lines(head: &Head<'_>, width: usize) -> Vec<Vec<Cell>> {
    let mut lines = vec![title(head, width), vec![Cell::toned(&cut(&sums(head), width), Tone::Plain)]];
    lines.extend(notes(head, width));
    lines
}

/// Whose picture this is, of when, and who is here.
fn title(head: &Head<'_>, width: usize) -> Vec<Cell> {
    let mut line = vec![Cell::toned("netobs", Tone::Head)];
    if head.paused {
        line.push(Cell::toned(" PAUSED", Tone::Warn));
    }
    let time = head.input.flows.head.time.strftime("%H:%M:%SZ").to_string();
    let used: usize = line.iter().map(|cell| cells(&cell.text)).sum();
    let left = width.saturating_sub(used + time.len() + 2);
    let who = format!(" {}: {}", printable(&head.input.flows.head.node), found(head.input));
    let who = cut(&who, left).into_owned();
    let blank = width.saturating_sub(used + cells(&who) + time.len());
    line.push(Cell::from(who));
    // In a pipe there is no right edge for the time to stand at.
    let blank = if width == usize::MAX { 2 } else { blank };
    if width > used + time.len() {
        line.push(Cell::toned(&format!("{}{time}", " ".repeat(blank)), Tone::Faint));
    }
    line
}

/// Endpoints by kind: `host, 2 containers`.
fn found(input: &TopInput) -> String {
    let mut counts: BTreeMap<KindName, usize> = BTreeMap::new();
    for endpoint in &input.endpoints.endpoints {
        *counts.entry(endpoint.kind).or_default() += 1;
    }
    counts.remove(&KindName::External);
    let words: Vec<String> = counts
        .into_iter()
        .map(|(kind, count)| match (kind, count) {
            (KindName::Host, 1) => "host".to_owned(),
            (KindName::Vm, 1) => "1 VM".to_owned(),
            (KindName::Vm, _) => format!("{count} VMs"),
            (KindName::Unknown, _) => format!("{count} unknown"),
            (kind, 1) => format!("1 {kind}"),
            (kind, _) => format!("{count} {kind}s"),
        })
        .collect();
    if words.is_empty() { "nobody known yet".to_owned() } else { words.join(", ") }
}

/// How much flows, what is shown, what is hidden.
fn sums(head: &Head<'_>) -> String {
    let rows = head.rows;
    let mut parts = vec![units::bit_rate(rows.bits_per_second)];
    parts.push(match rows.shown.len() {
        1 => "1 flow".to_owned(),
        shown => format!("{shown} flows"),
    });
    if !head.filter.is_empty() {
        parts.push(format!("{} filtered out", rows.filtered));
    }
    parts.push(format!("{} loopback {}", rows.loopback, if head.loopback { "shown" } else { "hidden" }));
    parts.push(format!("by {}", head.sort.name()));
    parts.join(" · ")
}

/// What does not work, and on an empty machine what was looked for.
fn notes(head: &Head<'_>, width: usize) -> Vec<Vec<Cell>> {
    let status = &head.input.status;
    let mut notes: Vec<(String, Tone)> = Vec::new();
    if let Some(trouble) = head.trouble {
        notes.push((printable(trouble).into_owned(), Tone::Bad));
    }
    let inhabited = head
        .input
        .endpoints
        .endpoints
        .iter()
        .any(|one| matches!(one.kind, KindName::Container | KindName::Pod | KindName::Vm));
    if !inhabited {
        notes.extend(status.not_found.iter().map(|one| {
            (format!("no {} found: looked at {}", printable(&one.what), printable(&one.looked)), Tone::Plain)
        }));
    }
    for source in &status.sources {
        // An absent source is worth a line only where nobody was found by any other.
        if &*source.state == "failing" || (!inhabited && &*source.state != "ready") {
            let detail =
                source.detail.as_deref().map(|text| format!(": {}", printable(text))).unwrap_or_default();
            let tone = if &*source.state == "failing" { Tone::Warn } else { Tone::Plain };
            notes.push((format!("{} {}{detail}", printable(&source.source), printable(&source.state)), tone));
        }
    }
    let unseen = status.interfaces.failed + status.interfaces.blind;
    if unseen > 0 {
        notes.push((format!("{unseen} interfaces not observed: `netobs doctor` says why"), Tone::Warn));
    }
    if status.overflow_packets > 0 {
        let packets = units::count(status.overflow_packets);
        notes.push((
            format!("flow table full: {packets} packets counted without a flow of their own"),
            Tone::Warn,
        ));
    }
    let mut lines: Vec<Vec<Cell>> = notes
        .into_iter()
        .flat_map(|(text, tone)| wrap(&text, width, 2).into_iter().map(move |line| (line, tone)))
        .map(|(line, tone)| vec![Cell::toned(&line, tone)])
        .collect();
    lines.truncate(NOTES);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::{made_up, order};

    fn text(input: &TopInput, width: usize, change: impl FnOnce(&mut Head<'_>)) -> String {
        let filter = Filter::default();
        let rows = order::rows(&input.flows.flows, &filter, false, Sort::default(), made_up::now());
        let mut head = Head {
            input,
            rows: &rows,
            filter: &filter,
            sort: Sort::default(),
            loopback: false,
            paused: false,
            trouble: None,
        };
        change(&mut head);
        lines(&head, width)
            .into_iter()
            .map(|line| line.into_iter().map(|cell| cell.text).collect::<String>())
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn an_empty_machine_is_told_what_was_looked_for() {
        let text = text(&made_up::empty(), 80, |_| ());
        assert!(text.contains("alpha: host "), "{text}");
        assert!(text.contains("no containers found: looked at /var/run/docker.sock, cgroups"), "{text}");
        assert!(text.contains("docker absent: no socket at /var/run/docker.sock"), "{text}");
    }

    #[test]
    fn an_inhabited_one_is_not() {
        let mut input = made_up::busy();
        input.status.not_found = made_up::empty().status.not_found;
        let text = text(&input, 80, |_| ());
        assert!(text.contains("host, 2 containers"), "{text}");
        assert!(!text.contains("looked at"), "{text}");
    }

    #[test]
    fn the_total_counts_each_conversation_once_and_loopback_not_at_all() {
        let text = text(&made_up::busy(), 80, |_| ());
        assert!(text.contains("1.02 Gbit/s · 6 flows · 1 loopback hidden · by rate"), "{text}");
    }

    #[test]
    fn what_is_not_seen_is_said() {
        let mut input = made_up::busy();
        input.status.interfaces.blind = 2;
        input.status.overflow_packets = 12_345;
        let text = text(&input, 80, |head| head.trouble = Some("the agent does not answer"));
        assert!(text.contains("2 interfaces not observed"), "{text}");
        assert!(text.contains("12.3k packets counted without"), "{text}");
        assert!(text.contains("the agent does not answer"), "{text}");
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        for width in 0..120 {
            let text = text(&made_up::empty(), width, |head| head.paused = true);
            let widest = text.lines().skip(1).map(cells).max().unwrap_or(0);
            assert!(widest <= width, "{width}: {text}");
        }
    }
}
