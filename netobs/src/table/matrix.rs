//! The matrix document → a table: from which kind to which, by which way, how many pairs are in which verdict, how much,
//! how long ago, and in short why. Pure.

use super::{
    flows::since,
    grid::{Cell, Grid, Head, line},
    look::Look,
    text::cells,
    tone::Tone,
    units,
};
use crate::{
    matrix::{CellEvidence, MatrixCell, MatrixDocument},
    report::EvidenceKind,
};

const HEADS: [Head; 8] = [
    Head::word("FROM"),
    Head::word("TO"),
    Head::word("PATH"),
    Head::word("PAIRS"),
    Head::number("FLOWS"),
    Head::number("BYTES"),
    Head::number("AGE"),
    Head::name("EVIDENCE", LEAST),
];

/// Where the number of flows stands, which a narrow line gives up first.
const FLOWS: usize = 4;
/// So narrow evidence may become: with the longest words before it a line has 80 cells.
const LEAST: usize = 7;
/// Evidence gets so many lines at least, where it needs them.
const LINES: usize = 2;

/// What speaks against it first, then what proves it, the strongest first.
const ORDER: [EvidenceKind; 12] = [
    EvidenceKind::Drop,
    EvidenceKind::IcmpError,
    EvidenceKind::NeighborUnanswered,
    EvidenceKind::Rst,
    EvidenceKind::SocketError,
    EvidenceKind::NoReply,
    EvidenceKind::SynRetransmit,
    EvidenceKind::HopLoss,
    EvidenceKind::Retransmit,
    EvidenceKind::Handshake,
    EvidenceKind::SynAck,
    EvidenceKind::ReplyPacket,
];
/// Where the proofs begin.
const PROOFS: usize = 9;

/// One line for each cell where that fits; else a verdict a line, and of evidence as much as there is room for.
#[must_use]
pub fn matrix(document: &MatrixDocument, look: Look) -> String {
    let mut whole = Grid::new(HEADS);
    for cell in &document.cells {
        let mut row = words(cell, document.head.time).to_vec();
        let verdicts: Vec<_> = verdicts(cell, 0).into_iter().map(|(text, _)| text).collect();
        let worst = cell.verdicts.keys().next().map_or(Tone::Plain, |verdict| Tone::of(*verdict));
        row.insert(3, Cell::toned(&or_nothing(verdicts.join(", ")), worst));
        let evidence: Vec<_> = in_order(cell).into_iter().map(said).collect();
        row.push(or_nothing(evidence.join(", ")).into());
        whole.row(row);
    }
    let widths = whole.widths(None);
    match look.width {
        Some(width) if line(&widths) > width => stacked(document, width).render(look),
        _ => whole.render_in(&widths, look),
    }
}

/// What is said of each verdict in a cell, and how that is to be read.
type Verdicts = Vec<(String, Tone)>;

/// Several lines for a cell, none of them wider than the terminal.
fn stacked(document: &MatrixDocument, width: usize) -> Grid {
    let counts = document.cells.iter().flat_map(|cell| cell.verdicts.values());
    let digits = counts.map(|count| units::count(*count).len()).max().unwrap_or(0);
    let heads: Vec<Head> =
        HEADS.into_iter().enumerate().filter(|(at, _)| *at != FLOWS).map(|(_, head)| head).collect();
    let mut rows: Vec<(&MatrixCell, Vec<Cell>, Verdicts)> = Vec::new();
    // What is there without evidence tells how much room that has.
    let mut narrow = Grid::new(heads.clone());
    for cell in &document.cells {
        let [from, to, path, _, bytes, age] = words(cell, document.head.time);
        let row = vec![from, to, path, bytes, age];
        let verdicts = verdicts(cell, digits);
        for (text, _) in &verdicts {
            let mut line = row.clone();
            line.insert(3, text.into());
            narrow.row(line);
        }
        rows.push((cell, row, verdicts));
    }
    let before = line(&narrow.widths(None)) - cells(HEADS[HEADS.len() - 1].title);
    let room = width.saturating_sub(before).max(LEAST);
    let mut grid = Grid::new(heads);
    for (cell, row, mut verdicts) in rows {
        if verdicts.is_empty() {
            verdicts.push(("-".to_owned(), Tone::Plain));
        }
        let most = verdicts.len().max(LINES);
        let evidence = packed(&in_short(cell), room, most);
        for at in 0..verdicts.len().max(evidence.len()) {
            let mut line = if at == 0 { row.clone() } else { vec![Cell::from(""); row.len()] };
            let pairs = verdicts.get(at).map_or_else(|| "".into(), |(text, tone)| Cell::toned(text, *tone));
            line.insert(3, pairs);
            line.push(evidence.get(at).map_or("", String::as_str).into());
            grid.row(line);
        }
    }
    grid
}

