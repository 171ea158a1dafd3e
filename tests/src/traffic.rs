//! Transfers of known size between two places: iperf3, ping, and the `traffic` program.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    place::Place,
    process::{Background, run_within, until},
};

const LONG: Duration = Duration::from_secs(120);

/// A server in the background, known to listen.
#[derive(Debug)]
pub struct Server {
    process: Background,
    // Removed with the server, not before its output was read.
    _log: tempfile::NamedTempFile,
}

/// Starts a server and waits until its port is open.
///
/// # Errors
/// With its log when it is not within ten seconds.
pub fn serve(place: &Place, mut command: Command, protocol: &str, port: u16) -> Result<Server> {
    let log = tempfile::NamedTempFile::new()?;
    let mut process = Background::start(&mut command, log.path())?;
    until("the server's port", Duration::from_secs(10), || {
        if let Some(status) = process.ended() {
            bail!("{command:?} ended ({status}): {}", process.log());
        }
        place.listens(protocol, port)
    })?;
    Ok(Server { process, _log: log })
}

impl Server {
    /// Waits until it ends by itself and returns what it printed.
    ///
    /// # Errors
    /// When it does not end within 40 seconds.
    pub fn output(mut self) -> Result<String> {
        self.process.wait(Duration::from_secs(40))?;
        Ok(self.process.log())
    }
}

/// One iperf3 run as its client reports it.
#[derive(Clone, Debug)]
pub struct Iperf {
    /// Bytes of payload handed to the socket.
    pub sent: u64,
    /// Bytes of payload the server read before the client told it to stop: up to a socket buffer fewer.
    pub received: u64,
    /// Bits a second, averaged over the run.
    pub bits_per_second: f64,
    /// The client's port of the data connection.
    pub port: u16,
}

/// An iperf3 server for one run on `port`.
///
/// # Errors
/// When it does not come up.
pub fn iperf_server(place: &Place, port: u16) -> Result<Server> {
    serve(place, place.command("iperf3", ["-s", "-1", "-p", &port.to_string()]), "tcp", port)
}

/// Runs iperf3's client to its end; `options` such as `-n 200M`.
///
/// # Errors
/// When iperf3 fails.
pub fn iperf(place: &Place, to: &str, port: u16, options: &[&str]) -> Result<Iperf> {
    let port = port.to_string();
    let mut command = place.command("iperf3", ["-c", to, "-p", &port, "-J"]);
    let text = run_within(command.args(options), LONG)?;
    let report: Value = serde_json::from_str(&text).context("iperf3's report")?;
    let data = &report["start"]["connected"][0];
    Ok(Iperf {
        sent: report["end"]["sum_sent"]["bytes"].as_u64().context("sum_sent")?,
        received: report["end"]["sum_received"]["bytes"].as_u64().context("sum_received")?,
        bits_per_second: report["end"]["sum_sent"]["bits_per_second"].as_f64().context("bits_per_second")?,
        port: data["local_port"].as_u64().context("local_port")?.try_into()?,
    })
}

/// Sends `count` echo requests 2 ms apart; fails unless every one is answered, the last within a second.
///
/// # Errors
/// When an answer is missing.
pub fn ping(place: &Place, to: &str, count: u32) -> Result<()> {
    let mut command =
        place.command("ping", ["-q", "-n", "-i", "0.002", "-W", "1", "-c", &count.to_string(), to]);
    let text = run_within(&mut command, LONG)?;
    if !text.contains(&format!("{count} received")) {
        bail!("ping {to}: {text}");
    }
    Ok(())
}

/// Sends exactly `count` datagrams of `size` bytes, `rate` a second, from one port to a sink that counts them
/// all; returns the sender's port.
///
/// # Errors
/// When the sink received fewer.
pub fn datagrams(
    from: &Place,
    to: &Place,
    listen: &str,
    target: &str,
    (count, size, rate): (u32, usize, u32),
) -> Result<u16> {
    let port = port_of(listen)?;
    let (count_text, size_text, rate_text) = (count.to_string(), size.to_string(), rate.to_string());
    let sink = to.traffic(&["udp-sink", listen, "--count", &count_text])?;
    let sink = serve(to, sink, "udp", port)?;
    let mut send = from.traffic(&[
        "udp-send",
        target,
        "--count",
        &count_text,
        "--size",
        &size_text,
        "--rate",
        &rate_text,
    ])?;
    let sent_from = run_within(&mut send, LONG)?;
    let received = sink.output()?;
    if received.trim() != count_text {
        bail!("sent {count} datagrams to {target}, received {}", received.trim());
    }
    Ok(sent_from.trim().parse()?)
}

/// A server that answers every connection.
///
/// # Errors
/// When it does not come up.
pub fn tcp_server(place: &Place, listen: &str) -> Result<Server> {
    serve(place, place.traffic(&["tcp-serve", listen])?, "tcp", port_of(listen)?)
}

/// Opens `count` connections and returns the client's ports.
///
/// # Errors
/// When one fails.
pub fn connect(place: &Place, to: &str, count: u32, bytes: usize) -> Result<Vec<u16>> {
    let (count, bytes) = (count.to_string(), bytes.to_string());
    let mut client = place.traffic(&["tcp-connect", to, "--count", &count, "--bytes", &bytes])?;
    run_within(&mut client, LONG)?.split_whitespace().map(|port| Ok(port.parse()?)).collect()
}

/// TCP segments a place's stack has sent again since it exists.
///
/// # Errors
/// As [`tcp_statistic`].
pub fn retransmitted(place: &Place) -> Result<u64> {
    tcp_statistic(place, "RetransSegs")
}

/// A number that a place's TCP keeps, by its name in `/proc/net/snmp` (RFC 4022).
///
/// # Errors
/// When its statistics cannot be read.
pub fn tcp_statistic(place: &Place, name: &str) -> Result<u64> {
    let text = place.stack()?.within(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:")).map(str::split_whitespace);
    let (mut names, mut values) = (lines.next().context("no names")?, lines.next().context("no values")?);
    let at = names.position(|one| one == name).with_context(|| format!("no {name}"))?;
    Ok(values.nth(at).context("no value")?.parse()?)
}

fn port_of(address: &str) -> Result<u16> {
    address.rsplit(':').next().context("no port")?.parse().with_context(|| format!("port of {address}"))
}

/// The log a background program of the lab writes.
#[must_use]
pub fn log_in(directory: &Path, name: &str) -> std::path::PathBuf {
    directory.join(format!("{name}.log"))
}
