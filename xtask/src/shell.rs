//! Program and arguments → its exit status or its output; an error names the command.

use std::{
    env,
    ffi::OsStr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};

/// Where a program lies: in `PATH`, or in the directories of root's programs, which Debian leaves out of
/// the `PATH` of others.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let root = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(root).map(|directory| directory.join(program)).find(|file| executable(file))
}

fn executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// Runs a command in front of the user; an error unless it exits with 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// What a command prints on standard output; an error with its standard error unless it exits with 0.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", describe(command)))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", describe(command), output.status, told.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Whether a command exits with 0; it is silent.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Whether a command that may talk to the user exits with 0.
pub(crate) fn succeeds_in_front(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// Becomes the command, so that its output, its signals and its exit status are ours.
pub(crate) fn replace(command: &mut Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", describe(command)))
}

/// The command line, for messages.
pub(crate) fn describe(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_last_words() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).expect_err("exit 3");
        assert_eq!(error.to_string(), "sh -c echo broken >&2; exit 3 failed (exit status: 3): broken");
    }

    #[test]
    fn a_program_that_is_nowhere_is_not_found() {
        assert_eq!(find("netobs-no-such-program"), None);
        assert!(find("sh").is_some());
    }
}
