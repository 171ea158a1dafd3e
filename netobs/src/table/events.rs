//! The journal → a table: when, what, and how it was before and after.

use super::{
    grid::{Cell, Grid, Head},
    look::Look,
    tone::Tone,
};
use crate::report::{EventKind, EventRow, EventsDocument, Verdict};

const HEADS: [Head; 6] = [
    Head::word("TIME"),
    Head::word("KIND"),
    Head::name("SUBJECT", 16),
    Head::name("BEFORE", 10),
    Head::name("AFTER", 10),
    Head::name("DETAIL", 6),
];

/// One line for each event, in order of time.
#[must_use]
pub fn events(document: &EventsDocument, look: Look) -> String {
    let mut page = String::new();
    if document.events.is_empty() {
        return "Nothing changed.\n".to_owned();
    }
    let mut grid = Grid::new(HEADS);
    document.events.iter().for_each(|row| grid.row(cells(row)));
    let widths = grid.widths(look.width);
    page.push_str(&grid.render_in(&widths, look));
    let forgotten: Vec<String> =
        document.forgotten.iter().map(|(kind, count)| format!("{count} of kind {kind}")).collect();
    if !forgotten.is_empty() {
        page.push_str(&format!("Older events had no room: {}.\n", forgotten.join(", ")));
    }
    page
}

fn cells(row: &EventRow) -> Vec<Cell> {
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or("-").to_owned();
    let tone = |word: &str| match row.kind {
        EventKind::Verdict => word.parse::<Verdict>().map_or(Tone::Plain, Tone::of),
        _ => Tone::Plain,
    };
    let (before, after) = (text(&row.before), text(&row.after));
    vec![
        row.time.strftime("%Y-%m-%d %H:%M:%S").to_string().into(),
        row.kind.name().to_owned().into(),
        row.subject.to_string().into(),
        Cell::toned(&before, tone(&before)),
        Cell::toned(&after, tone(&after)),
        row.detail.as_deref().unwrap_or_default().to_owned().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Head;

    #[test]
    fn a_route_that_went_and_what_came_of_it() {
        let row = |second: u32, kind, subject: &str, before: Option<&str>, after: Option<&str>| EventRow {
            time: format!("2026-01-02T03:04:{second:02}Z").parse().unwrap(),
            kind,
            subject: subject.into(),
            before: before.map(Into::into),
            after: after.map(Into::into),
            detail: None,
        };
        let (up, down) = (Some("reachable"), Some("unreachable"));
        let way = Some("via 198.51.100.1 dev up0");
        let document = EventsDocument {
            head: Head {
                schema: crate::report::SCHEMA.into(),
                time: "2026-01-02T03:05:00Z".parse().unwrap(),
                node: "alpha".into(),
                interval_seconds: 1.0,
            },
            events: vec![
                row(5, EventKind::Route, "default", way, None),
                row(9, EventKind::Verdict, "container/web → external", up, down),
                row(25, EventKind::Route, "default", None, way),
                row(27, EventKind::Verdict, "container/web → external", down, up),
            ],
            forgotten: [(EventKind::Link, 7)].into(),
        };
        insta::assert_snapshot!(events(&document, Look { width: Some(110), ..Look::default() }));
        let nothing = EventsDocument { events: Vec::new(), ..document };
        assert_eq!(events(&nothing, Look::default()), "Nothing changed.\n");
    }
}
