//! Packets that firewalls and the kernel drop → the very numbers of the rules, with both names and the hop before;
//! nothing of what other namespaces drop; and a storm.
//!
//! `NETOBS_DROP_STORM=200000x10` makes it two hundred thousand packets a second for ten seconds, and holds the agent to
//! a tenth of a processor; without it a storm that any machine has time for.

use std::{env, fs, process::ExitCode, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::{Agent, whole},
    docker_site::{LONELY, WEB},
    matrix,
    netns::Stack,
    place::Place,
    process::{self, Background, until},
    require::{DOCKER, TRAFFIC},
    stage::Stage,
    suite::{self, Case},
    traffic,
};
use serde_json::Value;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER],
        Stage::new,
        vec![
            case(
                "what_a_rule_for_forwarded_packets_drops_is_told_to_the_packet",
                forwarded as fn(&Stage) -> Result<()>,
            ),
            case("connections_that_end_well_are_no_drops", ended_well),
            case("the_same_in_ipv6_and_by_nftables", otherwise),
            case("what_the_hosts_own_firewall_keeps_in_is_told", kept_in),
            case("what_nobody_in_a_container_listens_for_is_refused", nobody_listens),
            case("what_another_namespace_drops_is_not_ours", elsewhere),
            case("a_storm_is_counted_to_the_packet", storm),
        ],
    )
}

/// How soon a drop must be told.
const SOON: Duration = Duration::from_secs(5);

/// A rule that counts, while this value lives.
struct Rule {
    stack: Stack,
    program: &'static str,
    chain: &'static str,
    rule: String,
}

impl Rule {
    fn new(stack: &Stack, program: &'static str, chain: &'static str, rule: &str) -> Result<Self> {
        stack.run(&format!("{program} -w -I {chain} {rule} -j DROP"))?;
        Ok(Self { stack: stack.clone(), program, chain, rule: rule.to_owned() })
    }

    /// Packets and bytes it has taken.
    fn counted(&self) -> Result<(u64, u64)> {
        let text = self.stack.run(&format!("{} -w -nvxL {}", self.program, self.chain))?;
        let rule =
            text.lines().find(|line| line.contains("DROP")).with_context(|| format!("no rule in {text}"))?;
        let mut words = rule.split_whitespace();
        let mut number = || words.next().context("no counter")?.parse::<u64>().context("no number");
        Ok((number()?, number()?))
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        let Self { stack, program, chain, rule } = self;
        if let Err(error) = stack.run(&format!("{program} -w -D {chain} {rule} -j DROP")) {
            eprintln!("{error:#}");
        }
    }
}

fn rows(agent: &Agent) -> Result<Vec<Value>> {
    let document = agent.query(&["drops"])?;
    Ok(document["drops"].as_array().context("no list of drops")?.clone())
}

/// The rows between two endpoints.
fn between_all(agent: &Agent, ends: [&str; 2]) -> Result<Vec<Value>> {
    let is_it =
        |row: &Value| row["source"]["endpoint"] == ends[0] && row["destination"]["endpoint"] == ends[1];
    Ok(rows(agent)?.into_iter().filter(is_it).collect())
}

/// Those of one protocol, for a reason.
fn between(agent: &Agent, ends: [&str; 2], protocol: &str, reason: &str) -> Result<Vec<Value>> {
    let is_it = |row: &Value| row["protocol"] == protocol && row["reason"] == reason;
    Ok(between_all(agent, ends)?.into_iter().filter(is_it).collect())
}

fn sum(rows: &[Value], field: &str) -> u64 {
    rows.iter().filter_map(|row| row[field].as_u64()).sum()
}

/// Waits until the rows say what a rule has counted since `before`; one of them.
fn told(agent: &Agent, ends: [&str; 2], protocol: &str, rule: &Rule, before: (u64, u64)) -> Result<Value> {
    until("the drops' rows", SOON, || {
        let counted = rule.counted()?;
        let wanted = (counted.0 - before.0, counted.1 - before.1);
        let rows = between(agent, ends, protocol, "netfilter_drop")?;
        let found = (sum(&rows, "packets"), sum(&rows, "bytes"));
        ensure!(wanted.0 > 0 && found == wanted, "{protocol}: {found:?}, and the rule took {wanted:?}");
        Ok(rows[0].clone())
    })
}

/// SYNs, without waiting for an answer that does not come.
fn knock(stage: &Stage, place: &Place<'_>, to: &str, name: &str) -> Result<()> {
    let log = traffic::log_in(stage.site.directory(), name);
    let knocking = Background::start(&mut place.traffic(&["tcp-connect", to])?, &log)?;
    thread::sleep(Duration::from_millis(1_500));
    drop(knocking);
    Ok(())
}

