//! Network namespaces of our own: made, entered, and removed with every process in them, also after a panic;
//! what a killed run left is swept at the next start.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::process::{command, run};

/// What the names of our namespaces start with; the maker's process id follows.
pub const PREFIX: &str = "nobt";

/// A named network namespace, removed when dropped.
#[derive(Debug)]
pub struct Netns {
    name: String,
    keep: bool,
}

/// A namespace somebody else owns (a container's), by its file.
#[derive(Clone, Debug)]
pub struct Stack {
    file: PathBuf,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A name no other namespace of this or another living process has.
#[must_use]
pub fn unique(word: &str) -> String {
    format!("{PREFIX}{}-{}-{word}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Netns {
    /// Makes one with a unique name and `lo` up.
    ///
    /// # Errors
    /// Without privilege.
    pub fn new(word: &str) -> Result<Self> {
        Self::named(&unique(word))
    }

    /// Makes one of this very name.
    ///
    /// # Errors
    /// When it exists, or without privilege.
    pub fn named(name: &str) -> Result<Self> {
        run(&mut command("ip", ["netns", "add", name]))?;
        let made = Self { name: name.into(), keep: false };
        made.batch("link set lo up")?;
        Ok(made)
    }

    /// Its name under `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As a stack that can be entered.
    #[must_use]
    pub fn stack(&self) -> Stack {
        Stack { file: Path::new("/run/netns").join(&self.name) }
    }

    /// Runs `ip` commands in it, one a line, all in one process.
    ///
    /// # Errors
    /// With the line `ip` refuses.
    pub fn batch(&self, lines: &str) -> Result<()> {
        self.stack().batch(lines)
    }

    /// Sets a sysctl, named as below `/proc/sys`, in it alone.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.stack().sysctl(name, value)
    }

    /// Leaves it behind when dropped: the lab outlives the command that built it.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if !self.keep {
            remove(&self.name).ok();
        }
    }
}

impl Stack {
    /// The stack of a process.
    #[must_use]
    pub fn of_process(pid: u32) -> Self {
        Self { file: format!("/proc/{pid}/ns/net").into() }
    }

    /// The stack this program runs in.
    #[must_use]
    pub fn own() -> Self {
        Self { file: "/proc/self/ns/net".into() }
    }

    /// The namespace's file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A command that will run in it. `nsenter`, not `ip netns exec`: that one would hide cgroups and bpffs.
    pub fn command<I, S>(&self, program: &str, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--net={}", self.file.display())).arg("--").arg(program).args(args);
        enter
    }

    /// Runs a short command line, split at blanks, in it; it must succeed.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().context("empty command line")?;
        run(&mut self.command(program, words))
    }

    /// [`Netns::batch`].
    ///
    /// # Errors
    /// With the line `ip` refuses.
    pub fn batch(&self, lines: &str) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), lines)?;
        run(self.command("ip", ["-batch"]).arg(file.path()))
            .with_context(|| format!("ip commands:\n{lines}"))?;
        Ok(())
    }

    /// [`Netns::sysctl`].
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.within(|| fs::write(Path::new("/proc/sys").join(name), value))?
            .with_context(|| format!("setting {name} to {value}"))
    }

    /// Runs a closure on a thread of its own inside the namespace; sockets it opens stay there.
    ///
    /// # Errors
    /// When the namespace is gone or the closure panics.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = fs::File::open(&self.file).with_context(|| format!("opening {}", self.file.display()))?;
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(file.as_fd(), CloneFlags::CLONE_NEWNET).context("entering the namespace")?;
                    Ok(work())
                })
                .join()
                .map_err(|panic| {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    anyhow!("panic in the namespace: {}", text.unwrap_or("no text"))
                })?
        })
    }
}

/// Removes a namespace by name, first ending every process in it.
///
/// # Errors
/// When the kernel refuses.
pub fn remove(name: &str) -> Result<()> {
    end_processes_in(&Path::new("/run/netns").join(name));
    run(&mut command("ip", ["netns", "del", name]))?;
    Ok(())
}

/// Ends every process whose network namespace is this file's: SIGTERM, and SIGKILL after two seconds.
pub fn end_processes_in(file: &Path) {
    end(file, Signal::SIGTERM);
}

/// [`end_processes_in`] without asking: a container's first process ignores SIGTERM.
pub fn kill_processes_in(file: &Path) {
    end(file, Signal::SIGKILL);
}

fn end(file: &Path, mut signal: Signal) {
    let Ok(namespace) = identity(file) else { return };
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let inside = processes_in(namespace);
        if inside.is_empty() {
            return;
        }
        for pid in inside {
            kill(Pid::from_raw(pid), signal).ok();
        }
        if Instant::now() > deadline {
            if signal == Signal::SIGKILL {
                return;
            }
            signal = Signal::SIGKILL;
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Device and inode of a namespace file: what makes two of them the same.
///
/// # Errors
/// When it cannot be read.
pub fn identity(file: &Path) -> Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let data = fs::metadata(file).with_context(|| format!("reading {}", file.display()))?;
    Ok((data.dev(), data.ino()))
}

/// Processes in a namespace; none at all if it is this program's own or the machine's.
fn processes_in(namespace: (u64, u64)) -> Vec<i32> {
    let spared = ["/proc/self/ns/net", "/proc/1/ns/net"];
    if spared.iter().any(|file| identity(Path::new(file)).ok() == Some(namespace)) {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| identity(Path::new(&format!("/proc/{pid}/ns/net"))).ok() == Some(namespace))
        .collect()
}

/// Removes the namespaces of runs that were killed: ours by name, and their maker no longer alive.
pub fn sweep() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        if maker(&name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&name).ok();
        }
    }
}

/// The process id in a name of ours.
#[must_use]
pub fn maker(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_maker_and_others_names_tell_nobody() {
        assert_eq!(maker(&unique("node")), Some(std::process::id()));
        assert_eq!(maker("nobt12-0-node"), Some(12));
        assert_eq!(maker("cni-1234"), None);
        assert_eq!(maker("nobtx-1"), None);
    }
}
