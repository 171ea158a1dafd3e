//! Namespaces by their inodes → what is configured in them, read when somebody asks.

use std::{collections::HashMap, path::PathBuf};

use futures_util::future::BoxFuture;

use crate::{
    api::Configuration,
    host::{
        facts::stack::Stack,
        firewall,
        namespaces::{self, InnerError},
        stack,
    },
};

/// Reads the host's stack, and those of the source and the destination, given by their namespaces' inodes where they
/// have one of their own.
#[must_use]
pub fn configuration(wanted: [Option<u64>; 2]) -> BoxFuture<'static, Configuration> {
    Box::pin(async move {
        let mut host = match tokio::task::spawn_blocking(of_host).await {
            Ok(host) => host,
            Err(error) => {
                Stack { unread: vec![format!("everything of this host: {error}")], ..Stack::default() }
            }
        };
        let [source, destination] = wanted.map(|inode| inode.filter(|inode| *inode != host.inode));
        let inodes: Vec<u64> = [source, destination].into_iter().flatten().collect();
        let files = match tokio::task::spawn_blocking(move || files(&inodes)).await {
            Ok(files) => files,
            Err(error) => {
                host.unread.push(format!("who lives in which namespace: {error}"));
                HashMap::new()
            }
        };
        let mut read = Vec::new();
        for inode in [source, destination] {
            read.push(match inode {
                None => None,
                Some(inode) => match of(inode, files.get(&inode)).await {
                    Ok(stack) => Some(stack),
                    Err(error) => {
                        host.unread.push(format!("the network stack of an endpoint: {error}"));
                        None
                    }
                },
            });
        }
        let destination = read.pop().flatten();
        Configuration { host, source: read.pop().flatten(), destination }
    })
}

/// On a thread of its own: tables of sockets and settings are files, which block.
fn of_host() -> Stack {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(stack::read(firewall::ROOM_OF_HOST)),
        Err(error) => Stack { unread: vec![format!("everything of this host: {error}")], ..Stack::default() },
    }
}

async fn of(inode: u64, file: Option<&PathBuf>) -> Result<Stack, InnerError> {
    let stack = stack::read_in(file.ok_or(InnerError::Gone)?).await?;
    // It may have ended, and another one have its file.
    if stack.inode == inode { Ok(stack) } else { Err(InnerError::Gone) }
}

/// A file for each namespace: a process's, or the one that keeps it. Blocking.
pub(super) fn files(inodes: &[u64]) -> HashMap<u64, PathBuf> {
    let mut found: HashMap<u64, PathBuf> = HashMap::new();
    if inodes.is_empty() {
        return found;
    }
    let named = namespaces::named().into_iter().map(|one| (one.inode, one.path));
    let processes = namespaces::scan().0.into_iter().map(|one| (one.inode, namespaces::file_of(one.pid)));
    for (inode, path) in named.chain(processes) {
        if inodes.contains(&inode) {
            found.entry(inode).or_insert(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_shares_the_hosts_stack_has_none_of_its_own() {
        let own = namespaces::own_namespace().unwrap();
        let read = configuration([Some(own), None]).await;
        assert_eq!(read.host.inode, own);
        assert!(read.source.is_none() && read.destination.is_none());
    }

    #[tokio::test]
    async fn a_stack_that_is_gone_is_said_to_be_unread() {
        let read = configuration([None, Some(1)]).await;
        assert!(read.destination.is_none());
        assert!(
            read.host.unread.iter().any(|line| line.starts_with("the network stack")),
            "{:?}",
            read.host.unread
        );
    }
}