/// Three of ICMP, three datagrams, two SYNs; errors of senders whose own host keeps them back are no failure.
fn send(stage: &Stage, place: &Place<'_>, to: &str, name: &str) -> Result<()> {
    let mut ping = place.command("ping", ["-c", "3", "-i", "0.2", "-W", "1", to]);
    process::finish(&mut ping, Duration::from_secs(10))?;
    let host = if to.contains(':') { format!("[{to}]") } else { to.to_owned() };
    for _ in 0..3 {
        let mut datagram =
            place.traffic(&["udp-send", &format!("{host}:9009"), "--count", "1", "--size", "100"])?;
        process::finish(&mut datagram, Duration::from_secs(10))?;
    }
    knock(stage, place, &format!("{host}:81"), name)
}

/// Sends all three, and holds what is told against the rule, protocol by protocol.
fn hold(
    stage: &Stage,
    from: &Place<'_>,
    (to, ends): (&str, [&str; 2]),
    rule: impl Fn(&str) -> Result<Rule>,
    last_hop: Option<(&str, &str)>,
    next: Option<&str>,
) -> Result<()> {
    let icmp = if to.contains(':') { "icmpv6" } else { "icmp" };
    let rules = [(icmp, rule(icmp)?), ("udp", rule("udp")?), ("tcp", rule("tcp")?)];
    send(stage, from, to, &format!("knock-{}", ends.join("-").replace('/', "-")))?;
    for (protocol, rule) in &rules {
        let row = told(&stage.agent, ends, protocol, rule, (0, 0))?;
        let hop = &row["last_hop"];
        match last_hop {
            Some((interface, hook)) => {
                ensure!(hop["interface"] == interface && hop["hook"] == hook, "{protocol}: {row}");
            }
            None => ensure!(hop.is_null(), "{protocol}: {row}"),
        }
        ensure!(row["expected_next_hop"]["interface"].as_str() == next, "{protocol}: {row}");
        ensure!(row["class"] == "dropped" && row["location"].is_string(), "{protocol}: {row}");
    }
    Ok(())
}

fn forwarded(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let web = stage.site.address(WEB)?;
    // A daemon that leaves the firewall alone makes the chain, or not, and does not jump to it.
    if node.run("iptables -w -nL DOCKER-USER").is_err() {
        node.run("iptables -w -N DOCKER-USER")?;
    }
    node.run("iptables -w -I FORWARD -j DOCKER-USER")?;
    let veth = stage.veth(LONELY)?;
    let bridge = node.run(&format!("ip -o link show dev {veth}"))?;
    let bridge = bridge
        .split_whitespace()
        .skip_while(|word| *word != "master")
        .nth(1)
        .context("no bridge")?
        .to_owned();
    let before = stage.agent.metrics()?;
    let lonely = format!("container/{LONELY}");
    let ends = [lonely.as_str(), "container/web"];
    let expected = stage.veth(WEB)?;
    // One rule for each protocol, so that each count is one rule's.
    let chains = |protocol: &str| {
        let chain = match protocol {
            "icmp" => "NETOBS-ICMP",
            "udp" => "NETOBS-UDP",
            _ => "NETOBS-TCP",
        };
        node.run(&format!("iptables -w -N {chain}"))?;
        node.run(&format!("iptables -w -I DOCKER-USER -p {protocol} -j {chain}"))?;
        Rule::new(&node, "iptables", chain, &format!("-d {web}"))
    };
    hold(stage, &stage.place(LONELY)?, (&web, ends), chains, Some((&bridge, "ingress")), Some(&expected))?;
    // The verdict of the attempt, its evidence, and the metrics.
    until("the attempt's outcome", SOON, || {
        let answer = stage.agent.query(&["flows", "--verdict", "dropped"])?;
        let all = answer["flows"].as_array().context("no flows")?;
        let flow = all.iter().find(|one| one["protocol"] == "tcp" && one["source"]["endpoint"] == ends[0]);
        let flow = flow.context("no TCP flow is dropped")?;
        let evidence = flow["evidence"].as_array().context("no evidence")?;
        let drop = evidence.iter().find(|one| one["kind"] == "drop").context("no evidence of it")?;
        ensure!(drop["detail"] == "netfilter_drop" && drop["hop"] == format!("{bridge} ingress"), "{drop}");
        let page = stage.agent.metrics()?;
        let attempts = page.sum("netobs_connection_attempts_total", &[("outcome", "dropped")]);
        ensure!(whole(attempts) == 1, "{attempts} attempts are dropped");
        Ok(())
    })?;
    let labels = [("reason", "netfilter_drop"), ("last_hop", "bridge"), ("path", "routed_local")];
    let dropped = |page: &netobs_tests::exposition::Exposition| {
        whole(page.sum("netobs_dropped_packets_total", &labels))
    };
    let more = dropped(&stage.agent.metrics()?) - dropped(&before);
    let listed = sum(
        &rows(&stage.agent)?
            .into_iter()
            .filter(|row| row["source"]["endpoint"] == ends[0])
            .collect::<Vec<_>>(),
        "packets",
    );
    ensure!(more == i128::from(listed), "{more} in the metric, {listed} in the list");
    Ok(())
}

