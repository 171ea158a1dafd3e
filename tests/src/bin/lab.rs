//! `lab up` builds the lab and says how to look at it; `lab down` removes it without a trace.

use std::process::ExitCode;

use clap::{Args, Parser, ValueEnum};
use netobs_tests::lab::{self, Plan};

#[derive(Parser)]
#[command(about = "A small world of containers and an outside, for looking at with netobs")]
enum Lab {
    /// Build it, or say that it is there.
    Up(Up),
    /// Remove it, whatever is left of it.
    Down,
}

#[derive(Args)]
struct Up {
    /// Real parts instead of namespaces that look like them.
    #[arg(long, value_delimiter = ',')]
    with: Vec<Part>,
    /// Keep a little traffic going for an hour.
    #[arg(long)]
    traffic: bool,
    /// Build it beside the machine's own interfaces, on a bridge of its own, instead of in a node of its own:
    /// no sysctl and no firewall rule is changed, and an agent of the machine sees it.
    #[arg(long)]
    demo: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A dockerd with its own socket, directories and containers.
    Docker,
}

fn main() -> ExitCode {
    let lab = Lab::parse();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("lab: needs root to make network namespaces; run it with sudo");
        return ExitCode::from(3);
    }
    let done = match lab {
        Lab::Up(up) => {
            lab::up(Plan { demo: up.demo, docker: up.with.contains(&Part::Docker), traffic: up.traffic })
        }
        Lab::Down => lab::down().map(|()| "the lab is gone\n".to_owned()),
    };
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
