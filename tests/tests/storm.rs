//! New translated connections, many a second: each joined with its other half, with descriptors, memory and
//! processor time in bounds; and a table of tracked connections that has no room for one more.
//!
//! `NETOBS_STORM=4000x30` makes it four thousand a second for thirty seconds; without it a storm that a debug build
//! weathers as well. Figures are printed, and bounds that depend on the machine's speed hold only for the long one.

use std::{env, process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::{Agent, whole},
    bare::Bare,
    exposition::Exposition,
    place::Place,
    process::{Background, until},
    require::TRAFFIC,
    site::SERVER,
    suite::{self, Case},
    traffic::{self, Server},
};

fn main() -> ExitCode {
    suite::run(
        &[TRAFFIC],
        Bare::new,
        vec![
            Case { name: "every_translated_connection_is_joined", check: joined as fn(&Bare) -> Result<()> },
            Case { name: "a_full_table_of_connections_is_said_to_be_full", check: full },
        ],
    )
}

/// Servers outside: the kernel looks for a free port longer, the more of a client's ports towards one server are taken
/// (`__inet_hash_connect`, Linux 6.18), and a connection that is over keeps its port for a minute.
const PORTS: [u16; 8] = [7001, 7002, 7003, 7004, 7005, 7006, 7007, 7008];
/// Connections of two clients to each server.
const PAIRS: u32 = 2 * PORTS.len() as u32;
/// So many sightings fit: six a connection, for the four seconds until it is over and taken out.
const MAX_FLOWS: &str = "262144";
const MASQUERADE: &str = "POSTROUTING -s 10.79.0.0/24 -o up0 -j MASQUERADE";

struct Storm {
    rate: u32,
    seconds: u32,
    long: bool,
}

impl Storm {
    fn asked() -> Result<Self> {
        let Some(text) = env::var_os("NETOBS_STORM") else {
            return Ok(Self { rate: 600, seconds: 5, long: false });
        };
        let text = text.to_string_lossy().into_owned();
        let (rate, seconds) = text.split_once('x').context("NETOBS_STORM is RATExSECONDS")?;
        Ok(Self { rate: rate.parse()?, seconds: seconds.parse()?, long: true })
    }

    /// For each client and server.
    fn each(&self) -> u32 {
        self.rate * self.seconds / PAIRS
    }

    fn all(&self) -> u32 {
        self.each() * PAIRS
    }
}

fn servers(bare: &Bare) -> Result<Vec<Server>> {
    let outside = Place::Stack(bare.site.outside());
    PORTS.iter().map(|port| traffic::tcp_server(&outside, &format!("{SERVER}:{port}"))).collect()
}

/// Both clients to all servers at once, until the last has done.
fn blow(bare: &Bare, storm: &Storm) -> Result<Duration> {
    let (count, rate) = (storm.each().to_string(), (storm.rate / PAIRS).max(1).to_string());
    let began = std::time::Instant::now();
    let mut clients = Vec::new();
    for (name, place) in [("left", bare.left()), ("right", bare.right())] {
        for port in PORTS {
            let to = format!("{SERVER}:{port}");
            let mut client = place.traffic(&["tcp-connect", &to, "--count", &count, "--rate", &rate])?;
            let log = traffic::log_in(bare.directory(), &format!("storm-{name}-{port}"));
            clients.push(Background::start(&mut client, &log)?);
        }
    }
    for mut client in clients {
        let status = client.wait(Duration::from_secs(120))?;
        ensure!(status.success(), "{status}: {}", client.log());
    }
    Ok(began.elapsed())
}

struct Use {
    cpu: f64,
    descriptors: i128,
    resident: i128,
}

fn used(page: &Exposition) -> Use {
    Use {
        cpu: page.sum("process_cpu_seconds_total", &[]),
        descriptors: whole(page.sum("process_open_fds", &[])),
        resident: whole(page.sum("process_resident_memory_bytes", &[])),
    }
}

fn snat(page: &Exposition) -> i128 {
    whole(page.sum("netobs_nat_translations_total", &[("type", "snat")]))
}

/// Connections a stack has opened since it exists.
fn opened(bare: &Bare) -> Result<u64> {
    let of = |place: &Place| traffic::tcp_statistic(place, "ActiveOpens");
    Ok(of(&bare.left())? + of(&bare.right())?)
}

