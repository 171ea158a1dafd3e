//! The agent under test: started inside a node's namespace on private sockets, asked through its own
//! commands and ports, stopped in every way an operator or the kernel would.

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    counters::{self, Count},
    exposition::Exposition,
    flows::{self, Flow},
    http::{self, Answer},
    ledger::Books,
    netns::Stack,
    process::{self, Background, Finished, until},
};

/// The program: `NETOBS_BIN`, else what cargo built in this workspace, the newer one.
///
/// # Errors
/// When there is none.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os("NETOBS_BIN") {
        let path = PathBuf::from(path);
        return if path.is_file() { Ok(path) } else { bail!("NETOBS_BIN is {}, no file", path.display()) };
    }
    let here = env::current_exe()?;
    let target = here.ancestors().find(|path| path.join("CACHEDIR.TAG").exists());
    let target =
        target.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), Path::to_owned);
    let built = ["debug", "release"].map(|profile| target.join(profile).join("netobs"));
    let newest =
        built.into_iter().filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path))).max();
    newest
        .map(|(_, path)| path)
        .context("the agent is not built: run `cargo build -p netobs`, or set NETOBS_BIN")
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    stack: Stack,
    process: Background,
    socket: PathBuf,
    /// Where it serves `/metrics`, inside its stack.
    pub metrics_address: SocketAddr,
    /// Where it serves the page and `/api/v1`, inside its stack.
    pub web_address: SocketAddr,
}

/// A command line of the program, inside a stack, with a clean environment of `NETOBS_` variables.
///
/// # Errors
/// When the program is not built.
pub fn command(stack: &Stack, arguments: &[&str]) -> Result<Command> {
    let mut command = stack.command(&program()?.display().to_string(), arguments);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("NETOBS_")) {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1");
    Ok(command)
}

/// The arguments of an agent whose every address and file is private to `directory`.
#[must_use]
pub fn arguments(directory: &Path, docker_socket: &Path, more: &[&str]) -> Vec<String> {
    let mut arguments = vec![
        "agent".to_owned(),
        format!("--socket={}", directory.join("netobs.sock").display()),
        "--metrics-listen=127.0.0.1:9777".into(),
        "--web-listen=127.0.0.1:9778".into(),
        format!("--docker-socket={}", docker_socket.display()),
    ];
    // The machine's own runtimes are none of the lab's.
    for option in ["--cri-socket=", "--libvirt-dir="] {
        if !more.iter().any(|word| word.starts_with(option)) {
            arguments.push(option.into());
        }
    }
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    arguments
}

impl Agent {
    /// Starts an agent in `stack` and waits until it is ready.
    ///
    /// # Errors
    /// With its log when it ends or is not ready within 20 seconds.
    pub fn start(stack: &Stack, directory: &Path, docker_socket: &Path, more: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let arguments = arguments(directory, docker_socket, more);
        let words: Vec<_> = arguments.iter().map(String::as_str).collect();
        let process = Background::start(&mut command(stack, &words)?, &directory.join("agent.log"))?;
        let mut agent = Self {
            stack: stack.clone(),
            process,
            socket: directory.join("netobs.sock"),
            metrics_address: ([127, 0, 0, 1], 9777).into(),
            web_address: ([127, 0, 0, 1], 9778).into(),
        };
        until("the agent to be ready", Duration::from_secs(20), || {
            if let Some(status) = agent.process.ended() {
                // No use waiting on.
                return Ok(Err(anyhow!("the agent ended ({status}): {}", agent.log())));
            }
            match agent.get("/readyz")?.status {
                200 => Ok(Ok(())),
                status => bail!("/readyz says {status}; log: {}", agent.log()),
            }
        })??;
        Ok(agent)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The stack it observes.
    #[must_use]
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The value of `--agent` that names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Fetches a path from the metrics port.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        http::get(&self.stack, self.metrics_address, path, &[])
    }

    /// Scrapes it.
    ///
    /// # Errors
    /// When the answer is no exposition.
    pub fn metrics(&self) -> Result<Exposition> {
        Exposition::parse(&self.get("/metrics")?.body)
    }

