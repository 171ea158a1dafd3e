//! Packets as bytes, through the classifier in the real kernel (`BPF_PROG_TEST_RUN`) → keys, counters, parties,
//! reasons; and for every packet the verdict "go on" and the bytes it came with. Nothing is attached.

mod counting;
mod errors;
mod fragments;
mod full;
mod noise;
mod paged;
mod parties;
mod samples;
mod site;
mod tunnels;

use std::process::ExitCode;

use netobs_tests::{require::Tier, suite};

/// Root or `CAP_BPF` and the kernel side; no program.
const CLASSIFIER: Tier = Tier { name: "classifier", programs: &[], also: netobs_tests::require::nothing };

fn main() -> ExitCode {
    let cases = [
        samples::cases(),
        counting::cases(),
        fragments::cases(),
        parties::cases(),
        full::cases(),
        noise::cases(),
        paged::cases(),
        tunnels::cases(),
        errors::cases(),
    ];
    suite::run(&[CLASSIFIER], || Ok(()), cases.into_iter().flatten().collect())
}
