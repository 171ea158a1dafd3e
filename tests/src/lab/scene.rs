//! The steady traffic of the lab: a few requests a second, a stream of 8 Mbit/s, pings; ends by itself after
//! an hour.

use std::path::Path;

use anyhow::Result;

use crate::{
    dockerd::Docker,
    netns::Stack,
    process::{Background, own_program},
    traffic::log_in,
};

/// One hour of one request every 200 ms.
const REQUESTS: &[&str] = &["--count", "18000", "--rate", "5", "--bytes", "2000"];

/// Where one side of the traffic runs.
pub(super) struct Actor {
    /// Its name, for its logs.
    pub(super) name: &'static str,
    /// Its stack.
    pub(super) stack: Stack,
}

/// Starts, and leaves running, a server behind `server`'s `address` and clients of it, and pings to
/// `others`. Every process runs in the actors' own stacks, so they go with those.
pub(super) fn play(server: &Actor, address: &str, clients: &[Actor], others: &[&str]) -> Result<()> {
    let logs = Path::new(super::DIRECTORY);
    let traffic = own_program("traffic")?.display().to_string();
    let start = |actor: &Actor, what: &str, program: &str, words: &[&str]| {
        let log = log_in(logs, &format!("{}-{what}-{}", actor.name, server.name));
        Background::start(&mut actor.stack.command(program, words), &log).map(Background::leave)
    };
    start(server, "serve", &traffic, &["tcp-serve", &format!("{address}:8000"), "--answer", "20000"])?;
    start(server, "iperf", "iperf3", &["-s", "-p", "5201"])?;
    // The servers must listen before the first client, whose failure would end it.
    std::thread::sleep(std::time::Duration::from_millis(500));
    for (number, client) in clients.iter().enumerate() {
        let target = format!("{address}:8000");
        let mut words = vec!["tcp-connect", &target];
        words.extend(REQUESTS);
        start(client, "requests", &traffic, &words)?;
        if number == 0 {
            start(client, "stream", "iperf3", &["-c", address, "-p", "5201", "-b", "8M", "-t", "3600"])?;
        }
        for other in others {
            start(client, &format!("ping-{other}"), "ping", &["-q", "-i", "0.5", "-c", "7200", other])?;
        }
    }
    Ok(())
}

/// Requests from `client` to a server that is there already, behind another address of it.
pub(super) fn request(client: &Actor, target: &str) -> Result<()> {
    let log = log_in(Path::new(super::DIRECTORY), &format!("{}-requests-{target}", client.name));
    let mut words = vec!["tcp-connect", target];
    words.extend(REQUESTS);
    let traffic = own_program("traffic")?.display().to_string();
    Background::start(&mut client.stack.command(&traffic, &words), &log).map(Background::leave)
}

/// The lab's containers on a real daemon; `published` only where the daemon may write firewall rules.
pub(super) fn containers(docker: &Docker, published: bool) -> Result<()> {
    let mut programs = vec![own_program("traffic")?];
    programs.extend(["iperf3", "ping"].iter().filter_map(|name| crate::require::find(name)));
    docker.import_image(&programs)?;
    let web: &[&str] = if published { &["--publish", "8080:8000"] } else { &[] };
    docker.start_container("web", web, &["sleep", "3600"])?;
    docker.start_container("shop", &[], &["sleep", "3600"])?;
    docker.start_container("monitor", &["--network", "host"], &["sleep", "3600"])
}
