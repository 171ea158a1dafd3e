//! The endpoints document → a table: who is on this node, where, and why that is believed.

use std::collections::BTreeSet;

use super::{
    grid::{Cell, Grid, Head},
    look::Look,
    tone::Tone,
};
use crate::report::{EndpointRow, EndpointsDocument, KindName};

const HEADS: [Head; 7] = [
    Head::name("ID", 12),
    Head::word("KIND"),
    Head::word("MODE"),
    Head::name("WORKLOAD", 8),
    Head::name("ADDRESSES", 15),
    Head::name("INTERFACE", 9),
    Head::name("PROVENANCE", 10),
];

/// How many addresses or interfaces of one endpoint a line lists: a host may have hundreds.
const LISTED: usize = 4;

/// One line for each endpoint, in the order of the document.
#[must_use]
pub fn endpoints(document: &EndpointsDocument, look: Look) -> String {
    let mut grid = Grid::new(HEADS);
    for endpoint in &document.endpoints {
        grid.row(row(endpoint));
    }
    grid.render(look)
}

fn row(endpoint: &EndpointRow) -> Vec<Cell> {
    let addresses: Vec<_> =
        endpoint.interfaces.iter().flat_map(|one| &one.addresses).map(ToString::to_string).collect();
    let interfaces: BTreeSet<_> = endpoint.interfaces.iter().map(|one| one.name.to_string()).collect();
    let interfaces: Vec<_> = interfaces.into_iter().collect();
    let provenance: Vec<_> = endpoint.provenance.iter().map(ToString::to_string).collect();
    let kind_tone = if endpoint.kind == KindName::Unknown { Tone::Faint } else { Tone::Plain };
    vec![
        Cell::from(&endpoint.id),
        Cell::toned(endpoint.kind.name(), kind_tone),
        endpoint.mode.as_deref().unwrap_or("-").into(),
        endpoint.workload.as_deref().unwrap_or("-").into(),
        some_of(&addresses).into(),
        some_of(&interfaces).into(),
        some_of(&provenance).into(),
    ]
}

/// The first few of a list, and how many more there are.
fn some_of(texts: &[String]) -> String {
    match texts.len() {
        0 => "-".to_owned(),
        1..=LISTED => texts.join(","),
        more => format!("{},+{}", texts[..LISTED].join(","), more - LISTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::made_up;

    #[test]
    fn who_is_here_and_why_it_is_believed() {
        insta::assert_snapshot!(endpoints(&made_up::busy().endpoints, Look::default()));
    }

    #[test]
    fn hundreds_of_addresses_do_not_fill_the_screen() {
        let many: Vec<_> = (0..300).map(|one| format!("10.0.{}.{}", one / 256, one % 256)).collect();
        assert_eq!(some_of(&many), "10.0.0.0,10.0.0.1,10.0.0.2,10.0.0.3,+296");
        assert_eq!(some_of(&[]), "-");
    }
}
