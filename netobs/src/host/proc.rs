//! Reading a process below `/proc`: bounded, and never mistaking a later process for an earlier one.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::PathBuf,
};

/// No file read here is longer in practice; a command line may be up to 2 MiB and is cut.
const LONGEST: u64 = 256 * 1024;

/// The processes there are now, ascending. Empty where `/proc` is not readable.
#[must_use]
pub fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// The path of a file of a process.
#[must_use]
pub fn path(pid: u32, name: &str) -> PathBuf {
    ["/proc", &pid.to_string(), name].iter().collect()
}

/// A file of a process as bytes, cut at 256 KiB.
///
/// # Errors
/// The process is gone, or is not ours to look at.
pub fn read(pid: u32, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path(pid, name))?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file of a process as text, cut at 256 KiB.
///
/// # Errors
/// As [`read`].
pub fn text(pid: u32, name: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(pid, name)?).into_owned())
}

/// The name of a process's main thread, at most 15 bytes of it.
#[must_use]
pub fn command(pid: u32) -> Option<String> {
    Some(text(pid, "comm").ok()?.trim_end().to_owned())
}

/// The arguments a process was started with.
///
/// # Errors
/// As [`read`].
pub fn arguments(pid: u32) -> io::Result<Vec<String>> {
    Ok(split_arguments(&read(pid, "cmdline")?))
}

/// When a process started, in ticks since boot: with the pid, what tells it from a later one of that pid.
///
/// # Errors
/// As [`read`].
pub fn start_time(pid: u32) -> io::Result<u64> {
    let stat = text(pid, "stat")?;
    parse_start_time(&stat)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/PID/stat"))
}

/// Whether a process is there and has not ended already.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    text(pid, "stat").is_ok_and(|stat| !matches!(parse_state(&stat), None | Some("Z" | "X")))
}

/// Does something with a process and makes sure that it was the same one all along; `None` if it was not,
/// is gone, or is not ours to look at.
pub fn same<T>(pid: u32, look: impl FnOnce(u64) -> Option<T>) -> Option<T> {
    let before = start_time(pid).ok()?;
    let found = look(before)?;
    (start_time(pid).ok()? == before).then_some(found)
}

/// Field 3 of `/proc/PID/stat`.
fn parse_state(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().next()
}

/// Field 22 of `/proc/PID/stat`. The second field is the name in parentheses, which may hold any of both.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    // What follows the name is field 3.
    after_name.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn split_arguments(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_a_hostile_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21";
        assert_eq!(parse_start_time(&format!("42 (a) b (c) {rest}")), Some(777));
        assert_eq!(parse_state(&format!("42 (Z) Z) {rest}")), Some("S"));
        assert_eq!(parse_start_time("42 (a"), None);
        assert_eq!(parse_start_time("42 (a) S 1"), None);
    }

    #[test]
    fn empty_arguments_are_arguments() {
        assert_eq!(split_arguments(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(split_arguments(b""), Vec::<String>::new());
        assert_eq!(split_arguments(b"cut off"), ["cut off"]);
    }

    #[test]
    fn our_own_process_is_the_same_and_one_that_is_not_is_none() {
        let pid = std::process::id();
        assert_eq!(same(pid, Some), start_time(pid).ok());
        assert!(pids().contains(&pid));
        assert!(is_alive(pid) && !is_alive(u32::MAX));
        assert_eq!(same(u32::MAX, Some), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,200}") {
            proptest::prop_assert!(parse_start_time(&text).is_none_or(|_| text.contains(')')));
            proptest::prop_assert!(split_arguments(text.as_bytes()).len() <= text.len());
        }
    }
}
