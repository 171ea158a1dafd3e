//! `netobs agent`: settings → an agent that runs until it is told to stop.

use super::{
    Engine,
    args::{AgentArgs, Cli},
    logging, output,
};
use crate::{
    daemon, doctor::lacking, failure::Failure, host::environment, settings::Settings, shutdown::Shutdown,
};

pub(super) fn run(engine: Engine, cli: &Cli, arguments: &AgentArgs) -> anyhow::Result<()> {
    let settings = Settings::resolve(arguments.layer.clone(), cli.config.as_deref())?;
    if arguments.check {
        return output::print(&toml::to_string(&settings)?).map(drop);
    }
    // Said before anything is bound. A container may hold them and still be refused; then the kernel's own
    // answer is the message.
    let lacking = lacking(environment::read().capabilities);
    if !lacking.is_empty() {
        let lacking = lacking.join(", ");
        return Err(Failure::access(format!(
            "observing needs {lacking}: run as root; `netobs doctor` says more"
        ))
        .into());
    }
    logging::start(settings.log_level, settings.log_format);
    let shutdown = Shutdown::default();
    // Before anything is attached: a signal during start-up must not leave filters behind.
    shutdown.on_signals()?;
    daemon::run(engine.readers, &settings, &shutdown, |addresses| {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            metrics = %format_args!("http://{}/metrics", addresses.metrics),
            api = %format_args!("http://{}/", addresses.web),
            socket = %settings.socket.display(),
            "netobs starts"
        );
    })?;
    tracing::info!("netobs has stopped");
    Ok(())
}
