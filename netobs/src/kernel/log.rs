//! Log lines of a kernel side built with `cargo xtask build-ebpf --features log`. For debugging it.

use std::time::Duration;

use aya::Ebpf;
use aya_log::EbpfLogger;

/// Lines are few: one for each new flow.
const EVERY: Duration = Duration::from_millis(100);

/// Hands the kernel side's lines to the agent's log, at level debug, until the process ends.
pub(super) fn forward(ebpf: &mut Ebpf) {
    let mut logger = match EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(error) => {
            tracing::warn!(%error, "the kernel side has no log lines: build it with --features log");
            return;
        }
    };
    let flush = move || {
        loop {
            std::thread::sleep(EVERY);
            logger.flush();
        }
    };
    if let Err(error) = std::thread::Builder::new().name("kernel-log".into()).spawn(flush) {
        tracing::warn!(%error, "no thread for the kernel side's log lines");
    }
}
