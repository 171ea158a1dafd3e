//! `netobs doctor`: what this host allows, as a table or a document.

use std::process::ExitCode;

use jiff::Timestamp;

use super::{
    args::{Cli, DoctorArgs, Output},
    output, settings, wait,
};
use crate::{
    doctor::{self, Check, DoctorDocument},
    failure::Status,
};

pub(super) fn run(cli: &Cli, arguments: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let settings = settings(cli)?;
    let findings = wait(async { Ok(doctor::read(&settings).await?) })?;
    let node = nix::sys::utsname::uname()?;
    let checks = doctor::checks(&findings);
    let document = DoctorDocument::new(&node.nodename().to_string_lossy(), Timestamp::now(), checks);
    match arguments.output {
        Output::Json => output::print_json(&document)?,
        Output::Table => output::print(&table(&document.checks))?,
    };
    Ok(ExitCode::from(if document.is_incomplete() { Status::Negative.code() } else { 0 }))
}

/// A line for each check, and one with what to do under those that are not ok.
fn table(checks: &[Check]) -> String {
    let wide =
        |text: fn(&Check) -> &str| checks.iter().map(|one| text(one).chars().count()).max().unwrap_or(0);
    let (names, found) = (wide(|one| &one.name), wide(|one| &one.found).min(60));
    let mut lines = format!("{:names$}  {:8}  {:found$}  NEEDED FOR\n", "CHECK", "STATUS", "FOUND");
    for one in checks {
        let status = one.status.name();
        lines.push_str(&format!(
            "{:names$}  {status:8}  {:found$}  {}\n",
            one.name, one.found, one.needed_for
        ));
        if let Some(fix) = &one.fix {
            lines.push_str(&format!("{:names$}  {:8}  → {fix}\n", "", ""));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::CheckStatus;

    #[test]
    fn what_to_do_stands_under_what_is_not_ok() {
        let check = |name: &str, status, fix: Option<&str>| Check {
            name: name.into(),
            status,
            found: "x".into(),
            needed_for: "everything".into(),
            fix: fix.map(Into::into),
        };
        let checks = [
            check("kernel", CheckStatus::Ok, None),
            check("btf", CheckStatus::Missing, Some("boot another")),
        ];
        assert_eq!(
            table(&checks),
            "CHECK   STATUS    FOUND  NEEDED FOR\n\
             kernel  ok        x  everything\n\
             btf     missing   x  everything\n\
             \x20                 → boot another\n"
        );
    }
}
