//! Typed words → which flows to show. Pure.

use std::fmt::Write;

use crate::report::{FlowRow, Party};

/// Longest filter, characters; names have up to 253.
const LIMIT: usize = 256;

/// Words that must all occur somewhere in a flow's names, addresses, ports, protocol, path, nat, via or verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
}

impl Filter {
    /// A filter of words.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut filter = Self::default();
        for character in text.chars() {
            filter.push(character);
        }
        filter
    }

    /// As typed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// One more character.
    pub fn push(&mut self, character: char) {
        if !crate::identity::text::is_hostile(character) && self.text.chars().count() < LIMIT {
            self.text.push(character);
        }
    }

    /// One less.
    pub fn pop(&mut self) {
        self.text.pop();
    }

    /// The words, ready to be looked for in many flows.
    #[must_use]
    pub fn needles(&self) -> Needles {
        Needles(self.text.split_whitespace().map(str::to_lowercase).collect())
    }
}

/// Words in lower case.
#[derive(Clone, Debug)]
pub struct Needles(Vec<String>);

impl Needles {
    /// Whether all of them occur in the flow.
    #[must_use]
    pub fn are_in(&self, flow: &FlowRow) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let hay = hay(flow);
        self.0.iter().all(|needle| hay.contains(needle.as_str()))
    }
}

/// Everything a flow can be found by, in lower case; fields apart, so that no word matches across two.
fn hay(flow: &FlowRow) -> String {
    let mut hay = String::with_capacity(256);
    party(&mut hay, &flow.source);
    party(&mut hay, &flow.destination);
    if let Some(original) = &flow.original_destination {
        add(&mut hay, format_args!("{}:{}", original.address, original.port));
        add(&mut hay, format_args!("{}", original.service.as_deref().unwrap_or_default()));
    }
    add(&mut hay, format_args!("{}\n{}\n{}", flow.protocol, flow.path, flow.nat));
    add(&mut hay, format_args!("{}\n{}", flow.via, flow.verdict));
    add(&mut hay, format_args!("{}", flow.proxied_by.as_deref().unwrap_or_default()));
    hay.to_lowercase()
}

fn party(hay: &mut String, party: &Party) {
    // `container/web:80` is what the list shows, so it must be found when typed.
    add(hay, format_args!("{}:{}\n{}:{}", party.endpoint, party.port, party.address, party.port));
}

fn add(hay: &mut String, text: std::fmt::Arguments<'_>) {
    // A `String` takes everything: the error of `fmt::Write` cannot occur.
    if hay.write_fmt(text).is_ok() {
        hay.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::made_up;

    fn finds(text: &str) -> bool {
        let flow = made_up::tcp("1", "container/Web", "container/db", 5432);
        Filter::new(text).needles().are_in(&flow)
    }

    #[test]
    fn names_addresses_ports_and_words_are_found() {
        for text in
            ["web", "WEB", "172.17.0.2", "5432", "container/db:5432", "tcp", "bridge", "reachable", ""]
        {
            assert!(finds(text), "{text}");
        }
        assert!(!finds("mail"));
    }

    #[test]
    fn all_words_must_occur() {
        assert!(finds("web 5432"));
        assert!(!finds("web mail"));
    }

    #[test]
    fn what_cannot_be_seen_cannot_be_typed() {
        assert_eq!(Filter::new("a\x1b\u{202e}b").text(), "ab");
    }
}
