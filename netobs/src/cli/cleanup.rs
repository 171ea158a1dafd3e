//! `netobs cleanup`: what is netobs's on this host → gone.

use super::{Engine, args::Cli, output, settings};
use crate::{
    api::{Occupant, occupant, remove_stale},
    failure::Failure,
    host::environment::{self, Capabilities},
    instance::Instance,
};

pub(super) fn run(engine: Engine, cli: &Cli) -> anyhow::Result<()> {
    let socket = settings(cli)?.socket;
    if let Occupant::Alive(pid) = occupant(&socket)? {
        let pid = pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
        return Err(Failure::negative(format!(
            "an agent answers at {}{pid}: stop it first, it removes what is its own",
            socket.display()
        ))
        .into());
    }
    if !environment::read().capabilities.has(Capabilities::NET_ADMIN) {
        return Err(Failure::access("removing filters needs CAP_NET_ADMIN: run as root").into());
    }
    // Its socket may be another one: the lock tells of any agent whose filters these would be.
    let _alone = Instance::acquire()?;
    let mut removed = (engine.cleanup)()?;
    if remove_stale(&socket)? {
        removed.push(format!("socket {}", socket.display()));
    }
    let text: String = match removed.as_slice() {
        [] => "nothing of netobs was left on this host\n".into(),
        all => all.iter().map(|one| format!("removed {one}\n")).collect(),
    };
    output::print(&text).map(drop)
}
