//! A cluster with an agent on each node, a server wherever one is needed, a virtual machine; and what happened on both
//! nodes between two quiet moments.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use netobs_tests::{
    agent::Agent,
    cluster::{
        Between, Cluster, Rules, UPLINK,
        addresses::PORT,
        talk::{Spoken, Talk},
    },
    exposition::Exposition,
    interval::Interval,
    ledger::{self, Books, Difference},
    machine::{Card, Machine},
    machine_image::MachineImage,
    process::{own_program, until},
    tracer::{self, Seen, Tracer},
    traffic::{self, Server},
};

/// The machine: a port of the first node's bridge, among its pods.
pub(crate) const MACHINE: &str = "vm";
const CARD: Card = Card { tap: "tapv", mac: 0x71, address: "10.71.1.9/24", gateway: Some("10.71.1.1") };
const UUID: &str = "7b4e28ba-2fa1-11d2-883f-0016d3cca427";

/// Both agents' books of a quiet moment, and tracers since then.
struct Quiet {
    books: [(Books, Exposition); 2],
    at: [u64; 2],
    tracers: [Tracer; 2],
}

/// Fields go in this order: agents and servers before what they are in.
pub(crate) struct Scene {
    pub(crate) agents: [Agent; 2],
    _servers: Vec<Server>,
    /// The end of the last interval, which is the beginning of the next.
    last: Mutex<Option<Quiet>>,
    machine: Machine,
    pub(crate) cluster: Cluster,
    pub(crate) between: Between,
}

/// What happened on both nodes.
pub(crate) struct Happened<T> {
    pub(crate) intervals: [Interval; 2],
    pub(crate) seen: [Vec<Seen>; 2],
    pub(crate) done: T,
}

impl<T> Happened<T> {
    /// On both nodes every interface adds up, and the paths do.
    ///
    /// Two kinds of packets pass a hook of an interface that its own counters leave out (docs/paths.md): those between
    /// two macvlans of one parent, which it only shows at ingress, and those that bridge netfilter sends through the
    /// bridge's egress to find a receiver it translated to. There the tracer's count stands for the interface's.
    pub(crate) fn must_be_exact(&self) -> Result<()> {
        let mut wrong = String::new();
        for (node, (interval, seen)) in self.intervals.iter().zip(&self.seen).enumerate() {
            let traced = |one: &Difference| tracer::total(seen, &one.interface, one.hook == "ingress");
            let excused = |one: &Difference| {
                let place = (one.interface.as_str(), one.hook);
                matches!(place, (UPLINK, "ingress") | ("br0", "egress"))
                    && traced(one) == one.listed
                    && one.listed.packets > one.counted.packets
            };
            if let Err(error) = interval.must_be_exact_but_for(excused) {
                let differences = ledger::differences(&interval.before, &interval.after);
                let traced: Vec<_> =
                    differences.iter().map(|one| (&one.interface, one.hook, traced(one))).collect();
                wrong.push_str(&format!("  node n{}, traced {traced:?}: {error:#}\n", node + 1));
            }
        }
        if wrong.is_empty() { Ok(()) } else { bail!("{wrong}") }
    }
}

impl Scene {
    pub(crate) fn new(between: Between, rules: Rules) -> Result<Self> {
        let cluster = Cluster::new(between, rules)?;
        let node = cluster.node(1);
        node.run("ip tuntap add tapv mode tap")?;
        node.batch("link set tapv master br0\nlink set tapv up\n")?;
        let directory = cluster.directory().join("machines");
        fs::create_dir_all(&directory)?;
        let image = MachineImage::build(&directory, &[own_program("traffic")?])?;
        let machine = Machine::start(&node, &directory, &image, MACHINE, UUID, &[CARD])?;
        let servers = ["n1", "n2", "client", "a", "c", "w", "o"].map(|name| {
            traffic::tcp_server(&cluster.place(name)?, &format!("[::]:{PORT}"))
                .with_context(|| name.to_owned())
        });
        let servers = servers.into_iter().collect::<Result<_>>()?;
        let agents = [cluster.agent(1)?, cluster.agent(2)?];
        machine.wait()?;
        // Of IPv6 the machine's command line does not speak.
        machine.console.run(
            "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; ip -6 addr add fd00:71:1::9/64 dev eth0; \
             ip -6 route add default via fd00:71:1::1",
        )?;
        let last = Mutex::new(None);
        let scene = Self { agents, _servers: servers, last, machine, cluster, between };
        for (agent, ids) in
            scene.agents.iter().zip([&["pod/lab/a", "pod/lab/b", "vm/vm"][..], &["pod/lab/c"]])
        {
            for id in ids {
                until("the endpoints' names", Duration::from_secs(10), || agent.endpoint(id))?;
            }
        }
        Ok(scene)
    }

    /// A quiet moment. Each node has its own.
    fn quiet(&self) -> Result<Quiet> {
        let of = |node: usize| -> Result<((Books, Exposition), u64, Tracer)> {
            let books = self.agents[node].books()?;
            Ok((books, tracer::now()?, Tracer::attach(&self.cluster.node(node + 1))?))
        };
        let [one, other] = std::thread::scope(|scope| {
            let both = [0, 1].map(|node| scope.spawn(move || of(node)));
            both.map(|one| one.join().unwrap_or_else(|_| Err(anyhow!("a panic"))))
        });
        let (one, other) = (one.context("node n1")?, other.context("node n2")?);
        Ok(Quiet { books: [one.0, other.0], at: [one.1, other.1], tracers: [one.2, other.2] })
    }

    /// Does something between two quiet moments, under the eyes of agents and tracers. The end of one interval is the
    /// beginning of the next, so that nothing happens outside of all of them.
    pub(crate) fn around<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Happened<T>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match last.take() {
            Some(before) => before,
            None => self.quiet().context("before the traffic")?,
        };
        let done = work().context("the traffic itself")?;
        let after = self.quiet().context("after the traffic")?;
        let seen = |node: usize| -> Result<Vec<Seen>> {
            let mut seen = before.tracers[node].seen()?;
            // Whatever came later is of the next interval.
            seen.retain(|one| one.at < after.at[node]);
            Ok(seen)
        };
        let seen = [seen(0)?, seen(1)?];
        let [first, second] = before.books;
        let [third, fourth] = after.books.clone();
        *last = Some(after);
        let interval = |(before, scrape_before), (after, scrape_after)| Interval {
            before,
            after,
            scrape_before,
            scrape_after,
        };
        let intervals = [interval(first, third), interval(second, fourth)];
        Ok(Happened { intervals, seen, done })
    }

    /// Has conversations one after the other.
    pub(crate) fn speak(&self, talks: &[Talk]) -> Result<Happened<Vec<Spoken>>> {
        self.around(|| {
            let have = |talk: &Talk| {
                let machine = (talk.client == MACHINE).then_some(&self.machine.console);
                talk.have(&self.cluster, machine).with_context(|| talk.to_string())
            };
            talks.iter().map(have).collect::<Result<Vec<_>>>()
        })
    }
}
