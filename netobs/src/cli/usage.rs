//! What the command line parser complains about → one line that says what to do.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use crate::failure::flatten;

/// The complaint on one line, without the parser's layout. `typed` are the arguments: a wrong value that is
/// not among them came from the environment, and the line says so.
#[must_use]
pub(super) fn one_line(error: &Error, typed: &[String]) -> String {
    if matches!(
        error.kind(),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        return "say what to do: agent, top, endpoints, flows, doctor or cleanup; `netobs --help` explains them".into();
    }
    let text = error.render().to_string();
    let mut parts = text.split("\n\n");
    let complaint = flatten(parts.next().unwrap_or_default());
    let mut line = complaint.strip_prefix("error: ").unwrap_or(&complaint).to_owned();
    for part in parts {
        let part = flatten(part);
        if let Some(tip) = part.strip_prefix("tip: ") {
            line.push_str("; ");
            line.push_str(tip);
        }
    }
    if let Some(variable) = variable(error, typed) {
        line.push_str(&format!(" (from the environment: {variable})"));
    }
    line
}

/// The environment variable a wrong value came from, if nobody typed its flag.
fn variable(error: &Error, typed: &[String]) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = argument.split_whitespace().next()?.strip_prefix("--")?;
    let long = format!("--{flag}");
    let was_typed = |one: &String| *one == long || one.starts_with(&format!("{long}="));
    if typed.iter().any(was_typed) {
        return None;
    }
    let name = format!("NETOBS_{}", flag.to_uppercase().replace('-', "_"));
    std::env::var_os(&name).map(|_| name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{super::args::Cli, *};

    fn complaint(arguments: &[&str]) -> String {
        let typed: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let error =
            Cli::try_parse_from(std::iter::once("netobs".to_owned()).chain(typed.clone())).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let line = one_line(&error, &typed);
        assert!(!line.contains('\n') && !line.contains('\x1b'), "{line:?}");
        line
    }

    #[test]
    fn an_unknown_flag_is_named_with_its_likely_meaning() {
        assert_eq!(
            complaint(&["agent", "--max-flow", "7"]),
            "unexpected argument '--max-flow' found; a similar argument exists: '--max-flows'"
        );
        assert_eq!(complaint(&["top", "--frobnicate"]), "unexpected argument '--frobnicate' found");
    }

    #[test]
    fn an_unknown_command_is_named_with_its_likely_meaning() {
        assert_eq!(
            complaint(&["flow"]),
            "unrecognized subcommand 'flow'; a similar subcommand exists: 'flows'"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_the_right_ones() {
        let line = complaint(&["flows", "--path", "air"]);
        assert!(
            line.starts_with("invalid value 'air' for '--path <PATH>' [possible values: loopback, "),
            "{line}"
        );
        assert!(
            complaint(&["agent", "--max-flows", "many"])
                .starts_with("invalid value 'many' for '--max-flows <N>'")
        );
        assert!(complaint(&["agent", "--metrics-listen", "9777"]).contains("invalid socket address"));
    }

    #[test]
    fn no_command_at_all_lists_them() {
        assert!(complaint(&[]).starts_with("say what to do: agent, top, "));
    }
}
