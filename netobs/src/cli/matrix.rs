//! `netobs matrix`: who talks to whom by kinds, with which verdict, and why.

use super::{
    args::{Cli, MatrixArgs, PageOutput},
    output, settings, wait,
};
use crate::{api::PairFilter, client::Client, matrix::MatrixDocument, report::Path, table};

pub(super) fn run(cli: &Cli, arguments: &MatrixArgs) -> anyhow::Result<()> {
    let client = Client::new(settings(cli)?.socket);
    let filter = arguments.filter.filter();
    let path = format!("/api/v1/matrix{}", filter.query());
    if arguments.output == PageOutput::Json {
        let body = wait(client.body(&path))?;
        return output::print(&String::from_utf8(body.into())?).map(drop);
    }
    let document: MatrixDocument = wait(client.document(&path))?;
    let text = match arguments.output {
        PageOutput::Markdown => table::matrix_markdown(&document),
        _ => table::matrix(&document, table::Look::stdout()),
    };
    output::print(&text)?;
    if let Some(line) = nothing(&document, &filter) {
        output::note(line);
    }
    Ok(())
}

/// Why there is nothing to see, and what to do. This host talks to itself whenever it is asked for metrics.
fn nothing(document: &MatrixDocument, filter: &PairFilter) -> Option<&'static str> {
    if *filter == PairFilter::default() {
        let all = document.cells.iter().all(|cell| cell.path == Path::Loopback);
        return all.then_some(
            "nobody has talked to anybody here yet; `netobs endpoints` says who is here, `netobs doctor` what can be seen",
        );
    }
    let none = document.cells.is_empty();
    none.then_some("no pair passes this filter; leave out a part of it, `netobs endpoints` has the names")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        matrix::{build, made_up},
        report::KindName,
    };

    #[test]
    fn an_empty_machine_and_a_filter_that_lets_nothing_pass_are_told_apart() {
        let (pairs, flows) = made_up::node();
        let whole = build(made_up::head(), &pairs, &flows);
        let mut own = whole.clone();
        own.cells.retain(|cell| cell.path == Path::Loopback);
        let nobody = MatrixDocument { cells: Vec::new(), ..whole.clone() };
        let everything = PairFilter::default();
        assert_eq!(nothing(&whole, &everything), None);
        for empty in [&own, &nobody] {
            assert!(nothing(empty, &everything).is_some_and(|line| line.contains("netobs doctor")));
        }
        let filter = PairFilter { kind: Some(KindName::Host), ..PairFilter::default() };
        assert_eq!(nothing(&own, &filter), None, "that was asked for");
        assert!(nothing(&nobody, &filter).is_some_and(|line| line.contains("filter")));
    }
}
