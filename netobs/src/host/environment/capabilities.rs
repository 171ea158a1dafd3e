//! `/proc/self/status` → the privileges this process has.

/// Effective capabilities as the kernel's bit mask (`capability.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Configure the network, attach to an interface, listen to conntrack.
    pub const NET_ADMIN: Self = Self(1 << 12);
    /// Look into processes of other users.
    pub const SYS_PTRACE: Self = Self(1 << 19);
    /// Enter namespaces; everything BPF before 5.8.
    pub const SYS_ADMIN: Self = Self(1 << 21);
    /// Raise limits, the one of locked memory among them.
    pub const SYS_RESOURCE: Self = Self(1 << 24);
    /// Load tracing programs, and programs with pointer arithmetic.
    pub const PERFMON: Self = Self(1 << 38);
    /// Load programs and make maps.
    pub const BPF: Self = Self(1 << 39);

    /// Those six by their kernel names.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("CAP_NET_ADMIN", Self::NET_ADMIN),
        ("CAP_BPF", Self::BPF),
        ("CAP_PERFMON", Self::PERFMON),
        ("CAP_SYS_ADMIN", Self::SYS_ADMIN),
        ("CAP_SYS_PTRACE", Self::SYS_PTRACE),
        ("CAP_SYS_RESOURCE", Self::SYS_RESOURCE),
    ];

    /// Whether all of `wanted` are there.
    #[must_use]
    pub const fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The `CapEff` line of `/proc/PID/status`.
    #[must_use]
    pub fn parse(status: &str) -> Option<Self> {
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(mask.trim(), 16).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read_and_no_other() {
        let status =
            "CapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t000000c000001000\nCapBnd:\t0\n";
        let found = Capabilities::parse(status).unwrap();
        assert!(found.has(Capabilities::BPF.and(Capabilities::PERFMON).and(Capabilities::NET_ADMIN)));
        assert!(!found.has(Capabilities::SYS_ADMIN));
        assert!(!found.has(Capabilities::BPF.and(Capabilities::SYS_PTRACE)), "all of them are asked for");
    }

    #[test]
    fn a_status_without_the_line_has_no_answer() {
        assert_eq!(Capabilities::parse("Name:\tx\n"), None);
        assert_eq!(Capabilities::parse("CapEff:\tzz\n"), None);
    }
}
