//! Heads and rows of cells → aligned lines of text. Pure.

use super::{
    look::Look,
    text::{ascii, cells, fit, printable},
    tone::Tone,
};

/// Cells between two columns.
const GAP: usize = 2;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// What stands above it.
    pub title: &'static str,
    /// Whether its cells stand to the right, as numbers do.
    pub right: bool,
    /// How narrow it may become on a narrow terminal; 0 if its text must never be cut.
    pub least: usize,
}

impl Head {
    /// A column of words that are never cut.
    #[must_use]
    pub const fn word(title: &'static str) -> Self {
        Self { title, right: false, least: 0 }
    }

    /// A column of numbers.
    #[must_use]
    pub const fn number(title: &'static str) -> Self {
        Self { title, right: true, least: 0 }
    }

    /// A column of names, which a narrow terminal may cut down to `least` cells.
    #[must_use]
    pub const fn name(title: &'static str, least: usize) -> Self {
        Self { title, right: false, least }
    }
}

/// One cell: what it says and how it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The text, cleaned.
    pub text: String,
    /// Its tone.
    pub tone: Tone,
}

impl Cell {
    /// A cell in a tone.
    #[must_use]
    pub fn toned(text: &str, tone: Tone) -> Self {
        Self { text: printable(text).into_owned(), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text.as_ref(), Tone::Plain)
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Grid {
    heads: Vec<Head>,
    rows: Vec<Vec<Cell>>,
}

impl Grid {
    /// A table without rows.
    #[must_use]
    pub fn new(heads: impl Into<Vec<Head>>) -> Self {
        Self { heads: heads.into(), rows: Vec::new() }
    }

    /// Adds a row; cells without a column are left out, columns without a cell stay blank.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// How wide each column is when nothing may be wider than `limit`.
    #[must_use]
    pub fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| cells(head.title)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cells(&cell.text));
            }
        }
        if let Some(limit) = limit {
            self.narrow(&mut widths, limit);
        }
        widths
    }

    /// Takes from the widest column that may be cut, cell by cell, until the line fits or none is left.
    fn narrow(&self, widths: &mut [usize], limit: usize) {
        while line(widths) > limit {
            let widest = (0..widths.len())
                .filter(|&at| self.heads[at].least > 0 && widths[at] > self.heads[at].least)
                .max_by_key(|&at| widths[at]);
            match widest {
                Some(at) => widths[at] -= 1,
                None => return,
            }
        }
    }

    /// The lines as cells of exactly their column's width: the head first.
    #[must_use]
    pub fn lines(&self, widths: &[usize]) -> Vec<Vec<Cell>> {
        let head = self
            .heads
            .iter()
            .zip(widths)
            .map(|(head, &width)| Cell { text: fit(head.title, width, head.right), tone: Tone::Head });
        let rows = self.rows.iter().map(|row| {
            self.heads
                .iter()
                .zip(widths)
                .zip(row)
                .map(|((head, &width), cell)| Cell {
                    text: fit(&cell.text, width, head.right),
                    tone: cell.tone,
                })
                .collect()
        });
        std::iter::once(head.collect()).chain(rows).collect()
    }

    /// The table as text, each line ended.
    #[must_use]
    pub fn render(&self, look: Look) -> String {
        self.render_in(&self.widths(look.width), look)
    }

    /// The same in columns of given widths.
    #[must_use]
    pub fn render_in(&self, widths: &[usize], look: Look) -> String {
        let mut out = String::new();
        for cells in self.lines(widths) {
            push_line(&mut out, &cells, GAP, look);
        }
        out
    }
}

/// How long a line of columns is.
#[must_use]
pub fn line(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// The gap between columns as part of the cells.
#[must_use]
pub fn spaced(cells: Vec<Cell>) -> Vec<Cell> {
    let last = cells.len().saturating_sub(1);
    let gap = " ".repeat(GAP);
    let wide = |(at, cell): (usize, Cell)| Cell {
        text: if at < last { format!("{}{gap}", cell.text) } else { cell.text },
        ..cell
    };
    cells.into_iter().enumerate().map(wide).collect()
}

/// Appends one line of fitted cells, without blanks at its end.
pub fn push_line(out: &mut String, cells: &[Cell], gap: usize, look: Look) {
    let last = cells.iter().rposition(|cell| !cell.text.trim_end().is_empty());
    for (at, cell) in cells.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
        let text = if Some(at) == last { cell.text.trim_end() } else { &cell.text };
        if at > 0 {
            out.push_str(&" ".repeat(gap));
        }
        let (begin, end) = if look.colour { cell.tone.escapes() } else { ("", "") };
        out.push_str(begin);
        if look.ascii {
            out.extend(text.chars().map(ascii));
        } else {
            out.push_str(text);
        }
        out.push_str(end);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new([Head::name("NAME", 6), Head::word("PATH"), Head::number("BYTES")]);
        grid.row(["container/a-rather-long-name".into(), "bridge".into(), "1.23k".into()]);
        grid.row(["host".into(), Cell::toned("uplink", Tone::Bad), "7".into()]);
        grid
    }

    #[test]
    fn a_pipe_gets_everything_aligned() {
        let expected = "\
NAME                          PATH    BYTES
container/a-rather-long-name  bridge  1.23k
host                          uplink      7
";
        assert_eq!(grid().render(Look::default()), expected);
    }

    #[test]
    fn a_narrow_terminal_cuts_names_only() {
        let look = Look { width: Some(30), ..Look::default() };
        let text = grid().render(look);
        assert!(text.lines().all(|line| cells(line) <= 30), "{text}");
        assert!(text.contains("container/a-ra…  bridge  1.23k"), "{text}");
    }

    #[test]
    fn what_cannot_be_cut_is_longer_than_the_terminal() {
        let text = grid().render(Look { width: Some(3), ..Look::default() });
        assert!(text.contains("conta…  bridge  1.23k"), "{text}");
    }

    #[test]
    fn colour_surrounds_the_word() {
        let text = grid().render(Look { colour: true, ..Look::default() });
        assert!(text.contains("\x1b[31muplink\x1b[0m"), "{text:?}");
    }

    #[test]
    fn an_escape_in_a_name_never_reaches_the_terminal() {
        let mut grid = Grid::new([Head::name("NAME", 4)]);
        grid.row(["evil\x1b]0;root\x07\u{9b}2J".into()]);
        assert!(!grid.render(Look::default()).chars().any(|one| one.is_control() && one != '\n'));
    }
}
