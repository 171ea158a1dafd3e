//! `netobs docs`: the documents that are generated from the code.

use std::{fs, path::PathBuf};

use anyhow::Context;
use schemars::{JsonSchema, schema_for};

use super::{args::DocsArgs, commands_document, output};
use crate::{
    doctor::DoctorDocument,
    export,
    failure::Failure,
    map::MapDocument,
    matrix::MatrixDocument,
    report::{DropsDocument, EndpointsDocument, EventsDocument, Explanation, FlowsDocument, StatusDocument},
};

pub(super) fn run(arguments: &DocsArgs) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for (name, text) in documents()? {
        let path = arguments.directory.join(&name);
        if fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
            continue;
        }
        if !arguments.check {
            let parent = path.parent().map_or_else(PathBuf::new, PathBuf::from);
            let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
            written.with_context(|| path.display().to_string())?;
        }
        stale.push(path.display().to_string());
    }
    match (stale.is_empty(), arguments.check) {
        (true, _) => Ok(()),
        (false, false) => output::print(&format!("wrote {}\n", stale.join(", "))).map(drop),
        (false, true) => {
            Err(Failure::negative(format!("not up to date: {}; run `netobs docs`", stale.join(", "))).into())
        }
    }
}

/// Every generated document, by its path below docs/.
fn documents() -> anyhow::Result<Vec<(String, String)>> {
    Ok(vec![
        ("metrics.md".to_owned(), export::documentation()),
        ("commands.md".to_owned(), commands_document::commands()),
        ("schema/endpoints.json".to_owned(), schema::<EndpointsDocument>()?),
        ("schema/flows.json".to_owned(), schema::<FlowsDocument>()?),
        ("schema/drops.json".to_owned(), schema::<DropsDocument>()?),
        ("schema/events.json".to_owned(), schema::<EventsDocument>()?),
        ("schema/explain.json".to_owned(), schema::<Explanation>()?),
        ("schema/map.json".to_owned(), schema::<MapDocument>()?),
        ("schema/matrix.json".to_owned(), schema::<MatrixDocument>()?),
        ("schema/status.json".to_owned(), schema::<StatusDocument>()?),
        ("schema/doctor.json".to_owned(), schema::<DoctorDocument>()?),
    ])
}

fn schema<T: JsonSchema>() -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(&schema_for!(T))?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_of_the_repository_are_the_generated_ones() {
        let docs = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"));
        for (name, text) in documents().unwrap() {
            let kept = fs::read_to_string(docs.join(&name)).unwrap_or_default();
            assert!(kept == text, "docs/{name} is not up to date: run `netobs docs`");
        }
    }

    #[test]
    fn every_cause_and_every_verdict_has_its_page() {
        let runbooks = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runbooks"));
        let index = fs::read_to_string(runbooks.join("README.md")).unwrap();
        let causes = crate::report::CauseName::ALL.iter().map(|one| one.name());
        let verdicts = crate::report::Verdict::ALL.iter().map(|one| one.name());
        for name in causes.chain(verdicts) {
            let page = fs::read_to_string(runbooks.join(format!("{name}.md"))).unwrap_or_default();
            assert!(page.contains(&format!("`{name}`")), "docs/runbooks/{name}.md is missing");
            assert!(index.contains(&format!("({name}.md)")), "docs/runbooks/README.md does not name {name}");
        }
    }

    #[test]
    fn a_check_changes_nothing_and_names_what_is_stale() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = |check| DocsArgs { check, directory: directory.path().to_owned() };
        let error = run(&arguments(true)).unwrap_err();
        assert!(
            error.to_string().contains("metrics.md")
                && fs::read_dir(directory.path()).unwrap().next().is_none()
        );
        run(&arguments(false)).unwrap();
        run(&arguments(true)).unwrap();
    }
}