    /// Runs a client command against it, as words; whatever its exit status.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn client(&self, words: &[&str]) -> Result<Finished> {
        let url = self.url();
        let mut all = words.to_vec();
        all.extend(["--agent", &url]);
        process::finish(&mut command(&self.stack, &all)?, process::SHORT)
    }

    /// Runs a client command with `-o json` and reads its answer.
    ///
    /// # Errors
    /// When it fails or prints no JSON.
    pub fn query(&self, words: &[&str]) -> Result<Value> {
        let mut all = words.to_vec();
        all.extend(["-o", "json"]);
        let done = self.client(&all)?;
        if !done.status.success() {
            let agent =
                if Path::new(&format!("/proc/{}/fd", self.id())).exists() { "runs" } else { "is gone" };
            let said = format!("{}: {}", done.status, done.stderr.trim());
            bail!("netobs {}: {said}\n  the agent {agent}; its log:\n{}", all.join(" "), self.log());
        }
        serde_json::from_str(&done.stdout)
            .with_context(|| format!("netobs {}: {:.300}", all.join(" "), done.stdout))
    }

    /// The endpoint of this id, as its list has it.
    ///
    /// # Errors
    /// When there is none.
    pub fn endpoint(&self, id: &str) -> Result<Value> {
        let document = self.query(&["endpoints"])?;
        let list = document["endpoints"].as_array().context("no list of endpoints")?;
        let found = list.iter().find(|one| one["id"] == id);
        found.cloned().with_context(|| format!("no {id} in {document}"))
    }

    /// Fails unless a source of identity is in one of these states, by the metric.
    ///
    /// # Errors
    /// With the state it is in.
    pub fn source_is(&self, source: &str, states: &[&str]) -> Result<()> {
        let page = self.metrics()?;
        let labels = [("source", source)];
        let mut set = page.select("netobs_identity_sources", &labels).filter(|sample| sample.value > 0.0);
        let state = &set.next().with_context(|| format!("no state of {source}"))?.labels["state"];
        if states.contains(&state.as_str()) { Ok(()) } else { bail!("{source} is {state}, not {states:?}") }
    }

    /// Its flows.
    ///
    /// # Errors
    /// When the answer does not follow the contract.
    pub fn flows(&self) -> Result<Vec<Flow>> {
        flows::read(&self.query(&["flows"])?)
    }

    /// Counters, flows and skips of one moment at which nothing was on the move: the interfaces stood still
    /// from before the agent's last ticks until after its answer.
    ///
    /// # Errors
    /// When the lab is not quiet for three seconds within a minute.
    pub fn books(&self) -> Result<(Books, Exposition)> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let interfaces = counters::snapshot(&self.stack)?;
            // Two ticks, and the two seconds for which undecided bytes may be held.
            std::thread::sleep(Duration::from_millis(3200));
            let flows = self.flows()?;
            // A scrape travels over the very `lo` that is observed: the flows above and the counters of the
            // interfaces but `lo` are of one moment, and the scrape sees the same tick or a later quiet one.
            let after = counters::snapshot(&self.stack)?;
            let still = interfaces == after;
            let metrics = self.metrics()?;
            if still {
                return Ok((Books { interfaces, flows, skipped: self.skipped()? }, metrics));
            }
            if Instant::now() > deadline {
                bail!("the lab is never quiet: {interfaces:?} then {after:?}");
            }
        }
    }

    /// Packets without a flow, by interface index and whether at ingress.
    fn skipped(&self) -> Result<BTreeMap<(u32, bool), Count>> {
        let answer = http::get(&self.stack, self.web_address, "/api/v1/status", &[])?;
        let document: Value = serde_json::from_str(&answer.body)?;
        let list = document["skipped_at"].as_array().context("no skipped_at in the status")?;
        let one = |one: &Value| -> Result<_> {
            let number = |field: &str| one[field].as_u64().with_context(|| format!("no {field} in {one}"));
            let place = (u32::try_from(number("ifindex")?)?, one["hook"] == "ingress");
            Ok((place, Count { packets: number("packets")?.into(), bytes: number("bytes")?.into() }))
        };
        list.iter().map(one).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within ten seconds.
    pub fn wait(&mut self) -> Result<std::process::ExitStatus> {
        self.process.wait(Duration::from_secs(10))
    }

    /// SIGTERM, and its end within ten seconds.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<std::process::ExitStatus> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// SIGKILL: what a crash or the kernel's memory killer leaves.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.signal(Signal::SIGKILL);
        self.wait()?;
        Ok(())
    }
}

/// A counter as the whole number it is.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "counters here are far below 2^53")]
pub fn whole(value: f64) -> i128 {
    value.round() as i128
}
