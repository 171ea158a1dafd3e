//! A map → the text of a Mermaid flowchart. Pure.
//!
//! Ids are numbers of our own and every text is quoted, with all that could mean something to Mermaid, to Markdown or
//! to HTML written as an entity (`#35;`): mermaid.js.org, "Entity codes to escape characters".

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    document::MapDocument,
    picture::{EDGE, Line, Picture, Shape, TEXT, background, colour, fill, is_endpoint},
};
use crate::report::NodeKind;
use crate::table::tone::Tone;

/// The picture, left to right from the endpoints to the outside.
#[must_use]
pub fn mermaid(map: &MapDocument) -> String {
    let picture = Picture::of(map);
    let mut page = Page {
        text: "flowchart LR\n".to_owned(),
        kinds: BTreeMap::new(),
        frames: BTreeMap::new(),
        boxes: BTreeMap::new(),
    };
    for shape in &picture.shapes {
        page.shape(shape, 1);
    }
    for line in &picture.lines {
        page.line(line);
    }
    // Mermaid lays a box that no line leaves over the lines of others.
    for (inner, outer) in &picture.apart {
        page.put(1, &format!("n{inner} ~~~ n{outer}"));
    }
    page.styles(&picture.lines);
    page.text
}

struct Page {
    text: String,
    kinds: BTreeMap<NodeKind, Vec<usize>>,
    frames: BTreeMap<&'static str, Vec<usize>>,
    /// Numbers of boxes, by what they are filled with.
    boxes: BTreeMap<&'static str, Vec<usize>>,
}

impl Page {
    fn put(&mut self, depth: usize, line: &str) {
        self.text.push_str(&"  ".repeat(depth));
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn shape(&mut self, shape: &Shape, depth: usize) {
        if shape.inside.is_empty() {
            self.node(shape, depth);
            return;
        }
        self.put(depth, &format!("subgraph b{}[\"{}\"]", shape.number, escaped(&shape.title)));
        self.boxes.entry(background(shape.kind)).or_default().push(shape.number);
        for one in &shape.inside {
            self.shape(one, depth + 1);
        }
        if shape.is_drawn {
            self.node(shape, depth + 1);
        }
        self.put(depth, "end");
    }

    fn node(&mut self, shape: &Shape, depth: usize) {
        let (open, close) = outline(shape.kind);
        self.put(depth, &format!("n{}{open}\"{}\"{close}", shape.number, lines(&shape.text)));
        self.kinds.entry(shape.kind).or_default().push(shape.number);
        if let Some(frame) = frame(shape) {
            self.frames.entry(frame).or_default().push(shape.number);
        }
    }

    fn line(&mut self, line: &Line) {
        let stroke = if line.is_silent { "-.-" } else { "---" };
        let text = if line.text.is_empty() { String::new() } else { format!("|\"{}\"|", lines(&line.text)) };
        self.put(1, &format!("n{} {stroke}{text} n{}", line.from, line.to));
    }

    fn styles(&mut self, drawn: &[Line]) {
        for (kind, nodes) in std::mem::take(&mut self.kinds) {
            let fill = fill(kind);
            let dashed = if kind == NodeKind::Group { ",stroke-dasharray:4" } else { "" };
            self.put(1, &format!("classDef {} fill:{fill},stroke:#607d8b,color:{TEXT}{dashed}", class(kind)));
            self.put(1, &format!("class {} {}", numbers('n', &nodes), class(kind)));
        }
        for (fill, boxes) in std::mem::take(&mut self.boxes) {
            let word = fill.trim_start_matches('#');
            self.put(1, &format!("classDef box_{word} fill:{fill},stroke:{EDGE},color:{TEXT}"));
            self.put(1, &format!("class {} box_{word}", numbers('b', &boxes)));
        }
        for (tone, word) in FRAMES {
            let Some(nodes) = self.frames.remove(word) else { continue };
            self.put(1, &format!("classDef {word} stroke:{},stroke-width:2px", colour(tone)));
            self.put(1, &format!("class {} {word}", numbers('n', &nodes)));
        }
        let mut styles: BTreeMap<(&str, u8), Vec<usize>> = BTreeMap::new();
        for (number, line) in drawn.iter().enumerate() {
            styles.entry((colour(line.tone), line.width)).or_default().push(number);
        }
        for ((colour, width), lines) in styles {
            let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
            self.put(1, &format!("linkStyle {} stroke:{colour},stroke-width:{width}px", lines.join(",")));
        }
    }
}

const FRAMES: [(Tone, &str); 3] = [(Tone::Good, "good"), (Tone::Warn, "warn"), (Tone::Bad, "bad")];

fn frame(shape: &Shape) -> Option<&'static str> {
    let told = FRAMES.iter().find(|(tone, _)| *tone == shape.tone);
    told.filter(|_| is_endpoint(shape.kind)).map(|(_, word)| *word)
}

/// `default` and `end` are words of Mermaid's: no class has the bare name of a kind.
fn class(kind: NodeKind) -> String {
    format!("is_{}", kind.name())
}

const fn outline(kind: NodeKind) -> (&'static str, &'static str) {
    match kind {
        NodeKind::Bridge | NodeKind::Device => ("{{", "}}"),
        NodeKind::Uplink | NodeKind::External => ("([", "])"),
        NodeKind::Overlay => ("[[", "]]"),
        NodeKind::Nat => ("[/", "\\]"),
        NodeKind::Pod | NodeKind::Group => ("(", ")"),
        NodeKind::Host | NodeKind::Vm | NodeKind::Container | NodeKind::Unknown => ("[", "]"),
    }
}

fn numbers(letter: char, numbers: &[usize]) -> String {
    let mut list = String::new();
    for number in numbers {
        let comma = if list.is_empty() { "" } else { "," };
        write!(list, "{comma}{letter}{number}").ok();
    }
    list
}

fn lines(text: &[String]) -> String {
    text.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br/>")
}

/// A text that means nothing but itself.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(one) = characters.next() {
        // `1. `, `- ` begin a list in Markdown, and a label is read as Markdown.
        let begins_a_list = matches!(one, '.' | '-') && characters.peek().is_none_or(|next| *next == ' ');
        let plain = one.is_alphanumeric() || matches!(one, ' ' | '.' | '-' | '/' | '…' | '×' | ',');
        if plain && !begins_a_list {
            out.push(one);
        } else {
            write!(out, "#{};", u32::from(one)).ok();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mean_something_is_an_entity() {
        assert_eq!(escaped("web-1.2"), "web-1.2");
        assert_eq!(escaped("a\"]; end"), "a#34;#93;#59; end");
        assert_eq!(escaped("<b>`x`</b>"), "#60;b#62;#96;x#96;#60;/b#62;");
        assert_eq!(escaped("1. - x"), "1#46; #45; x");
        assert_eq!(escaped("größe 数据库"), "größe 数据库");
    }
}
