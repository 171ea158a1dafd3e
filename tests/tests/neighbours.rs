//! Addresses that nobody has, and gateways and endpoints that are gone → evidence, verdicts and counts, to the number of
//! failures that the kernel itself keeps.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::{Agent, whole},
    bare::{BRIDGE, Bare, LEFT_VETH, RIGHT},
    netns::Stack,
    place::Place,
    process::{self, run_within, until},
    require::TRAFFIC,
    site::{ROUTER, SERVER, UPLINK},
    suite::{self, Case},
    traffic,
};
use serde_json::Value;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC],
        site,
        vec![
            case("the_host_asks_for_an_address_nobody_has", host as fn(&Bare) -> Result<()>),
            case("an_endpoint_asks_for_an_address_nobody_has", endpoint),
            case("over_ipv6_both_are_told_as_well", over_ipv6),
            case("what_is_forwarded_waits_for_the_hosts_neighbour", forwarded),
            case("a_gateway_that_is_gone_is_named", gateway),
            case("an_endpoint_that_went_away_is_unreachable_for_its_neighbours", went_away),
            case("whoever_answers_or_is_taken_out_of_the_table_is_no_failure", healthy),
        ],
    )
}

const NOBODY: &str = "10.79.0.99";
const NODE_V6: &str = "2001:db8:79::1";
const LEFT_V6: &str = "2001:db8:79::2";
const NOBODY_V6: &str = "2001:db8:79::99";

fn site() -> Result<Bare> {
    let bare = Bare::new()?;
    bare.site.node.batch(&format!("addr add {NODE_V6}/64 dev {BRIDGE} nodad\n"))?;
    bare.left().stack()?.run(&format!("ip addr add {LEFT_V6}/64 dev eth0 nodad"))?;
    Ok(bare)
}

/// How many neighbours the kernel gave up, by the name of its table. The counter is the machine's and not a namespace's
/// (`neigh_table.stats`, Linux 6.18).
fn given_up(stack: &Stack, table: &str) -> Result<u64> {
    let answer: Value = serde_json::from_str(&stack.run(&format!("ip -s -j ntable show name {table}"))?)?;
    let of_all = answer.as_array().and_then(|all| all.iter().find(|one| one["res_failed"].is_u64()));
    of_all.and_then(|one| one["res_failed"].as_u64()).with_context(|| format!("no res_failed in {answer}"))
}

/// Lets `fail` make the kernel give neighbours up, so many if that is known before, and holds the agent's count against
/// the kernel's: as many, and all of them the host's or none. Three tries, since somebody else on the machine may fail.
fn held(
    bare: &Bare,
    table: &str,
    wanted: Option<u64>,
    of_host: bool,
    fail: impl Fn() -> Result<()>,
) -> Result<(Agent, u64)> {
    let node = bare.site.node();
    for _ in 0..3 {
        let before = given_up(&node, table)?;
        let agent = bare.agent(&[])?;
        fail()?;
        // A question is given up a second after the last, or three, and that is told with the tick after.
        std::thread::sleep(Duration::from_secs(5));
        let truth = given_up(&node, table)? - before;
        if wanted.is_some_and(|wanted| wanted != truth) {
            println!("    the kernel gave {truth} up: somebody else fails too");
            agent.stop()?;
            continue;
        }
        let page = agent.metrics()?;
        let metric = |labels: &[(&str, &str)]| whole(page.sum("netobs_neighbor_failures_total", labels));
        let (all, hosts) = (metric(&[]), metric(&[("source_kind", "host")]));
        println!("    the kernel gave {truth} up, {all} were told");
        if all != i128::from(truth) && wanted.is_none() {
            agent.stop()?;
            continue;
        }
        ensure!(all == i128::from(truth), "the kernel gave {truth} up, the metric says {all}");
        ensure!(truth > 0 || wanted == Some(0), "nobody was given up");
        ensure!(hosts == if of_host { all } else { 0 }, "{hosts} of {all} are the host's");
        return Ok((agent, truth));
    }
    anyhow::bail!("the counts differed three times")
}

/// Sends a datagram so often that each is one to give up, the next when the last one is.
fn ask(bare: &Bare, from: &Place<'_>, to: &str, table: &str, times: u64) -> Result<()> {
    let before = given_up(&bare.site.node(), table)?;
    for time in 1..=times {
        let mut send = from.traffic(&["udp-send", to, "--count", "1", "--size", "20"])?;
        run_within(&mut send, Duration::from_secs(5))?;
        until("the neighbour to be given up", Duration::from_secs(8), || {
            let failed = given_up(&bare.site.node(), table)? - before;
            ensure!(failed >= time, "{failed} of {time}");
            Ok(())
        })?;
    }
    Ok(())
}

