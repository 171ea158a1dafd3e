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
use paths::{rows, scene::Scene};

fn main() -> ExitCode {
    let tiers = [CLUSTER, MACHINES];
    // The same cases twice, one cluster after the other; then the two other pairs, with those that depend on both.
    let codes = [
        suite::run(&tiers, || Scene::new(Between::Vxlan, Rules::Iptables), rows::cases()),
        suite::run(&tiers, || Scene::new(Between::Routes, Rules::Nft), rows::cases()),
        suite::run(&tiers, || Scene::new(Between::Vxlan, Rules::Nft), rows::translated()),
        suite::run(&tiers, || Scene::new(Between::Routes, Rules::Iptables), rows::translated()),
    ];
    if codes.iter().all(|code| *code == ExitCode::SUCCESS) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
