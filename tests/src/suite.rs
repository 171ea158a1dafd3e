//! A test program whose cases share one costly set-up, run one after the other, and leave nothing: the set-up
//! is made when the first case needs it and removed after the last. Flags and closing lines are libtest's.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock},
};

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::require::{self, Tier};

/// A case by name.
pub struct Case<S> {
    /// What must hold, as a sentence in snake case.
    pub name: &'static str,
    /// Fails or panics where it does not.
    pub check: fn(&S) -> Result<()>,
}

type Shared<S> = Arc<OnceLock<Result<S, String>>>;

/// Runs the cases that the command line selects. Where a tier is not met they count as ignored.
pub fn run<S: Send + Sync + 'static>(
    tiers: &[Tier],
    set_up: fn() -> Result<S>,
    cases: Vec<Case<S>>,
) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let ignored = !arguments.list && !require::met(tiers);
    let shared: Shared<S> = Arc::new(OnceLock::new());
    let one_at_a_time = Arc::new(Mutex::new(()));
    let trials = cases.into_iter().map(|case| {
        let (shared, turn) = (Arc::clone(&shared), Arc::clone(&one_at_a_time));
        Trial::test(case.name, move || {
            // A case that panicked must not take the others with it.
            let _turn = turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let stage = shared.get_or_init(|| set_up().map_err(|error| format!("{error:#}")));
            let stage = stage.as_ref().map_err(|error| Failed::from(format!("set-up: {error}")))?;
            (case.check)(stage).map_err(|error| Failed::from(format!("{error:#}")))
        })
        .with_ignored_flag(ignored)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // The last reference: daemons, namespaces and files go before the process does.
    drop(shared);
    conclusion.exit_code()
}
