//! `netobs probe`: a connection from inside A's network stack, and what became of it.

use std::process::ExitCode;

use super::{
    Engine,
    args::{Cli, ProbeArgs},
    explain,
};
use crate::api::{ProbeKind, ProbeQuery};

pub(super) fn run(engine: Engine, cli: &Cli, arguments: &ProbeArgs) -> anyhow::Result<ExitCode> {
    let protocol = match (arguments.udp, arguments.icmp) {
        (true, _) => ProbeKind::Udp,
        (_, true) => ProbeKind::Icmp,
        _ => ProbeKind::Tcp,
    };
    let question =
        ProbeQuery { source: arguments.source.clone(), destination: arguments.destination.clone(), protocol };
    let path = format!("/api/v1/probe{}", question.query());
    explain::answer(engine, cli, arguments.output, async |client| client.act(&path).await)
}
