//! Coming and going: containers whose first packet is their first act, interfaces that live a second; and nothing of
//! them left in the agent afterwards.
//!
//! `NETOBS_CHURN` is the number of containers (40 unless told otherwise; 300 take six minutes on two cores); of pairs
//! there are 100, and 1,000 from 300 containers on.

use std::{
    collections::BTreeMap,
    fs,
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::{Agent, whole},
    bpf::{Tcx, tcx_programs},
    docker_site::DockerSite,
    dockerd::IMAGE,
    exposition::Exposition,
    netns::Netns,
    process::until,
    require::{DOCKER, TRAFFIC},
    residue,
    site::SERVER,
    suite::{self, Case},
    traffic,
};

/// Containers started at the same time.
const ABREAST: u32 = 4;
/// Pairs made at the same time. The kernel takes some 25 ms to put programs on one (a grace period for each hook, under
/// the lock of the network configuration; Linux 6.18), so of more than forty that appear within a second the last ones
/// wait longer.
const BATCH: u32 = 20;
/// Entries by which a table may differ: who lives on may talk in a way it did not before (one key more for each hook,
/// seen in two of ten runs), and is just asking its neighbours. What is left behind would be as many as containers.
const FEW: i128 = 8;
/// How much more memory the agent may hold afterwards.
const MEMORY: u64 = 5 << 20;
/// Tables that keep a connection whose end was not seen until it is idle (300 s, and listed 30 s longer). The short form
/// does not wait for that: those two it leaves out.
const OF_FLOWS: [&str; 2] = ["flows", "paths"];
/// How long the short form waits before it counts: what the first round leaves behind is a quarter of the second's.
const SHORT: Duration = Duration::from_secs(45);
/// How long endpoints, flows and series of what is gone are kept, and some.
const SETTLED: Duration = Duration::from_secs(150);
/// The same of a connection whose end was not seen, for its container went first: idle for 300 s, listed 30 s longer.
const AT_LATEST: Duration = Duration::from_secs(360);

/// Fields go in this order: the agent before what it observes.
struct Scene {
    agent: Agent,
    site: DockerSite,
}

fn main() -> ExitCode {
    suite::run(
        &[TRAFFIC, DOCKER],
        || {
            let site = DockerSite::new()?;
            let directory = site.directory().join("agent");
            let agent = Agent::start(&site.site.node(), &directory, &site.docker.socket(), &[])?;
            Ok(Scene { agent, site })
        },
        vec![Case {
            name: "containers_and_interfaces_that_come_and_go_leave_nothing",
            check: churn as Check,
        }],
    )
}

type Check = fn(&Scene) -> Result<()>;

/// What the agent holds.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    links: usize,
    /// By table of the kernel side.
    entries: BTreeMap<String, i128>,
    memory: u64,
}

impl Held {
    /// Tables that hold more than `before`, and more than a few, with by how much; of the short form, but those of flows.
    fn grown(&self, before: &Self, is_whole: bool) -> Vec<(&str, i128)> {
        let earlier = |table: &str| before.entries.get(table).copied().unwrap_or(0);
        let grown = self.entries.iter().map(|(table, now)| (table.as_str(), now - earlier(table)));
        let counts = |table: &str| is_whole || !OF_FLOWS.contains(&table);
        grown.filter(|(table, more)| *more > FEW && counts(table)).collect()
    }
}

