//! Other programs: run one to its end within a time limit, or keep one in the background until dropped.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

/// How long a short command may take before it is killed. Generous: two cores also compile meanwhile.
pub const SHORT: Duration = Duration::from_secs(30);

/// What a finished program left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

/// Runs a command to its end, whatever its exit status; kills its whole process group at the limit.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Finished> {
    let text = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("starting {text}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let Some(status) = wait(&mut child, limit)? else {
        killpg(group(&child), Signal::SIGKILL).ok();
        child.wait()?;
        bail!("{text} did not end within {limit:?}");
    };
    let text_of = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Finished { status, stdout: text_of(stdout), stderr: text_of(stderr) })
}

/// Runs a command that must succeed, within [`SHORT`], and returns its standard output.
///
/// # Errors
/// When it fails; the error carries what it wrote to standard error.
pub fn run(command: &mut Command) -> Result<String> {
    run_within(command, SHORT)
}

/// [`run`] with another limit.
///
/// # Errors
/// As [`run`].
pub fn run_within(command: &mut Command, limit: Duration) -> Result<String> {
    let text = format!("{command:?}");
    let done = finish(command, limit)?;
    if !done.status.success() {
        bail!("{text}: {}: {}{}", done.status, done.stderr.trim(), done.stdout.trim());
    }
    Ok(done.stdout)
}

/// A command from words.
pub fn command<I, S>(program: &str, args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(args);
    command
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).ok();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn group(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A program in the background, its output in a log file; ended when dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// When the log file cannot be made or the program cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let text = format!("{command:?}");
        let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {text}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its process id (`nsenter` without a fork becomes the program itself).
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        kill(group(&self.child), signal).ok();
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within the limit.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match wait(&mut self.child, limit)? {
            Some(status) => Ok(status),
            None => bail!("process {} did not end within {limit:?}; log: {}", self.id(), self.log()),
        }
    }

    /// Asks it to end, and kills it when it does not.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM);
        if let Some(status) = wait(&mut self.child, patience)? {
            return Ok(status);
        }
        killpg(group(&self.child), Signal::SIGKILL).ok();
        Ok(self.child.wait()?)
    }

    /// Leaves it running: the lab outlives the command that built it.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.stop(Duration::from_secs(5)).ok();
        }
    }
}

/// Asks again every 20 ms until it gets an answer.
///
/// # Errors
/// When there is none within the limit; `what` says what was waited for, and the last refusal is added.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("waited {limit:?} for {what}")));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Ends a process that is not our child: SIGTERM, and SIGKILL after five seconds.
pub fn end(pid: i32) {
    let alive = || Path::new(&format!("/proc/{pid}")).exists();
    kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
    let deadline = Instant::now() + Duration::from_secs(5);
    while alive() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    if alive() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
}

/// One of this package's own programs: cargo puts them beside, or one directory above, the test binary.
///
/// # Errors
/// When it is not built.
pub fn own_program(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!("`{name}` is not built beside {}; run cargo build -p netobs-tests", here.display())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_over_its_limit_is_killed_with_its_children() {
        let started = Instant::now();
        let error =
            finish(&mut command("sh", ["-c", "sleep 60 & wait"]), Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_failed_command_reports_its_standard_error() {
        let error = run(&mut command("sh", ["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
    }

    #[test]
    fn a_dropped_background_program_is_gone() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let program = Background::start(&mut command("sleep", ["60"]), log.path()).unwrap();
        let id = program.id();
        drop(program);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }
}