/// Linux frees the last segments of a connection for no reason it gives.
fn ended_well(stage: &Stage) -> Result<()> {
    const CONNECTIONS: u32 = 50;
    let address = stage.site.address("plain")?;
    let apart = |page: &netobs_tests::exposition::Exposition| {
        whole(page.sum("netobs_drops_apart_packets_total", &[("reason", "not_specified")]))
    };
    let before = stage.agent.metrics()?;
    let _server = traffic::tcp_server(&stage.place("plain")?, "0.0.0.0:7300")?;
    traffic::connect(&stage.place(WEB)?, &format!("{address}:7300"), CONNECTIONS, 1_000)?;
    traffic::connect(&stage.node(), &format!("{address}:7300"), CONNECTIONS, 1_000)?;
    until("the connections' verdicts", SOON, || {
        let answer = stage.agent.query(&["flows", "--verdict", "reachable"])?;
        let all = answer["flows"].as_array().context("no flows")?;
        let ended: Vec<_> = all.iter().filter(|one| one["destination"]["port"] == 7_300).collect();
        ensure!(ended.len() == 2 * CONNECTIONS as usize, "{} of them are reachable", ended.len());
        let dropped = |flow: &&&Value| {
            flow["evidence"].as_array().is_some_and(|all| all.iter().any(|one| one["kind"] == "drop"))
        };
        ensure!(ended.iter().find(dropped).is_none(), "{:#?}", ended.iter().find(dropped));
        Ok(())
    })?;
    for ends in [[&*format!("container/{WEB}"), "container/plain"], ["host", "container/plain"]] {
        for ends in [ends, [ends[1], ends[0]]] {
            let rows = between_all(&stage.agent, ends)?;
            ensure!(rows.is_empty(), "{rows:#?}");
        }
    }
    let more = apart(&stage.agent.metrics()?) - apart(&before);
    ensure!(more >= i128::from(CONNECTIONS), "{more} are kept apart: this kernel does otherwise");
    Ok(())
}

fn otherwise(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let web =
        stage.site.docker.docker(&["inspect", "--format", "{{.NetworkSettings.GlobalIPv6Address}}", WEB])?;
    let web = web.trim();
    ensure!(web.contains(':'), "{WEB} has no IPv6 address");
    let expected = stage.veth(WEB)?;
    let rule = |protocol: &str| {
        Rule::new(&node, "ip6tables", "FORWARD", &format!("-p {protocol} -d {web}")).and_then(|rule| {
            // The counter of the first rule of a chain is read; each has a chain of its own.
            drop(rule);
            let chain = match protocol {
                "icmpv6" => "NETOBS6-ICMP",
                "udp" => "NETOBS6-UDP",
                _ => "NETOBS6-TCP",
            };
            node.run(&format!("ip6tables -w -N {chain}"))?;
            node.run(&format!("ip6tables -w -I FORWARD -p {protocol} -j {chain}"))?;
            Rule::new(&node, "ip6tables", chain, &format!("-d {web}"))
        })
    };
    let ends = ["external", "container/web"];
    hold(stage, &stage.outside(), (web, ends), rule, Some(("up0", "ingress")), Some(&expected))?;

    // nftables, and a receiver that nobody else sends to.
    let plain = stage.site.address("plain")?;
    node.run("nft add table ip netobs_test")?;
    node.run("nft add chain ip netobs_test forward { type filter hook forward priority -10 ; }")?;
    node.run("nft add counter ip netobs_test taken")?;
    node.run(&format!("nft add rule ip netobs_test forward ip daddr {plain} counter name taken drop"))?;
    send(stage, &stage.place(LONELY)?, &plain, "knock-nft")?;
    let counted = || -> Result<(u64, u64)> {
        let text = node.run("nft list counter ip netobs_test taken")?;
        let after = |word: &str| {
            text.split_whitespace()
                .skip_while(|one| *one != word)
                .nth(1)
                .and_then(|one| one.parse().ok())
                .context("no counter")
        };
        Ok((after("packets")?, after("bytes")?))
    };
    until("the drops by nftables", SOON, || {
        let all = rows(&stage.agent)?;
        let to: Vec<_> =
            all.into_iter().filter(|row| row["destination"]["endpoint"] == "container/plain").collect();
        let (found, wanted) = ((sum(&to, "packets"), sum(&to, "bytes")), counted()?);
        ensure!(wanted.0 >= 8 && found == wanted, "{found:?}, and the rule took {wanted:?}");
        ensure!(to.iter().all(|row| row["reason"] == "netfilter_drop"), "{to:?}");
        Ok(())
    })?;
    node.run("nft delete table ip netobs_test")?;
    Ok(())
}

