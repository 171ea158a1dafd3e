//! Every row of the path table on both nodes of a cluster, judged by what a tracer of the tests' own saw: hops in the
//! order and with the tuples measured, names, NAT, what was addressed; every interface accounted for to the byte.
//! `NETOBS_PRINT_WAYS=1` prints what the tracer saw.

mod paths {
    pub(crate) mod rows;
    pub(crate) mod scene;
    pub(crate) mod together;
}

use std::process::ExitCode;

use netobs_tests::{
    cluster::{Between, Rules},
    require::{CLUSTER, MACHINES},
    suite,
};
use paths::scene::Scene;

fn main() -> ExitCode {
    let tiers = [CLUSTER, MACHINES];
    let overlay = || Scene::new(Between::Vxlan, Rules::Iptables);
    let routed = || Scene::new(Between::Routes, Rules::Nft);
    // The same cases twice, one cluster after the other.
    let codes =
        [suite::run(&tiers, overlay, paths::rows::cases()), suite::run(&tiers, routed, paths::rows::cases())];
    if codes.iter().all(|code| *code == ExitCode::SUCCESS) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
