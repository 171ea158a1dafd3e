//! A network namespace → everything it is configured with, for a question that somebody asks now.

use std::path::Path;

use netlink_sys::protocols::NETLINK_ROUTE;

use super::{
    decode,
    facts::{Facts, stack::Stack},
    firewall,
    health::WatchHealth,
    listeners,
    namespaces::{self, InnerError},
    netlink::dump,
    settings, watch,
};

/// Interfaces whose settings are read: a thousand cost some milliseconds.
const INTERFACES: usize = 1_024;

/// Reads the calling thread's namespace, with as much of the firewall as there is room for, in bytes. What cannot be read
/// is said in [`Stack::unread`].
pub async fn read(room: usize) -> Stack {
    let mut stack = Stack {
        inode: namespaces::inode(Path::new("/proc/thread-self/ns/net")).unwrap_or_default(),
        ..Stack::default()
    };
    let health = WatchHealth::default();
    match watch::facts(&health).await {
        Ok(facts) => stack.facts = facts,
        Err(error) => stack.unread.push(format!("links, addresses, routes and neighbours: {error:#}")),
    }
    let counts = health.counts();
    if counts.incomplete + counts.undecoded > 0 {
        stack.unread.push("some of the links, addresses, routes and neighbours".to_owned());
    }
    match dump(NETLINK_ROUTE, libc::RTM_GETLINK, &[0; 16], decode::dumped_port).await {
        Ok(dumped) => stack.ports = dumped.entries.into_iter().collect(),
        Err(error) => stack.unread.push(format!("ports of bridges: {error:#}")),
    }
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut fixed = [0; 12];
        fixed[0] = family as u8;
        match dump(NETLINK_ROUTE, libc::RTM_GETRULE, &fixed, decode::dumped_rule).await {
            Ok(dumped) => {
                if dumped.is_incomplete() || dumped.undecoded > 0 {
                    stack.unread.push("some of the rules of policy routing".to_owned());
                }
                stack.rules.extend(dumped.entries);
            }
            Err(error) => stack.unread.push(format!("rules of policy routing: {error:#}")),
        }
    }
    stack.rules.sort_by_key(|rule| rule.priority);
    read_settings(&mut stack);
    stack.listeners = listeners::read();
    let rules = match firewall::dump(room).await {
        Ok(ruleset) => {
            if ruleset.incomplete {
                stack.unread.push("some of the firewall's rules".to_owned());
            }
            ruleset
        }
        Err(error) => {
            stack.unread.push(format!("{error:#}"));
            firewall::unseen()
        }
    };
    stack.firewall = Some(rules);
    stack
}

/// Reads a namespace by its file.
///
/// # Errors
/// It is gone, or may not be entered.
pub async fn read_in(namespace: &Path) -> Result<Stack, InnerError> {
    namespaces::within(namespace, async |_, _| Ok(read(firewall::ROOM_OF_ENDPOINT).await)).await
}

fn read_settings(stack: &mut Stack) {
    let Stack { facts: Facts { links, .. }, sysctls, unread, .. } = stack;
    *sysctls = settings::read(links.values().take(INTERFACES).map(|link| link.name.as_str()));
    if links.len() > INTERFACES {
        unread.push(format!("settings of {} of {} interfaces", links.len() - INTERFACES, links.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::facts::{LinkKind, stack::Way};

    #[tokio::test]
    async fn the_own_stack_is_read_whole() {
        let stack = read(firewall::ROOM_OF_HOST).await;
        assert_eq!(stack.inode, namespaces::own_namespace().unwrap());
        assert!(stack.facts.links.values().any(|link| link.kind == LinkKind::Loopback));
        assert!(stack.sysctl("net.ipv4.ip_forward").is_some());
        assert!(stack.sysctl("net.ipv4.conf.lo.rp_filter").is_some());
        assert!(stack.rules.iter().any(|rule| !rule.v6 && rule.priority == 0), "the local table's");
        let loopback = Way { source: None, destination: "127.0.0.1".parse().unwrap(), iif: None };
        let route = stack.route(loopback).unwrap();
        assert_eq!(stack.name(route.link.unwrap()), Some("lo"));
    }
}
