//! Rounds over all workloads → medians and their spread. In a round every workload is measured next to the empty
//! program, because what a nanosecond is worth changes with the machine's other load.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use netobs::kernel::{AttachMode, Drain, Kernel, Options};
use netobs_common::{
    endpoint::{EndpointId, Kind, Party},
    hook::Hook,
    interface::{Interface, Role},
    key::AddressKey,
};
use netobs_tests::{
    assembled::{self, Order, Vary},
    packets::{A, A6, B, B6, samples::mapped},
    test_run::{self, Context},
};
use serde::Serialize;

use crate::workload::{ALL, Workload};

/// Runs of one packet, for the figures of one flow: some 50 ms.
const RUNS: u32 = 1_000_000;
/// Runs over many flows.
const MANY: u32 = 500_000;

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Bench {
    /// Kernel release.
    pub(crate) kernel: String,
    /// Rounds.
    pub(crate) rounds: u32,
    /// Instructions the verifier walked to accept the programs.
    pub(crate) verified_instructions: BTreeMap<&'static str, Option<u32>>,
    /// The empty program alone, nanoseconds a run.
    pub(crate) empty: Spread,
    /// By workload.
    pub(crate) rows: Vec<Row>,
}

/// One workload.
#[derive(Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: &'static str,
    /// Flows that take turns.
    pub(crate) flows: u32,
    /// Nanoseconds a packet in the classifier and all around it, as the kernel tells.
    pub(crate) raw: Spread,
    /// The same of the empty program in the same place.
    pub(crate) floor: Spread,
    /// The difference, round by round.
    pub(crate) net: Spread,
    /// The quotient, round by round; only where neither has a wrapper in front.
    pub(crate) times_empty: Option<Spread>,
}

/// Median and quartiles.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Self { median: at(0.5), low: at(0.25), high: at(0.75) }
    }
}

/// One workload in one round: nanoseconds of the classifier and of the empty program.
type Pair = (f64, f64);

pub(crate) fn all(rounds: u32, limit: Duration) -> Result<Bench> {
    let started = Instant::now();
    let empty = assembled::empty()?;
    let mut pairs: Vec<Vec<Pair>> = vec![Vec::new(); ALL.len()];
    let mut alone = Vec::new();
    let mut verified = BTreeMap::new();
    for _ in 0..rounds {
        ensure!(started.elapsed() < limit, "the machine is too slow: not {rounds} rounds in {limit:?}");
        for (workload, pairs) in ALL.iter().zip(&mut pairs) {
            let kernel = load(workload)?;
            let pair = if workload.flows == 1 {
                let pair = one_flow(&kernel, workload, empty.as_fd())?;
                alone.push(pair.1);
                pair
            } else {
                many_flows(&kernel, workload, empty.as_fd())?
            };
            pairs.push(pair);
            counted_all(kernel, workload, &mut verified)?;
        }
    }
    let rows = ALL.iter().zip(pairs).map(|(workload, pairs)| row(workload, &pairs)).collect();
    let kernel = nix::sys::utsname::uname()?.release().to_string_lossy().into_owned();
    Ok(Bench { kernel, rounds, verified_instructions: verified, empty: Spread::of(alone), rows })
}

/// As it runs on a container's interface: an owner there, addresses known, the interface on a bridge.
fn load(workload: &Workload) -> Result<Kernel> {
    let mut kernel =
        Kernel::load(Options { max_flows: workload.room, attach: AttachMode::Auto, own_network: 0 })?;
    let web = Party::new(EndpointId(20), Kind::CONTAINER, true);
    let db = Party::new(EndpointId(21), Kind::CONTAINER, true);
    let addresses = [(mapped(A), web), (mapped(B), db), (A6, web), (B6, db)];
    let addresses = addresses.map(|(address, party)| (AddressKey { address, segment: 7 }, party));
    ensure!(kernel.set_addresses(addresses.into()) == 0, "four addresses are too many");
    let veth = Interface {
        id: 1,
        owner: web.id,
        owner_kind: web.kind,
        segment: 7,
        role: Role::VETH,
        port: 1,
        ..Interface::default()
    };
    kernel.set_interface(1, veth)?;
    Ok(kernel)
}

fn time(program: BorrowedFd<'_>, packet: &[u8], runs: u32) -> Result<f64> {
    let outcome = test_run::run(program, packet, &Context::default(), runs)?;
    ensure!(outcome.verdict == u32::MAX, "the verdict is {:#x}: nothing was measured", outcome.verdict);
    Ok(f64::from(outcome.nanoseconds))
}

fn one_flow(kernel: &Kernel, workload: &Workload, empty: BorrowedFd<'_>) -> Result<Pair> {
    let (packet, _) = workload.family.packet();
    let program = kernel.program(Hook::INGRESS)?;
    // The first packet makes the entry.
    time(program, &packet, 1_000)?;
    Ok((time(program, &packet, RUNS)?, time(empty, &packet, RUNS)?))
}

fn many_flows(kernel: &Kernel, workload: &Workload, empty: BorrowedFd<'_>) -> Result<Pair> {
    let (packet, offset) = workload.family.packet();
    // Little-endian over both ports: the number goes to the source port, and 80 is the other.
    let base = u32::from_le_bytes([0, 0, 0, 80]);
    let program = kernel.program(Hook::INGRESS)?;
    let over = |order, runs| {
        let vary = Vary { offset, base, order }.load()?;
        vary.lead_to(empty)?;
        time(vary.as_fd(), &packet, runs)?;
        let floor = time(vary.as_fd(), &packet, runs)?;
        // Anew, because a sequence begins where it ended.
        let vary = Vary { offset, base, order }.load()?;
        vary.lead_to(program)?;
        anyhow::Ok((time(vary.as_fd(), &packet, runs)?, floor))
    };
    let first = over(Order::Sequence, workload.flows)?;
    if workload.first {
        return Ok(first);
    }
    // In another order than the entries were made in: neighbours in memory must not help.
    over(Order::Random(workload.flows), MANY)
}

/// That what was measured did the work: every packet counted, and as many flows listed as there are or fit.
fn counted_all(
    mut kernel: Kernel,
    workload: &Workload,
    verified: &mut BTreeMap<&'static str, Option<u32>>,
) -> Result<()> {
    let mut drain = Drain::default();
    kernel.drain(&mut drain)?;
    let packets: u64 = drain.paths.iter().map(|(_, path)| path.all.packets).sum();
    let wanted = match workload {
        Workload { flows: 1, .. } => RUNS + 1_000,
        Workload { first: true, flows, .. } => *flows,
        Workload { flows, .. } => flows + MANY,
    };
    ensure!(packets == u64::from(wanted), "{}: {packets} packets counted of {wanted}", workload.name);
    let listed = workload.flows.min(workload.room) as usize;
    ensure!(drain.flows.len() == listed, "{}: {} flows, not {listed}", workload.name, drain.flows.len());
    for hook in [Hook::INGRESS, Hook::EGRESS] {
        verified.insert(hook.name(), kernel.verified_instructions(hook)?);
    }
    Ok(())
}

fn row(workload: &Workload, pairs: &[Pair]) -> Row {
    let of = |value: fn(&Pair) -> f64| Spread::of(pairs.iter().map(value).collect());
    Row {
        name: workload.name,
        flows: workload.flows,
        raw: of(|pair| pair.0),
        floor: of(|pair| pair.1),
        net: of(|pair| pair.0 - pair.1),
        times_empty: (workload.flows == 1).then(|| of(|pair| pair.0 / pair.1)),
    }
}