fn kept_in(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let web = stage.site.address(WEB)?;
    let expected = stage.veth(WEB)?;
    let rule = |protocol: &str| {
        let chain = match protocol {
            "icmp" => "NETOBS-OUT-ICMP",
            "udp" => "NETOBS-OUT-UDP",
            _ => "NETOBS-OUT-TCP",
        };
        node.run(&format!("iptables -w -N {chain}"))?;
        node.run(&format!("iptables -w -I OUTPUT -p {protocol} -j {chain}"))?;
        Rule::new(&node, "iptables", chain, &format!("-d {web}"))
    };
    let before = stage.agent.metrics()?;
    hold(stage, &stage.node(), (&web, ["host", "container/web"]), rule, None, Some(&expected))?;
    let labels = [
        ("source_kind", "host"),
        ("destination_kind", "container"),
        ("path", "host_direct"),
        ("outcome", "dropped"),
    ];
    until("the attempt", SOON, || {
        let page = stage.agent.metrics()?;
        let attempts = |page: &netobs_tests::exposition::Exposition| {
            whole(page.sum("netobs_connection_attempts_total", &labels))
        };
        let more = attempts(&page) - attempts(&before);
        ensure!(more == 1, "{more} attempts");
        let pairs = page.sum("netobs_path_pairs", &[("source_kind", "host"), ("verdict", "dropped")]);
        ensure!(whole(pairs) == 1, "{pairs} pairs");
        // No flow tells of them, and the matrix has the pair and its evidence all the same.
        let (cells, _) = matrix::judged(&stage.agent)?;
        let cell = matrix::cell(&cells, ("host", "container", "host_direct"))?;
        ensure!(cell.verdicts.get("dropped") == Some(&1), "{cell:?}");
        let told = cell.fact("drop").context("no evidence of it")?;
        let kept: Vec<_> = between_all(&stage.agent, ["host", "container/web"])?;
        ensure!(told.flows == 0 && told.count == sum(&kept, "packets"), "{told:?}, listed are {kept:?}");
        ensure!(told.detail.as_deref() == Some("netfilter_drop"), "{told:?}");
        Ok(())
    })
}

fn nobody_listens(stage: &Stage) -> Result<()> {
    let plain = stage.site.address("plain")?;
    let mut datagram =
        stage.place(WEB)?.traffic(&["udp-send", &format!("{plain}:7"), "--count", "1", "--size", "100"])?;
    process::finish(&mut datagram, Duration::from_secs(10))?;
    until("the datagram nobody wanted", SOON, || {
        let rows = between(&stage.agent, ["container/web", "container/plain"], "udp", "no_socket")?;
        let row = rows.first().with_context(|| format!("no row in {:#?}", self::rows(&stage.agent)))?;
        ensure!(row["packets"] == 1 && row["bytes"] == 128 && row["class"] == "answered", "{row}");
        ensure!(
            row["inside"] == "container/plain" && row["last_hop"]["interface"] == stage.veth("plain")?,
            "{row}"
        );
        let answer = stage.agent.query(&["flows", "--verdict", "refused", "--port", "7"])?;
        ensure!(answer["flows"].as_array().is_some_and(|flows| flows.len() == 1), "{answer}");
        Ok(())
    })
}

fn elsewhere(stage: &Stage) -> Result<()> {
    let outside = stage.site.site.outside();
    let rule = Rule::new(&outside, "iptables", "OUTPUT", "-d 198.51.100.77")?;
    let total =
        |page: &netobs_tests::exposition::Exposition| whole(page.sum("netobs_dropped_packets_total", &[]));
    let before = total(&stage.agent.metrics()?);
    let mut ping = stage.outside().command("ping", ["-c", "20", "-i", "0.1", "-W", "1", "198.51.100.77"]);
    process::finish(&mut ping, Duration::from_secs(10))?;
    ensure!(rule.counted()?.0 == 20, "the other namespace dropped {:?}", rule.counted()?);
    thread::sleep(SOON);
    let text = format!("{:?}", rows(&stage.agent)?);
    ensure!(!text.contains("198.51.100.77"), "another namespace's drops are ours: {text}");
    let more = total(&stage.agent.metrics()?) - before;
    // Something of the node's own may be dropped meanwhile, but not twenty packets.
    ensure!(more < 20, "{more} packets more");
    Ok(())
}

