//! The agent's words and environment → where it will listen.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

/// Long enough for a loaded machine, short beside the wait for readiness.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the agent listens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// `/metrics`, `/healthz`, `/readyz`.
    pub(super) metrics: String,
    /// The page and the API.
    pub(super) web: String,
    /// The local socket.
    pub(super) socket: String,
}

impl Addresses {
    /// Flags win over the environment, and that over the agent's own defaults. A configuration file is not
    /// read here: who gives one names the addresses as flags too.
    pub(super) fn of(words: &[String], variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |flag: &str, name: &str, default: &str| {
            given(words, flag).or_else(|| variable(name)).unwrap_or_else(|| default.to_owned())
        };
        Self {
            metrics: value("--metrics-listen", "NETOBS_METRICS_LISTEN", "127.0.0.1:9777"),
            web: value("--web-listen", "NETOBS_WEB_LISTEN", "127.0.0.1:9778"),
            socket: value("--socket", "NETOBS_SOCKET", "/run/netobs/netobs.sock"),
        }
    }

    /// Whether the agent has attached and drained once.
    pub(super) fn ready(&self) -> bool {
        self.status_of("/readyz").is_some_and(|line| line.split(' ').nth(1) == Some("200"))
    }

    fn status_of(&self, path: &str) -> Option<String> {
        let address = self.metrics.to_socket_addrs().ok()?.next()?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.metrics);
        stream.write_all(request.as_bytes()).ok()?;
        // The status line is all that is wanted; a stranger on this port may send anything, at any length.
        let mut start = [0; 64];
        let length = stream.read(&mut start).ok()?;
        String::from_utf8_lossy(&start[..length]).lines().next().map(str::to_owned)
    }
}

/// The value of `--flag value` or `--flag=value`; the last one counts.
fn given(words: &[String], flag: &str) -> Option<String> {
    let apart = words.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].as_str());
    let joined = words.iter().filter_map(|word| word.strip_prefix(flag)?.strip_prefix('='));
    apart.chain(joined).next_back().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn without_words_the_agents_defaults_hold() {
        let addresses = Addresses::of(&[], |_| None);
        assert_eq!(addresses.metrics, "127.0.0.1:9777");
        assert_eq!(addresses.web, "127.0.0.1:9778");
        assert_eq!(addresses.socket, "/run/netobs/netobs.sock");
    }

    #[test]
    fn flags_win_over_the_environment() {
        let given = words("--metrics-listen 127.0.0.1:1 --socket=/tmp/s");
        let addresses = Addresses::of(&given, |name| Some(format!("from {name}")));
        assert_eq!(addresses.metrics, "127.0.0.1:1");
        assert_eq!(addresses.socket, "/tmp/s");
        assert_eq!(addresses.web, "from NETOBS_WEB_LISTEN");
    }

    #[test]
    fn nobody_listening_is_not_ready() {
        // Port 1 (tcpmux) has no listener on any machine of ours, and loopback refuses at once.
        assert!(!Addresses::of(&words("--metrics-listen 127.0.0.1:1"), |_| None).ready());
    }
}