fn connect_fails(from: &Place<'_>, to: &str) -> Result<()> {
    let mut connect = from.traffic(&["tcp-connect", to])?;
    ensure!(run_within(&mut connect, Duration::from_secs(20)).is_err(), "it connected to {to}");
    Ok(())
}

/// The only flow of those that the words select which knows of a neighbour that did not answer; it says so often, at that
/// hop, of that address.
fn told(agent: &Agent, select: &[&str], address: &str, hop: &str, count: Option<u64>) -> Result<Value> {
    let answer = agent.query(&[&["flows"], select].concat())?;
    let list = answer["flows"].as_array().context("no flows")?;
    let has = |one: &&Value| one["evidence"].to_string().contains("neighbor_unanswered");
    let all: Vec<&Value> = list.iter().filter(has).collect();
    let [flow] = all[..] else { anyhow::bail!("{} flows know of it, of {list:#?}", all.len()) };
    let evidence = flow["evidence"].as_array().context("no evidence")?;
    let facts: Vec<&Value> = evidence.iter().filter(|one| one["kind"] == "neighbor_unanswered").collect();
    let [fact] = facts[..] else { anyhow::bail!("{facts:?}") };
    ensure!(fact["detail"] == format!("{address} did not answer") && fact["hop"] == hop, "{fact}");
    ensure!(count.is_none_or(|count| fact["count"] == count), "{fact}");
    ensure!(flow["verdict"] == "unreachable", "{flow:#}");
    Ok(flow.clone())
}

/// There is one pair in that verdict.
fn one_pair(agent: &Agent) -> Result<()> {
    let page = agent.metrics()?;
    let pairs = page.select("netobs_path_pairs", &[("verdict", "unreachable")]);
    let pairs: Vec<_> = pairs.filter(|one| one.value > 0.0).collect();
    ensure!(matches!(pairs[..], [one] if whole(one.value) == 1), "unreachable are {pairs:?}");
    Ok(())
}

fn host(bare: &Bare) -> Result<()> {
    let to = format!("{NOBODY}:9301");
    let (agent, _) = held(bare, "arp_cache", Some(3), true, || ask(bare, &bare.node(), &to, "arp_cache", 3))?;
    let flow = told(&agent, &["--address", NOBODY], NOBODY, &format!("{BRIDGE} egress"), Some(3))?;
    ensure!(flow["protocol"] == "arp" && flow["source"]["endpoint"] == "host", "{flow:#}");
    one_pair(&agent)?;
    agent.stop()?;
    let (agent, _) = held(bare, "arp_cache", Some(1), true, || connect_fails(&bare.node(), &to))?;
    let outcome = [("outcome", "unreachable"), ("source_kind", "host")];
    let attempts = whole(agent.metrics()?.sum("netobs_connection_attempts_total", &outcome));
    ensure!(attempts == 1, "{attempts} attempts were unreachable");
    agent.stop()?;
    Ok(())
}

fn endpoint(bare: &Bare) -> Result<()> {
    let to = format!("{NOBODY}:9302");
    let (agent, _) =
        held(bare, "arp_cache", Some(2), false, || ask(bare, &bare.left(), &to, "arp_cache", 2))?;
    let flow = told(&agent, &["--address", NOBODY], NOBODY, &format!("{LEFT_VETH} ingress"), Some(2))?;
    ensure!(flow["protocol"] == "arp" && flow["path"] == "bridge", "{flow:#}");
    ensure!(flow["destination"]["endpoint"] == "unknown", "{flow:#}");
    one_pair(&agent)?;
    agent.stop()?;
    Ok(())
}

fn over_ipv6(bare: &Bare) -> Result<()> {
    let to = format!("[{NOBODY_V6}]:9303");
    for (from, of_host, hop) in [
        (bare.node(), true, format!("{BRIDGE} egress")),
        (bare.left(), false, format!("{LEFT_VETH} ingress")),
    ] {
        let (agent, _) =
            held(bare, "ndisc_cache", Some(2), of_host, || ask(bare, &from, &to, "ndisc_cache", 2))?;
        let flow = told(&agent, &["--address", NOBODY_V6], NOBODY_V6, &hop, Some(2))?;
        ensure!(flow["protocol"] == "icmpv6", "{flow:#}");
        agent.stop()?;
    }
    Ok(())
}

