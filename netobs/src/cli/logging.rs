//! Log settings → a subscriber that writes to standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogLevel};

/// Starts logging. A second call in one process changes nothing.
pub(super) fn start(level: LogLevel, format: LogFormat) {
    // Libraries speak up at `warn`: their `info` is about connections, which netobs reports itself.
    let others = level.min(LogLevel::Warn).name();
    // The Kubernetes client complains of each try; netobs says once that the API is away.
    let client = if level >= LogLevel::Debug { others } else { "off" };
    let filter = EnvFilter::new(format!(
        "{others},netobs={0},aya={0},kube_client={client},kube_runtime={client}",
        level.name()
    ));
    let colour =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(colour)
        .with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!("logging was started before: {error}");
    }
}
