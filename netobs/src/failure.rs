//! An error → one line on standard error and an exit status.

use std::{fmt, io};

/// What a failure means for the caller, as the exit status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 1: the question was answered with no: not reachable, or `doctor` found something missing.
    Negative,
    /// 2: the command line or the configuration is wrong.
    Usage,
    /// 3: no privilege, or no agent.
    Access,
    /// 4: anything else.
    Unknown,
}

impl Status {
    /// The process's exit status.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Negative => 1,
            Self::Usage => 2,
            Self::Access => 3,
            Self::Unknown => 4,
        }
    }
}

/// An error that knows its exit status. As the root of an `anyhow::Error` or as a context of it, it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit status it leads to.
    pub status: Status,
    message: String,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { status: Status::Usage, message: message.into() }
    }

    /// No privilege, or no agent.
    pub fn access(message: impl Into<String>) -> Self {
        Self { status: Status::Access, message: message.into() }
    }

    /// What was asked for does not hold.
    pub fn negative(message: impl Into<String>) -> Self {
        Self { status: Status::Negative, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit status of an error: what a [`Failure`] in it says, else 3 where the kernel refused permission.
#[must_use]
pub fn status(error: &anyhow::Error) -> Status {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.status;
    }
    let refused = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::PermissionDenied)
    };
    if error.chain().any(refused) { Status::Access } else { Status::Unknown }
}

/// The whole chain of an error on one line. A cause that its context already quotes is not said twice.
#[must_use]
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = flatten(&cause.to_string());
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// A text on one line: runs of white space and control characters become one space.
#[must_use]
pub fn flatten(text: &str) -> String {
    let words = text.split(|one: char| one.is_whitespace() || one.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn an_error_of_several_lines_becomes_one() {
        let error = anyhow!("verifier says:\n  0: (bf)\tr6 = r1\n").context("loading the classifier");
        assert_eq!(one_line(&error), "loading the classifier: verifier says: 0: (bf) r6 = r1");
    }

    #[test]
    fn a_cause_is_not_said_twice() {
        let error = anyhow!("no such file").context("/etc/x: no such file");
        assert_eq!(one_line(&error), "/etc/x: no such file");
    }

    #[test]
    fn a_failure_decides_the_status_wherever_it_stands() {
        let root = anyhow::Error::new(Failure::usage("bad")).context("reading settings");
        let context = Err::<(), _>(anyhow!("EPERM")).context(Failure::access("needs CAP_BPF")).unwrap_err();
        assert_eq!(status(&root).code(), 2);
        assert_eq!(status(&context).code(), 3);
        assert_eq!(one_line(&context), "needs CAP_BPF: EPERM");
    }

    #[test]
    fn permission_denied_is_a_lack_of_privilege_and_anything_else_unknown() {
        let denied =
            anyhow::Error::new(io::Error::from(io::ErrorKind::PermissionDenied)).context("attaching");
        assert_eq!(status(&denied), Status::Access);
        assert_eq!(status(&anyhow!("odd")).code(), 4);
    }
}
