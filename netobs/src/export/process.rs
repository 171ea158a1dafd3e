//! /proc about this process → the `process_*` metrics. A figure that cannot be read is left out.

use std::fs;

/// This process, as the kernel accounts it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// When it started, seconds since 1970.
    pub start_time: Option<f64>,
    /// Processor time, user and system, seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory, bytes.
    pub resident_bytes: Option<u64>,
    /// Address space, bytes.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The soft limit of file descriptors.
    pub max_fds: Option<u64>,
}

impl Process {
    /// Reads it now.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let stat = stat(&text("/proc/self/stat"));
        let ticks = setting(libc::_SC_CLK_TCK).unwrap_or(100.0);
        Self {
            start_time: boot_time(&text("/proc/stat"))
                .zip(stat.map(|stat| stat.start_ticks))
                .map(|(boot, start)| boot + start / ticks),
            cpu_seconds: stat.map(|stat| stat.cpu_ticks / ticks),
            resident_bytes: stat
                .zip(setting(libc::_SC_PAGESIZE))
                .map(|(stat, page)| stat.resident_pages.saturating_mul(page as u64)),
            virtual_bytes: stat.map(|stat| stat.virtual_bytes),
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as u64),
            max_fds: open_files(&text("/proc/self/limits")),
        }
    }
}

fn setting(name: libc::c_int) -> Option<f64> {
    // SAFETY: sysconf takes a number and touches no memory of ours.
    let value = unsafe { libc::sysconf(name) };
    (value > 0).then_some(value as f64)
}

/// The fields of /proc/PID/stat used here (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    start_ticks: f64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// The name of a process may hold blanks and brackets: fields are counted from the last bracket.
fn stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        cpu_ticks: (number(14)? + number(15)?) as f64,
        start_ticks: number(22)? as f64,
        virtual_bytes: number(23)?,
        resident_pages: number(24)?,
    })
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text =
            "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 11 22 0 0 20 0 1 0 333 4096 5 18446744073709551615";
        let expected = Stat { cpu_ticks: 33.0, start_ticks: 333.0, virtual_bytes: 4096, resident_pages: 5 };
        assert_eq!(stat(text), Some(expected));
        assert_eq!(stat("7 (a) S 1"), None);
        assert_eq!(stat(""), None);
    }

    #[test]
    fn limits_without_a_number_are_left_out() {
        assert_eq!(
            open_files("Max open files            1024                 4096                 files\n"),
            Some(1024)
        );
        assert_eq!(
            open_files("Max open files            unlimited            unlimited            files\n"),
            None
        );
    }

    #[test]
    fn this_process_can_be_read() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 100_000);
        assert!(process.open_fds.unwrap() >= 3);
        assert!(process.start_time.unwrap() > 1.5e9);
        assert!(process.virtual_bytes >= process.resident_bytes);
    }
}