/// What is short in any case: kinds, way, flows, bytes, age.
fn words(cell: &MatrixCell, now: jiff::Timestamp) -> [Cell; 6] {
    [
        cell.source_kind.name().into(),
        cell.destination_kind.name().into(),
        cell.path.name().into(),
        units::count(cell.flows).into(),
        units::bytes(cell.bytes).into(),
        units::age(since(cell.last_seen, now)).into(),
    ]
}

/// The pairs of each verdict, and how that is to be read.
fn verdicts(cell: &MatrixCell, digits: usize) -> Verdicts {
    let said = |(verdict, count)| (format!("{:>digits$} {verdict}", units::count(count)), Tone::of(verdict));
    cell.pairs().map(said).collect()
}

fn said(one: &CellEvidence) -> String {
    format!("{} {}", one.kind, units::count(one.count))
}

pub(super) fn in_order(cell: &MatrixCell) -> Vec<&CellEvidence> {
    let find = |kind| cell.evidence.iter().find(|one| one.kind == kind);
    ORDER.into_iter().filter_map(find).collect()
}

/// All that speaks against it, and of the proofs the strongest: a handshake has an answer in it.
fn in_short(cell: &MatrixCell) -> Vec<String> {
    let proofs = &ORDER[PROOFS..];
    let mut proven = false;
    let is_kept = |one: &&CellEvidence| {
        let is_proof = proofs.contains(&one.kind);
        let kept = !(is_proof && proven);
        proven |= is_proof;
        kept
    };
    in_order(cell).into_iter().filter(is_kept).map(said).collect()
}

/// Texts one after the other, in at most so many lines of so many cells; what has no room is a `…`.
fn packed(texts: &[String], room: usize, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let more = if at + 1 < texts.len() { "," } else { "" };
        let is_last = lines.len() == most;
        match lines.last_mut() {
            Some(line) if cells(line) + 1 + cells(text) + cells(more) <= room => {
                line.push(' ');
                line.push_str(text);
            }
            Some(line) if is_last => {
                line.push_str(" …");
                break;
            }
            _ => lines.push(text.clone()),
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(more);
        }
    }
    if lines.is_empty() {
        lines.push("-".to_owned());
    }
    lines
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        matrix::{build, made_up},
        report::Verdict,
    };

    fn node() -> MatrixDocument {
        let (pairs, flows) = made_up::node();
        build(made_up::head(), &pairs, &flows)
    }

    fn at(width: Option<usize>) -> String {
        matrix(&node(), Look { width, ..Look::default() })
    }

    #[test]
    fn eighty_cells_get_a_verdict_a_line_and_evidence_in_short() {
        insta::assert_snapshot!(at(Some(80)));
    }

    #[test]
    fn a_pipe_gets_a_line_for_each_cell_and_all_the_evidence() {
        let text = at(None);
        assert_eq!(text.lines().count(), 1 + node().cells.len());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn each_verdict_has_its_own_colour_and_its_word() {
        let look = Look { width: Some(80), colour: true, ascii: false };
        let text = matrix(&node(), look);
        for (verdict, escape) in
            [("12 reachable", "\x1b[32m"), (" 1 refused", "\x1b[31m"), (" 1 degraded", "\x1b[33m")]
        {
            assert!(text.contains(&format!("{escape}{verdict}")), "{verdict} in {text:?}");
        }
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_whatever_happens_on_the_node() {
        let mut document = node();
        let worst = &mut document.cells[1];
        worst.path = crate::report::Path::RoutedRemote;
        worst.verdicts = Verdict::ALL.iter().map(|verdict| (*verdict, 99_900)).collect();
        worst.bytes = 99_900_000;
        worst.last_seen = made_up::before(93_600);
        for width in [80, 90, 100, 120, 160] {
            let text = matrix(&document, Look { width: Some(width), ..Look::default() });
            assert!(text.lines().all(|line| cells(line) <= width), "{width}:\n{text}");
            for verdict in Verdict::ALL {
                assert!(text.contains(&format!("99.9k {verdict}")), "{verdict}:\n{text}");
            }
        }
    }

    #[test]
    fn what_has_no_room_is_marked() {
        let texts = ["drop 5", "rst 12", "handshake 14"].map(str::to_owned);
        assert_eq!(packed(&texts, 20, 2), ["drop 5, rst 12,", "handshake 14"]);
        assert_eq!(packed(&texts, 20, 1), ["drop 5, rst 12, …"]);
        assert_eq!(packed(&texts, 7, 3), ["drop 5,", "rst 12,", "handshake 14"]);
        assert_eq!(packed(&[], 7, 3), ["-"]);
    }

    #[test]
    fn no_cell_is_a_head_without_rows() {
        let document = MatrixDocument { head: made_up::head(), cells: Vec::new() };
        for width in [None, Some(80)] {
            let text = matrix(&document, Look { width, ..Look::default() });
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn evidence_of_every_kind_has_its_place() {
        let mut all = ORDER.to_vec();
        all.sort();
        assert_eq!(all, EvidenceKind::ALL);
    }
}