/// Rate and seconds; whether the machine is held to it.
fn asked() -> Result<(u32, u32, bool)> {
    let Some(text) = env::var_os("NETOBS_DROP_STORM") else { return Ok((20_000, 2, false)) };
    let text = text.to_string_lossy().into_owned();
    let (rate, seconds) = text.split_once('x').context("NETOBS_DROP_STORM is RATExSECONDS")?;
    Ok((rate.parse()?, seconds.parse()?, true))
}

/// Seconds of a processor that a process has used, in its own code and in the kernel (`proc(5)`, `stat`).
fn used(process: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no stat")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok()).context("no time");
    Ok((ticks(11)? + ticks(12)?) as f64 / 100.0)
}

fn storm(stage: &Stage) -> Result<()> {
    let (rate, seconds, held) = asked()?;
    let node = stage.site.site.node();
    let web = stage.site.address(WEB)?;
    node.run("iptables -w -N NETOBS-STORM")?;
    node.run("iptables -w -I FORWARD -p udp -j NETOBS-STORM")?;
    let rule = Rule::new(&node, "iptables", "NETOBS-STORM", &format!("-d {web}"))?;
    let total = |name: &str, labels: &[(&str, &str)]| -> Result<i128> {
        Ok(whole(stage.agent.metrics()?.sum(name, labels)))
    };
    let labels = [("reason", "netfilter_drop")];
    let before =
        [total("netobs_dropped_packets_total", &labels)?, total("netobs_dropped_bytes_total", &labels)?];
    // Two senders: one processor alone does not make as many.
    let (half, half_rate) = ((rate * seconds / 2).to_string(), (rate / 2).to_string());
    let to = format!("{web}:9009");
    let began = (std::time::Instant::now(), used(stage.agent.id())?);
    let place = stage.place(LONELY)?;
    let send = || -> Result<String> {
        let words = ["udp-send", &to, "--count", &half, "--size", "18", "--rate", &half_rate];
        process::run_within(&mut place.traffic(&words)?, Duration::from_secs(u64::from(seconds) * 5 + 10))
    };
    thread::scope(|scope| -> Result<()> {
        for sender in [scope.spawn(send), scope.spawn(send)] {
            sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        }
        Ok(())
    })?;
    let took = began.0.elapsed().as_secs_f64();
    let share = (used(stage.agent.id())? - began.1) / took;
    let count = rate * seconds / 2 * 2;
    println!("{count} packets in {took:.1} s: {:.1} % of a processor in the agent", share * 100.0);
    let equal = || {
        let (packets, bytes) = rule.counted()?;
        let found = [
            total("netobs_dropped_packets_total", &labels)? - before[0],
            total("netobs_dropped_bytes_total", &labels)? - before[1],
        ];
        ensure!(
            found == [packets.into(), bytes.into()],
            "{found:?}, and the rule took {packets} and {bytes}"
        );
        Ok(packets)
    };
    let packets = until("the storm's count", SOON, equal)?;
    ensure!(packets == u64::from(count), "{packets} of {count} reached the rule");
    if held {
        ensure!(
            f64::from(rate) * 0.9 < packets as f64 / took,
            "the storm was weaker than asked for: {took:.1} s"
        );
        ensure!(share < 0.1, "the agent used {:.1} % of a processor", share * 100.0);
    }
    // More different packets than are told apart: all are counted, and how many without detail is said.
    let mut flood = place.traffic(&["flood", &web, "--count", "20000"])?;
    process::run_within(&mut flood, Duration::from_secs(30))?;
    let packets = until("the flood's count", Duration::from_secs(30), equal)?;
    println!("a tick with it takes {} s", stage.agent.metrics()?.sum("netobs_tick_duration_seconds", &[]));
    ensure!(packets == u64::from(count) + 20_000, "{packets} reached the rule");
    let without = total("netobs_bpf_lost_events_total", &[("source", "drop_details")])?;
    ensure!((3_000..=20_000).contains(&without), "{without} without detail");
    let nameless = between(&stage.agent, ["unknown", "unknown"], "other", "netfilter_drop")?;
    ensure!(
        i128::from(sum(&nameless, "packets")) == without,
        "{without} without detail, listed {nameless:?}"
    );
    Ok(())
}
