//! One node and its outside world as two namespaces: uplink, default route, IPv4 and IPv6, and directories
//! that vanish with it. The node's namespace is the host an agent observes.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    netns::{self, Netns, Stack},
    process::{command, run},
};

/// The node's address on its uplink.
pub const NODE: &str = "198.51.100.2";
/// The router at the other end, part of the outside.
pub const ROUTER: &str = "198.51.100.1";
/// A server further out.
pub const SERVER: &str = "203.0.113.10";
/// The node's IPv6 address.
pub const NODE_V6: &str = "2001:db8:1::2";
/// The server's IPv6 address.
pub const SERVER_V6: &str = "2001:db8:2::10";
/// The node's uplink; the outside calls its end the same.
pub const UPLINK: &str = "up0";

/// Prefixes the lab uses; a host that already routes one of them is left alone.
pub const PREFIXES: &[&str] = &["198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];

/// Where the sites of living test processes keep their files.
const FILES: &str = "/var/tmp";

/// A node, and what lies beyond its uplink.
#[derive(Debug)]
pub struct Site {
    /// The node.
    pub node: Netns,
    /// The outside world.
    pub outside: Netns,
    directory: PathBuf,
    keep: bool,
}

impl Site {
    /// A site for one test program, after sweeping what killed ones left.
    ///
    /// # Errors
    /// Without privilege.
    pub fn new() -> Result<Self> {
        sweep();
        let node = netns::unique("node");
        let outside = netns::unique("outside");
        let directory = PathBuf::from(FILES).join(&node);
        Self::build(&node, &outside, directory)
    }

    /// A site of these names, its files in `directory`.
    ///
    /// # Errors
    /// When one of them exists, or without privilege.
    pub fn build(node: &str, outside: &str, directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let node = Netns::named(node)?;
        let outside = Netns::named(outside)?;
        let site = Self { node, outside, directory, keep: false };
        site.connect()?;
        Ok(site)
    }

    fn connect(&self) -> Result<()> {
        for side in [&self.node, &self.outside] {
            // Duplicate address detection would delay the first IPv6 packet by seconds.
            side.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
            side.sysctl("net/ipv6/conf/default/router_solicitations", "0")?;
            side.sysctl("net/ipv6/conf/all/forwarding", "1")?;
            side.sysctl("net/ipv4/ip_forward", "1")?;
        }
        self.node.batch(&format!(
            "link add {UPLINK} type veth peer name {UPLINK} netns {}\n\
             addr add {NODE}/24 dev {UPLINK}\naddr add {NODE_V6}/64 dev {UPLINK} nodad\n\
             link set {UPLINK} up\n",
            self.outside.name()
        ))?;
        self.outside.batch(&format!(
            "addr add {ROUTER}/24 dev {UPLINK}\naddr add 2001:db8:1::1/64 dev {UPLINK} nodad\n\
             link set {UPLINK} up\naddr add {SERVER}/32 dev lo\naddr add {SERVER_V6}/128 dev lo nodad\n\
             route add 2001:db8::/32 via {NODE_V6}\n"
        ))?;
        self.node.batch(&format!("route add default via {ROUTER}\nroute add default via 2001:db8:1::1\n"))
    }

    /// A directory of the site's own, removed with it.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// The node's stack.
    #[must_use]
    pub fn node(&self) -> Stack {
        self.node.stack()
    }

    /// The outside's stack.
    #[must_use]
    pub fn outside(&self) -> Stack {
        self.outside.stack()
    }

    /// Leaves everything behind.
    pub fn leave(mut self) {
        self.keep = true;
        self.node.keep();
        self.outside.keep();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !self.keep {
            crate::dockerd::clear(&self.directory);
        }
    }
}

/// Refuses a prefix this machine already routes otherwise than by its default route.
///
/// # Errors
/// With the prefix and the route.
pub fn refuse_routed_prefixes(prefixes: &[&str]) -> Result<()> {
    for prefix in prefixes {
        for scope in ["match", "root"] {
            let family = if prefix.contains(':') { "-6" } else { "-4" };
            let found = run(&mut command("ip", [family, "route", "show", "table", "all", scope, prefix]))?;
            let route = found.lines().find(|line| !is_catch_all(line));
            if let Some(route) = route {
                bail!("this machine already routes {prefix} ({}); the lab will not use it", route.trim());
            }
        }
    }
    Ok(())
}

fn is_catch_all(route: &str) -> bool {
    let route = route.trim_start_matches("unreachable ").trim_start_matches("blackhole ");
    route.starts_with("default") || route.starts_with("multicast") || route.starts_with("ff00::/8")
}

/// Removes namespaces, daemons, mounts and files of test programs that were killed.
pub fn sweep() {
    for entry in fs::read_dir(FILES).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if netns::maker(&name).is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            crate::pods::clear(&entry.path().join("pods"));
            crate::dockerd::clear(&entry.path());
        }
    }
    netns::sweep();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_default_route_may_cover_a_prefix() {
        assert!(is_catch_all("default via 192.0.2.1 dev eth0"));
        assert!(is_catch_all("unreachable default dev lo metric 4294967295 error -101"));
        assert!(!is_catch_all("198.51.0.0/16 via 192.0.2.1 dev eth0"));
    }
}
