//! This checkout → an agent on this host and `netobs top` in front of it; nothing stays behind.

mod addresses;
mod child;

use std::{
    env, fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use addresses::Addresses;
use anyhow::{Context, Result, bail};
use child::{Child, Signals, Waited};

use crate::{
    build_ebpf, lab, privilege,
    setup::{self, Choice, Purpose},
    shell, tree,
};

/// From the start of the agent until it has attached and drained once.
const READY: Duration = Duration::from_secs(30);
/// Rates need two ticks of one second; the first may be cut short.
const FIRST_RATES: Duration = Duration::from_secs(4);

/// What to show.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also build a small network with traffic, so that there is something to see; removed at the end
    #[arg(long)]
    demo: bool,
    /// Build the agent optimised: slower to build, cheaper to run
    #[arg(long)]
    release: bool,
    /// Only the part that needs root: everything is set up and built
    #[arg(long, hide = true)]
    built: bool,
    /// Words for `netobs agent`
    #[arg(last = true)]
    agent: Vec<String>,
}

/// The verb.
pub(crate) fn run(args: &Args, choice: &Choice) -> Result<ExitCode> {
    privilege::require("to load the kernel side", "run this as root")?;
    if !args.built {
        build(args, choice)?;
    }
    if privilege::is_root() {
        return show(args);
    }
    // All of it as root, not the agent alone: a user cannot stop what sudo has started.
    let program = env::current_exe().context("cannot tell where this program lies")?;
    let mut again = privilege::as_root(program);
    again.args(["run", "--built"]);
    again.args(args.demo.then_some("--demo")).args(args.release.then_some("--release"));
    shell::replace(again.arg("--").args(&args.agent))
}

fn build(args: &Args, choice: &Choice) -> Result<()> {
    let toolchain = setup::prepare(if args.demo { Purpose::Test } else { Purpose::Build }, choice)?;
    build_ebpf::build(&toolchain, &[])?;
    println!("netobs: building the agent (minutes the first time, seconds after that)");
    let mut cargo = tree::cargo()?;
    cargo.args(["build", "--locked", "--package", "netobs", "--bins"]);
    shell::run(cargo.args(args.release.then_some("--release")))?;
    if args.demo {
        lab::build()?;
    }
    Ok(())
}

fn show(args: &Args) -> Result<ExitCode> {
    let target = tree::target()?;
    let netobs = target.join(if args.release { "release/netobs" } else { "debug/netobs" });
    let signals = Signals::catch()?;
    let demo = if args.demo { Some(Demo::start(target.join("debug/lab"), &signals)?) } else { None };
    let shown = with_agent(&netobs, &target.join("agent.log"), &args.agent, &signals);
    let removed = demo.map_or(Ok(()), Demo::stop);
    let code = shown?;
    removed.map(|()| code)
}

/// Starts the agent, shows what it sees until the user has seen enough, and stops it.
fn with_agent(netobs: &Path, log: &Path, words: &[String], signals: &Signals) -> Result<ExitCode> {
    let addresses = Addresses::of(words, |name| env::var(name).ok());
    let file = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = file.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(netobs);
    command.arg("agent").args(words).stdin(Stdio::null()).stdout(file).stderr(errors);
    let mut agent = Child::start(&mut command)?;
    if !wait_until_ready(&mut agent, &addresses, log, signals)? {
        return Ok(child::interrupted());
    }

    println!("netobs: the agent runs; its log is {}", log.display());
    println!("netobs: metrics  http://{}/metrics", addresses.metrics);
    println!("netobs: page     http://{}/", addresses.web);
    let interactive = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !interactive {
        println!(
            "netobs: no terminal here, so one table of `netobs top --once` follows, and the agent stops"
        );
    }
    if signals.arrive_within(FIRST_RATES) {
        return Ok(child::interrupted());
    }
    let mut top = Command::new(netobs);
    top.args(["top", "--agent"]).arg(format!("unix://{}", addresses.socket));
    if !interactive {
        top.arg("--once");
    }
    let code = match Child::start(&mut top)?.wait(signals)? {
        Waited::Interrupted => child::interrupted(),
        Waited::Exited(status) if status.success() => ExitCode::SUCCESS,
        Waited::Exited(status) => bail!("netobs top failed ({status}); the agent's log is {}", log.display()),
    };
    agent.stop();
    println!("netobs: the agent has stopped and detached");
    Ok(code)
}

/// False when the user interrupts.
fn wait_until_ready(agent: &mut Child, addresses: &Addresses, log: &Path, signals: &Signals) -> Result<bool> {
    let until = Instant::now() + READY;
    while !addresses.ready() {
        if let Some(status) = agent.exited()? {
            let told = fs::read_to_string(log).unwrap_or_default();
            let last = told.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            bail!("the agent did not start ({status}): {}", last.trim().trim_start_matches("error: "));
        }
        if Instant::now() > until {
            let seconds = READY.as_secs();
            bail!("the agent was not ready within {seconds} s; its log is {}", log.display());
        }
        if signals.arrive_within(Duration::from_millis(100)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The lab with its traffic, for as long as the demonstration lasts.
struct Demo {
    lab: PathBuf,
}

impl Demo {
    fn start(lab: PathBuf, signals: &Signals) -> Result<Self> {
        println!("netobs: building the demonstration network");
        let demo = Self { lab };
        match Child::start(demo.command("up").args(["--demo", "--traffic"]))
            .and_then(|mut up| up.wait(signals))
        {
            Ok(Waited::Exited(status)) if status.success() => Ok(demo),
            outcome => {
                demo.stop()?;
                match outcome? {
                    Waited::Exited(status) => {
                        bail!("the demonstration network could not be built ({status})")
                    }
                    Waited::Interrupted => bail!("interrupted"),
                }
            }
        }
    }

    fn command(&self, action: &str) -> Command {
        let mut command = Command::new(&self.lab);
        command.arg(action);
        command
    }

    fn stop(self) -> Result<()> {
        println!("netobs: removing the demonstration network");
        // Once more if an impatient second Ctrl-C hit the first.
        let down = || shell::run(&mut self.command("down"));
        down().or_else(|_| down()).context("remove the demonstration network with `cargo xtask lab down`")
    }
}
