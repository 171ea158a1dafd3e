//! Kernel settings below `/proc/sys`, of the calling thread's network namespace where they belong to one.

use std::{fs, path::PathBuf};

/// The setting of that dotted name, without surrounding white space; `None` where the kernel has none or
/// does not let us read it.
#[must_use]
pub fn read(name: &str) -> Option<String> {
    let path: PathBuf = ["/proc/sys", &name.replace('.', "/")].iter().collect();
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The setting as a number; `None` also where it is none.
#[must_use]
pub fn read_u64(name: &str) -> Option<u64> {
    read(name)?.parse().ok()
}

/// A setting of an interface, `family` being `ipv4` or `ipv6`. An interface's name may have dots in it.
#[must_use]
pub fn of_interface(family: &str, interface: &str, setting: &str) -> Option<String> {
    let path: PathBuf = ["/proc/sys/net", family, "conf", interface, setting].iter().collect();
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_by_their_dotted_name() {
        assert!(read("kernel.ostype").is_some_and(|name| name == "Linux"));
        assert_eq!(read_u64("kernel.ostype"), None, "it is no number");
        assert_eq!(read("net.no_such_setting"), None);
        assert!(of_interface("ipv4", "lo", "forwarding").is_some());
        assert_eq!(of_interface("ipv4", "no.such0", "forwarding"), None);
    }
}