fn churn(scene: &Scene) -> Result<()> {
    let containers: u32 = std::env::var("NETOBS_CHURN").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let pairs = if containers >= 300 { 1_000 } else { 100 };
    // What is made once is made before the first count: tables grown, code paged in.
    start_and_remove(scene, 4)?;
    come_and_go(scene, BATCH)?;
    let is_whole = containers >= 300;
    thread::sleep(if is_whole { SETTLED } else { SHORT });
    let before = held(scene)?;
    let attempts = attempts(scene)?;
    start_and_remove(scene, containers)?;
    until("the last attempts", Duration::from_secs(10), || {
        let seen = self::attempts(scene)? - attempts;
        ensure!(seen * 100 >= i128::from(containers) * 95, "{seen} of {containers} first packets were seen");
        Ok(())
    })?;
    let seen = self::attempts(scene)? - attempts;
    come_and_go(scene, pairs)?;
    let deadline = Instant::now() + if is_whole { AT_LATEST } else { SETTLED };
    loop {
        let after = held(scene)?;
        let left = [
            after.descriptors > before.descriptors,
            after.links > before.links,
            !after.grown(&before, is_whole).is_empty(),
            after.memory > before.memory + MEMORY,
        ];
        if left == [false; 4] {
            println!(
                "{seen} of {containers} first packets seen, {pairs} pairs; before {before:?}, after {after:?}"
            );
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "left behind: before {before:?}, after {after:?}, grown {:?}",
            after.grown(&before, is_whole)
        );
        thread::sleep(Duration::from_secs(2));
    }
}

fn held(scene: &Scene) -> Result<Held> {
    let pid = scene.agent.id();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let memory: u64 = memory.trim().trim_end_matches(" kB").parse()?;
    let objects = residue::held_by(pid)?;
    Ok(Held {
        descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
        links: objects.iter().filter(|(class, _)| *class == "link").count(),
        entries: entries(&scene.agent.metrics()?),
        memory: memory * 1024,
    })
}

/// Entries of the kernel side's tables, by table.
fn entries(metrics: &Exposition) -> BTreeMap<String, i128> {
    let tables = metrics.select("netobs_bpf_map_entries", &[]);
    tables.filter_map(|one| Some((one.labels.get("map")?.clone(), whole(one.value)))).collect()
}

/// Connections of containers to the outside whose first packet was seen.
fn attempts(scene: &Scene) -> Result<i128> {
    let labels = [("source_kind", "container"), ("destination_kind", "external"), ("outcome", "established")];
    Ok(whole(scene.agent.metrics()?.sum("netobs_connection_attempts_total", &labels)))
}

/// Containers that connect to the outside as the first thing they do, once, and end.
fn start_and_remove(scene: &Scene, count: u32) -> Result<()> {
    let server = traffic::tcp_server(&scene.site.outside(), "0.0.0.0:7001")?;
    let next = AtomicU32::new(0);
    let work = || -> Result<()> {
        while next.fetch_add(1, Ordering::Relaxed) < count {
            let target = format!("{SERVER}:7001");
            let run =
                ["run", "--rm", IMAGE, "traffic", "tcp-connect", &target, "--count", "1", "--bytes", "100"];
            scene.site.docker.docker(&run)?;
        }
        Ok(())
    };
    let done: Result<Vec<()>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..ABREAST).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| anyhow::bail!("a worker panicked")))
            .collect()
    });
    done?;
    drop(server);
    Ok(())
}

/// Pairs with one end in another stack: each is there for a second, and programs are on it before that ends.
fn come_and_go(scene: &Scene, count: u32) -> Result<()> {
    let node = scene.site.site.node();
    let other = Netns::new("far")?;
    for batch in 0..count / BATCH {
        let names: Vec<String> = (0..BATCH).map(|one| format!("nb{batch}x{one}")).collect();
        let add =
            |name: &String| format!("link add {name} type veth peer name {name} netns {}\n", other.name());
        node.batch(&names.iter().map(add).collect::<String>())?;
        let made = Instant::now();
        let attached = || names.iter().filter(|name| is_attached(scene, name)).count();
        let mut seen = attached();
        while seen < names.len() && made.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(20));
            seen = attached();
        }
        ensure!(seen == names.len(), "{seen} of {} interfaces have programs after a second", names.len());
        node.batch(&names.iter().map(|name| format!("link del {name}\n")).collect::<String>())?;
    }
    Ok(())
}

fn is_attached(scene: &Scene, name: &str) -> bool {
    let programs =
        |place| tcx_programs(&scene.site.site.node(), name, place).is_ok_and(|all| !all.is_empty());
    programs(Tcx::Ingress) && programs(Tcx::Egress)
}