fn forwarded(bare: &Bare) -> Result<()> {
    let absent = "198.51.100.77";
    let connect = || connect_fails(&bare.left(), &format!("{absent}:9304"));
    // The attempt is repeated when the first one is given up, so there are one or two.
    let (agent, failures) = held(bare, "arp_cache", None, true, connect)?;
    told(&agent, &["--port", "9304"], absent, &format!("{UPLINK} egress"), Some(failures))?;
    let outcome = [("outcome", "unreachable")];
    let attempts = whole(agent.metrics()?.sum("netobs_connection_attempts_total", &outcome));
    ensure!(attempts == 1, "{attempts} attempts were unreachable");
    agent.stop()?;
    Ok(())
}

fn gateway(bare: &Bare) -> Result<()> {
    let (node, gone) = (bare.site.node(), "198.51.100.254");
    node.run(&format!("ip route replace default via {gone}"))?;
    let connect = || connect_fails(&bare.left(), &format!("{SERVER}:9305"));
    let held = held(bare, "arp_cache", None, true, connect);
    node.run(&format!("ip route replace default via {ROUTER}"))?;
    let (agent, failures) = held?;
    told(&agent, &["--port", "9305"], gone, &format!("{UPLINK} egress"), Some(failures))?;
    agent.stop()?;
    Ok(())
}

fn went_away(bare: &Bare) -> Result<()> {
    let (left, right) = (bare.left().stack()?, bare.right().stack()?);
    // What was reachable is asked for again after half a second and not after thirty.
    left.sysctl("net/ipv4/neigh/eth0/base_reachable_time_ms", "500")?;
    left.sysctl("net/ipv4/neigh/eth0/delay_first_probe_time", "1")?;
    let go = || -> Result<()> {
        traffic::ping(&bare.left(), RIGHT, 1)?;
        let mut ping = bare.left().command("ping", ["-q", "-n", "-i", "0.5", "-c", "24", RIGHT]);
        let gone = std::thread::spawn({
            let right = right.clone();
            move || -> Result<String> {
                std::thread::sleep(Duration::from_secs(2));
                right.run("ip link set eth0 down")
            }
        });
        process::finish(&mut ping, Duration::from_secs(40))?;
        gone.join().map_err(|_| anyhow::anyhow!("the thread failed"))??;
        Ok(())
    };
    let back = |right: &Stack| right.run("ip link set eth0 up").map(drop);
    let held = held(bare, "arp_cache", None, false, || {
        back(&right)?;
        go()
    });
    back(&right)?;
    let (agent, _) = held?;
    let hop = format!("{LEFT_VETH} ingress");
    let flow = told(&agent, &["--address", RIGHT, "--where", "protocol=icmp"], RIGHT, &hop, None)?;
    ensure!(flow["path"] == "bridge", "{flow:#}");
    agent.stop()?;
    Ok(())
}

fn healthy(bare: &Bare) -> Result<()> {
    let (left, right) = (bare.left(), bare.right());
    let (agent, _) = held(bare, "arp_cache", Some(0), true, || {
        for (from, to) in
            [(&left, RIGHT), (&left, SERVER), (&right, netobs_tests::bare::LEFT), (&bare.node(), RIGHT)]
        {
            traffic::ping(from, to, 3)?;
        }
        // Taken out while they are known, the entries are marked as failed, and nobody was asked.
        bare.site.node().run(&format!("ip neigh del {RIGHT} dev {BRIDGE}"))?;
        left.stack()?.run("ip neigh flush dev eth0")?;
        // Announces itself, and asks whether somebody else has its address.
        left.stack()?.sysctl("net/ipv4/conf/eth0/arp_notify", "1")?;
        left.stack()?.run("ip link set eth0 down")?;
        left.stack()?.run("ip link set eth0 up")?;
        left.stack()?.run(&format!("ip route replace default via {}", netobs_tests::bare::GATEWAY))?;
        left.stack()?.sysctl("net/ipv6/conf/eth0/accept_dad", "1")?;
        left.stack()?.run("ip addr add 2001:db8:79::7/64 dev eth0")?;
        traffic::ping(&left, RIGHT, 3)
    })?;
    let bad = whole(agent.metrics()?.sum("netobs_path_pairs", &[("verdict", "unreachable")]));
    ensure!(bad == 0, "{bad} pairs are unreachable");
    let asked =
        agent.flows()?.iter().filter(|flow| ["arp", "icmpv6"].contains(&flow.protocol.as_str())).count();
    ensure!(asked > 3, "{asked} flows ask for neighbours: nothing was proven");
    agent.stop()?;
    Ok(())
}