fn joined(bare: &Bare) -> Result<()> {
    let storm = Storm::asked()?;
    bare.site.node().run(&format!("iptables -w -t nat -A {MASQUERADE}"))?;
    let agent = bare.agent(&["--max-flows", MAX_FLOWS])?;
    let _servers = servers(bare)?;
    let (before, page) = (opened(bare)?, agent.metrics()?);
    let (was, at_start) = (used(&page), snat(&page));
    let took = blow(bare, &storm)?;
    let at_end = used(&agent.metrics()?);
    let connections = opened(bare)? - before;
    ensure!(
        connections == u64::from(storm.all()),
        "{connections} connections were opened, not {}",
        storm.all()
    );
    let page = until("every connection to be booked", Duration::from_secs(15), || {
        let page = agent.metrics()?;
        let grown = snat(&page) - at_start;
        ensure!(grown >= i128::from(connections), "{grown} of {connections} are joined");
        Ok(page)
    })?;
    let seconds = took.as_secs_f64();
    let cores = (at_end.cpu - was.cpu) / seconds;
    let megabytes = (at_end.resident - was.resident) / (1 << 20);
    println!(
        "    {connections} translated connections in {seconds:.1} s, {:.0} a second: {cores:.2} cores, \
         {megabytes} MiB more, descriptors {} -> {}",
        connections as f64 / seconds,
        was.descriptors,
        at_end.descriptors,
    );
    ensure!(snat(&page) - at_start == i128::from(connections), "more are joined than there were");
    let lost = whole(page.sum("netobs_bpf_lost_events_total", &[("source", "conntrack")]));
    ensure!(lost == 0, "{lost} times the kernel could not tell of a connection");
    let overflow = whole(page.sum("netobs_flow_table_overflow_packets_total", &[]));
    ensure!(overflow == 0, "{overflow} packets had no room: the join is not put to the test");
    let outward = [("nat", "none"), ("path", "uplink"), ("protocol", "tcp"), ("source_kind", "container")];
    ensure!(page.sum("netobs_path_bytes_total", &outward) == 0.0, "some were booked as not translated");
    ensure!(
        at_end.descriptors <= was.descriptors + 8,
        "descriptors {} -> {}",
        was.descriptors,
        at_end.descriptors
    );
    if storm.long {
        ensure!(cores < 0.5, "the agent used {cores:.2} cores");
        ensure!(megabytes < 512, "it took {megabytes} MiB");
    }
    agent.stop()?;
    bare.site.node().run(&format!("iptables -w -t nat -D {MASQUERADE}"))?;
    Ok(())
}

/// The limit is the machine's, the entries are the namespace's: it is put back whatever happens.
struct Limit(String);

impl Limit {
    const NAME: &'static str = "/proc/sys/net/netfilter/nf_conntrack_max";

    fn of(entries: u32) -> Result<Self> {
        let before = std::fs::read_to_string(Self::NAME).context("reading the limit")?;
        std::fs::write(Self::NAME, entries.to_string()).context("changing the limit")?;
        Ok(Self(before.trim().to_owned()))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        std::fs::write(Self::NAME, &self.0).ok();
    }
}

fn full(bare: &Bare) -> Result<()> {
    bare.site.node().run(&format!("iptables -w -t nat -A {MASQUERADE}"))?;
    // The scrape's own connections would find no room either.
    for chain in ["OUTPUT -o", "PREROUTING -i"] {
        bare.site.node().run(&format!("iptables -w -t raw -A {chain} lo -j NOTRACK"))?;
    }
    let agent = bare.agent(&[])?;
    agent.source_is("conntrack", &["ready"])?;
    let entries =
        |agent: &Agent| Ok::<_, anyhow::Error>(whole(agent.metrics()?.sum("netobs_conntrack_entries", &[])));
    let tracked = u32::try_from(entries(&agent)?)?;
    let limit = Limit::of(tracked.max(1) + 20)?;
    let mut flood = bare.left().traffic(&["flood", SERVER, "--count", "200", "--rate", "2000"])?;
    netobs_tests::process::run_within(&mut flood, Duration::from_secs(20))?;
    until("the agent to say that the table is full", Duration::from_secs(5), || {
        let page = agent.metrics()?;
        let (entries, most) =
            (page.sum("netobs_conntrack_entries", &[]), page.sum("netobs_conntrack_entries_limit", &[]));
        ensure!(entries >= most && most > 0.0, "{entries} of {most}");
        agent.source_is("conntrack", &["failing"])
    })?;
    let doctor = agent.client(&["doctor", "-o", "json"])?;
    let checks: serde_json::Value = serde_json::from_str(&doctor.stdout)?;
    let check =
        checks["checks"].as_array().context("no checks")?.iter().find(|one| one["name"] == "conntrack");
    let check = check.context("no check of conntrack")?;
    ensure!(check["status"] == "degraded" && check["found"].to_string().contains("at the limit"), "{check}");
    drop(limit);
    until("the agent to say that it is not any more", Duration::from_secs(5), || {
        agent.source_is("conntrack", &["ready"])
    })?;
    agent.stop()?;
    bare.site.node().run(&format!("iptables -w -t nat -D {MASQUERADE}"))?;
    Ok(())
}
