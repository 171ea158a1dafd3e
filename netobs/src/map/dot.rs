//! A map → the text of a Graphviz graph, bridges as clusters. Pure.
//!
//! Ids are numbers of our own; texts are quoted strings, in which a quote, a backslash and an ampersand mean something
//! (graphviz.org, "The DOT Language" and "Character encodings").

use super::{
    document::MapDocument,
    picture::{EDGE, Line, Picture, Shape, TEXT, background, colour, fill, is_endpoint},
};
use crate::report::NodeKind;

const HEAD: &str = "\
graph netobs {
  graph [rankdir=LR, fontname=\"sans-serif\", fontsize=12, nodesep=0.15, ranksep=0.9, charset=\"UTF-8\"]
  node [fontname=\"sans-serif\", fontsize=11, style=filled, margin=\"0.12,0.05\", height=0.3]
  edge [fontname=\"sans-serif\", fontsize=9]
";

/// The picture, left to right from the endpoints to the outside.
#[must_use]
pub fn dot(map: &MapDocument) -> String {
    let picture = Picture::of(map);
    let mut text = HEAD.to_owned();
    for one in &picture.shapes {
        shape(&mut text, one, 1);
    }
    for one in &picture.lines {
        line(&mut text, one);
    }
    text.push_str("}\n");
    text
}

fn put(text: &mut String, depth: usize, line: &str) {
    text.push_str(&"  ".repeat(depth));
    text.push_str(line);
    text.push('\n');
}

fn shape(text: &mut String, shape: &Shape, depth: usize) {
    if shape.inside.is_empty() {
        node(text, shape, depth);
        return;
    }
    put(text, depth, &format!("subgraph cluster_{} {{", shape.number));
    let background = background(shape.kind);
    put(
        text,
        depth + 1,
        &format!(
            "graph [label={}, style=\"rounded,filled\", color=\"{EDGE}\", fillcolor=\"{background}\"]",
            quoted(&shape.title)
        ),
    );
    for one in &shape.inside {
        self::shape(text, one, depth + 1);
    }
    if shape.is_drawn {
        node(text, shape, depth + 1);
    }
    put(text, depth, "}");
}

fn node(text: &mut String, shape: &Shape, depth: usize) {
    let frame = if is_endpoint(shape.kind) { colour(shape.tone) } else { "#607d8b" };
    let style = match shape.kind {
        NodeKind::Group => ", style=\"rounded,filled,dashed\"",
        NodeKind::Pod | NodeKind::Uplink => ", style=\"rounded,filled\"",
        _ => "",
    };
    put(
        text,
        depth,
        &format!(
            "n{} [label={}, shape={}, fillcolor=\"{}\", color=\"{frame}\", fontcolor=\"{TEXT}\"{style}]",
            shape.number,
            quoted(&shape.text.join("\n")),
            outline(shape.kind),
            fill(shape.kind)
        ),
    );
}

const fn outline(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Bridge | NodeKind::Device => "hexagon",
        NodeKind::External => "ellipse",
        NodeKind::Overlay => "component",
        NodeKind::Nat => "invtrapezium",
        _ => "box",
    }
}

fn line(text: &mut String, line: &Line) {
    let colour = colour(line.tone);
    let style = if line.is_silent { ", style=dashed" } else { "" };
    let label = if line.text.is_empty() {
        String::new()
    } else {
        format!(
            "label={}, fontcolor=\"{}\", ",
            quoted(&line.text.join("\n")),
            if line.is_silent { colour } else { TEXT }
        )
    };
    put(
        text,
        1,
        &format!(
            "n{} -- n{} [{label}color=\"{colour}\", penwidth={}{style}]",
            line.from, line.to, line.width
        ),
    );
}

/// A string of the language. `&` would begin an entity of HTML.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for one in text.chars() {
        match one {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '&' => out.push_str("&amp;"),
            one => out.push(one),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_end_its_string() {
        assert_eq!(quoted("a\"b\\"), "\"a\\\"b\\\\\"");
        assert_eq!(quoted("a\\N&lt;"), "\"a\\\\N&amp;lt;\"");
        assert_eq!(quoted("two\nlines"), "\"two\\nlines\"");
    }
}
