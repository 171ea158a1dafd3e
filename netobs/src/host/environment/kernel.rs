//! Release text and processor list → numbers.

use std::fmt;

/// Version of a kernel, ordered as releases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number, 0 where there is none.
    pub patch: u32,
}

impl KernelVersion {
    /// TCX exists.
    pub const TCX: Self = Self { major: 6, minor: 6, patch: 0 };
    /// Maps are no longer charged to the limit of locked memory.
    pub const NO_MEMLOCK: Self = Self { major: 5, minor: 11, patch: 0 };
    /// `CAP_BPF` and `CAP_PERFMON` exist.
    pub const CAP_BPF: Self = Self { major: 5, minor: 8, patch: 0 };

    /// From a release such as `6.1.0-18-amd64` or `6.18-rc3`.
    #[must_use]
    pub fn parse(release: &str) -> Option<Self> {
        let end =
            release.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(release.len());
        let mut numbers = release.get(..end)?.split('.').map(str::parse::<u32>);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().and_then(Result::ok).unwrap_or_default();
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// How many processors a list such as `0-3,8` allows: up to the highest number, as the kernel sizes per-CPU
/// values by it; `None` for what is no such list.
#[must_use]
pub fn possible_cpus(list: &str) -> Option<u32> {
    let mut highest = None;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last < first {
            return None;
        }
        highest = highest.max(Some(last));
    }
    highest?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(release: &str) -> Option<(u32, u32, u32)> {
        KernelVersion::parse(release).map(|version| (version.major, version.minor, version.patch))
    }

    #[test]
    fn releases_of_distributions_are_understood() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1, 0)));
        assert_eq!(version("5.14.0-427.el9.x86_64"), Some((5, 14, 0)));
        assert_eq!(version("6.18-rc3"), Some((6, 18, 0)));
        assert_eq!(version("6.18.4+"), Some((6, 18, 4)));
        assert_eq!(version("linux"), None);
        assert_eq!(version("6"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn versions_are_ordered_by_number() {
        assert!(KernelVersion::parse("6.10.1") > Some(KernelVersion::TCX));
        assert!(KernelVersion::parse("5.9.0") < Some(KernelVersion::NO_MEMLOCK));
    }

    #[test]
    fn processors_are_counted_up_to_the_highest() {
        assert_eq!(possible_cpus("0-1\n"), Some(2));
        assert_eq!(possible_cpus("0"), Some(1));
        assert_eq!(possible_cpus("0-3,8"), Some(9));
        assert_eq!(possible_cpus(""), None);
        assert_eq!(possible_cpus("3-1"), None);
        assert_eq!(possible_cpus("0-4294967295"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[0-9,.\\-a-z]{0,30}") {
            proptest::prop_assert!(possible_cpus(&text) != Some(0));
            proptest::prop_assert!(KernelVersion::parse(&text).is_none_or(|_| text.contains('.')));
        }
    }
}
