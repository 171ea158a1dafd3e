//! Where a program of the lab runs: a network stack, or inside a real container.

use std::{ffi::OsStr, process::Command};

use anyhow::{Result, bail};

use crate::{dockerd::Docker, netns::Stack, process};

/// A stack entered from outside, or a container entered by `docker exec`: only the latter's sockets belong
/// to the container's cgroup, which is what tells containers on the host's network apart.
#[derive(Clone, Debug)]
pub enum Place<'a> {
    /// A network stack.
    Stack(Stack),
    /// A running container by name.
    Container(&'a Docker, &'a str),
}

impl Place<'_> {
    /// A command that will run there.
    pub fn command<I, S>(&self, program: &str, arguments: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        match self {
            Self::Stack(stack) => stack.command(program, arguments),
            Self::Container(docker, name) => {
                let mut client = docker.client();
                client.args(["exec", name, program]).args(arguments);
                client
            }
        }
    }

    /// A command of the `traffic` program.
    ///
    /// # Errors
    /// When it is not built.
    pub fn traffic(&self, arguments: &[&str]) -> Result<Command> {
        Ok(match self {
            Self::Stack(stack) => {
                stack.command(&process::own_program("traffic")?.display().to_string(), arguments)
            }
            Self::Container(..) => self.command("traffic", arguments),
        })
    }

    /// Its network stack.
    ///
    /// # Errors
    /// When the container does not run.
    pub fn stack(&self) -> Result<Stack> {
        match self {
            Self::Stack(stack) => Ok(stack.clone()),
            Self::Container(docker, name) => docker.stack(name),
        }
    }

    /// Fails unless something listens there on the port (`tcp` or `udp`, any address).
    ///
    /// # Errors
    /// When nothing does.
    pub fn listens(&self, protocol: &str, port: u16) -> Result<()> {
        // `/proc/net` would be the stack of the main thread.
        let tables = self.stack()?.within(|| {
            ["", "6"].map(|family| {
                std::fs::read_to_string(format!("/proc/thread-self/net/{protocol}{family}"))
                    .unwrap_or_default()
            })
        })?;
        if tables.iter().any(|table| has_listener(table, port)) {
            return Ok(());
        }
        bail!("nothing listens on {protocol} port {port}")
    }
}

/// Reads the format of `/proc/net/tcp`: local address, remote address, state (0A listen, 07 unconnected UDP).
fn has_listener(table: &str, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|word| word.rsplit(':').next());
        let state = words.nth(1);
        local == Some(format!("{port:04X}").as_str()) && matches!(state, Some("0A" | "07"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connected_socket_is_no_listener() {
        let table = "  sl  local_address rem_address   st tx_queue\n   \
                     0: 0100007F:1F90 00000000:0000 0A 0:0\n   1: 0100007F:0050 0100007F:C001 01 0:0\n";
        assert!(has_listener(table, 8080));
        assert!(!has_listener(table, 80));
    }
}
