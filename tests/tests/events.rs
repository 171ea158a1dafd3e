//! Changes of the host and what comes of them → the journal, in order of time: a route that goes under traffic and comes
//! back, settings, interfaces, addresses, a burst of drops.

use std::{process::ExitCode, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    docker_site::{PLAIN, WEB},
    netns::Stack,
    process::{self, Background, until},
    require::{DOCKER, TRAFFIC},
    site::{SERVER, UPLINK},
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
            case("nothing_that_is_so_from_the_start_is_a_change", quiet as fn(&Stage) -> Result<()>),
            case("a_route_that_goes_under_traffic_and_comes_back", route),
            case("settings_interfaces_and_addresses", configuration),
            case("rules_of_the_firewall_that_come_and_go", firewall),
            case("a_burst_of_drops_begins_and_ends", burst),
            case("follow_prints_each_event_once", follow),
            case("a_wrong_moment_says_what_would_be_right", wrong),
        ],
    )
}

fn events(stage: &Stage, since: &str) -> Result<Vec<Value>> {
    let answer = stage.agent.query(&["events", "--since", since])?;
    Ok(answer["events"].as_array().context("no list of events")?.clone())
}

/// The place of the first event that is so.
fn position(all: &[Value], is_it: impl Fn(&Value) -> bool) -> Result<usize> {
    all.iter().position(is_it).with_context(|| format!("not among {all:#?}"))
}

fn quiet(stage: &Stage) -> Result<()> {
    // Docker's bridges may still get carriers and addresses; of routes, settings and verdicts there is nothing to say.
    let all = events(stage, "1h")?;
    let loud = all.iter().find(|one| ["sysctl", "verdict", "drops"].iter().any(|kind| one["kind"] == *kind));
    ensure!(loud.is_none(), "{loud:?}");
    let page = stage.agent.client(&["events", "--since", "0s"])?;
    ensure!(page.status.success() && page.stdout == "Nothing changed.\n", "{}", page.stdout);
    Ok(())
}

fn route(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let outside = traffic::tcp_server(&stage.outside(), "0.0.0.0:7301")?;
    let place = stage.place(WEB)?;
    let log = traffic::log_in(stage.site.directory(), "events-traffic");
    let again = format!(
        "while :; do {} tcp-connect {SERVER}:7301 --count 1 --bytes 100; sleep 0.5; done",
        process::own_program("traffic")?.display()
    );
    let _traffic = Background::start(&mut place.command("sh", ["-c", &again]), &log)?;
    let pair = format!("container/{WEB} → external");
    until("the pair to talk", Duration::from_secs(10), || {
        let answer = stage.agent.query(&["flows", "--endpoint", WEB, "--verdict", "reachable"])?;
        ensure!(answer["flows"].as_array().is_some_and(|all| !all.is_empty()), "{answer}");
        Ok(())
    })?;
    let default = node.run("ip -4 route show default")?;
    node.run("ip route del default")?;
    thread::sleep(Duration::from_secs(20));
    node.run(&format!("ip route add {}", default.trim()))?;
    // A bad verdict is left thirty seconds after the last packet that speaks for it.
    let found = until("the recovery", Duration::from_secs(60), || {
        let all = events(stage, "5m")?;
        let is_route = |one: &Value| one["kind"] == "route" && one["subject"] == "default";
        let is_pair = |one: &Value| one["kind"] == "verdict" && one["subject"] == pair.as_str();
        let deleted = position(&all, |one| is_route(one) && one["after"].is_null())?;
        let failed = position(&all, |one| is_pair(one) && one["after"] != "reachable")?;
        let restored = position(&all, |one| is_route(one) && one["before"].is_null())?;
        let works = all.iter().rposition(|one| is_pair(one) && one["after"] == "reachable");
        let works = works.with_context(|| format!("no recovery among {all:#?}"))?;
        ensure!(deleted < failed && failed < restored && restored < works, "{all:#?}");
        Ok((all[deleted].clone(), all[failed].clone(), all[works].clone()))
    })?;
    let (deleted, failed, works) = found;
    let way = format!("via 198.51.100.1 dev {UPLINK}");
    ensure!(deleted["before"] == way.as_str(), "{deleted}");
    ensure!(failed["before"] == "reachable" && failed["after"] == "unreachable", "{failed}");
    ensure!(works["before"] == "unreachable", "{works}");
    let page = stage.agent.client(&["events", "--since", "5m"])?.stdout;
    ensure!(page.contains("default") && page.contains(&pair), "{page}");
    drop(outside);
    Ok(())
}

fn sysctl(stack: &Stack, name: &str, value: &str) -> Result<()> {
    stack.run(&format!("sysctl -qw {name}={value}")).map(drop)
}

fn configuration(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    sysctl(&node, "net.ipv4.ip_forward", "0")?;
    node.batch(
        "link add twin0 type bridge\nlink set twin0 up\naddr add 203.0.113.200/32 dev twin0\n\
         route add 203.0.113.208/28 dev twin0\n",
    )?;
    thread::sleep(Duration::from_secs(4));
    sysctl(&node, "net.ipv4.ip_forward", "1")?;
    node.batch("link set twin0 mtu 1400\nlink del twin0\n")?;
    until("all of it", Duration::from_secs(10), || {
        let all = events(stage, "1m")?;
        let has = |kind: &str, subject: &str, before: Option<&str>, after: Option<&str>| {
            position(&all, |one| {
                one["kind"] == kind
                    && one["subject"] == subject
                    && one["before"].as_str() == before
                    && one["after"].as_str() == after
            })
        };
        let off = has("sysctl", "net.ipv4.ip_forward", Some("1"), Some("0"))?;
        let on = has("sysctl", "net.ipv4.ip_forward", Some("0"), Some("1"))?;
        ensure!(off < on, "{all:#?}");
        let came = position(&all, |one| {
            one["kind"] == "link" && one["subject"] == "twin0" && one["before"].is_null()
        })?;
        let went = position(&all, |one| {
            one["kind"] == "link" && one["subject"] == "twin0" && one["after"].is_null()
        })?;
        ensure!(came < went, "{all:#?}");
        has("address", "twin0", None, Some("203.0.113.200/32"))?;
        has("route", "203.0.113.208/28", None, Some("dev twin0"))?;
        has("route", "203.0.113.208/28", Some("dev twin0"), None)?;
        Ok(())
    })
}

/// As the tools themselves write them.
fn firewall(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let began = node.run("date -u +%FT%T.%NZ")?.trim().to_owned();
    let of = |subject: &str| -> Result<Vec<Value>> {
        let all = events(stage, &began)?;
        Ok(all.into_iter().filter(|one| one["kind"] == "firewall" && one["subject"] == subject).collect())
    };
    let told = |subject: &str, before: Value, after: Value| -> Result<Value> {
        until("the change of the rules", Duration::from_secs(5), || {
            let all = of(subject)?;
            let one = all.iter().rfind(|one| one["before"] == before && one["after"] == after);
            one.cloned().with_context(|| format!("{before} → {after} is not among {all:#?}"))
        })
    };
    node.run("iptables -w -N NETOBS-EVENTS")?;
    node.run("iptables -w -A NETOBS-EVENTS -s 192.0.2.7/32 -p tcp -m tcp --dport 80 -j DROP")?;
    let listed = node.run("iptables -w -S NETOBS-EVENTS")?;
    let line = listed.lines().find(|line| line.starts_with("-A")).context("no rule")?;
    let came = told("ip filter NETOBS-EVENTS", Value::Null, line.into())?;
    ensure!(came["detail"] == "by iptables", "{came}");
    node.run("iptables -w -F NETOBS-EVENTS")?;
    told("ip filter NETOBS-EVENTS", line.into(), Value::Null)?;
    let policy = |word: &str| node.run(&format!("iptables -w -P FORWARD {word}"));
    policy("DROP")?;
    told("ip filter FORWARD", "-P FORWARD ACCEPT".into(), "-P FORWARD DROP".into())?;
    policy("ACCEPT")?;
    told("ip filter FORWARD", "-P FORWARD DROP".into(), "-P FORWARD ACCEPT".into())?;
    // All of it written anew is no change.
    let before = of("ip filter")?.len();
    let written = stage.site.directory().join("rules");
    std::fs::write(&written, node.run("iptables-save -t filter")?)?;
    node.run(&format!("iptables-restore -w {}", written.display()))?;
    node.run("nft add table inet netobs_events")?;
    node.run("nft add chain inet netobs_events first { type filter hook forward priority 5 ; }")?;
    node.run(
        "nft add rule inet netobs_events first ip daddr { 192.0.2.1, 192.0.2.9 } tcp dport 22 counter drop",
    )?;
    let line = "ip daddr { 192.0.2.1, 192.0.2.9 } tcp dport 22 counter drop";
    let came = told("inet netobs_events first", Value::Null, line.into())?;
    ensure!(came["detail"] == "by nft", "{came}");
    ensure!(of("ip filter")?.len() == before, "{:#?}", of("ip filter")?);
    node.run("nft delete table inet netobs_events")?;
    told("inet netobs_events first", line.into(), Value::Null)?;
    // Many at once are told by their number.
    let many: String = (0..500)
        .map(|one| format!("-A NETOBS-EVENTS -s 192.0.2.8 -p udp --dport {} -j DROP\n", one + 1))
        .collect();
    std::fs::write(&written, format!("*filter\n:NETOBS-EVENTS -\n{many}COMMIT\n"))?;
    node.run(&format!("iptables-restore -w -n {}", written.display()))?;
    let came = told("ip filter", Value::Null, "500 rules".into())?;
    ensure!(came["detail"].as_str().is_some_and(|text| text.contains("in 1 chain")), "{came}");
    node.run("iptables -w -F NETOBS-EVENTS")?;
    node.run("iptables -w -X NETOBS-EVENTS")?;
    told("ip filter", "500 rules".into(), Value::Null)?;
    Ok(())
}

fn burst(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let address = stage.site.address(PLAIN)?;
    let rule = format!("OUTPUT -d {address} -p udp --dport 7302 -j DROP");
    node.run(&format!("iptables -w -I {rule}"))?;
    for _ in 0..20 {
        let target = format!("{address}:7302");
        let mut send = stage.node().traffic(&["udp-send", &target, "--count", "1", "--size", "100"])?;
        process::finish(&mut send, Duration::from_secs(5))?;
    }
    node.run(&format!("iptables -w -D {rule}"))?;
    let subject = format!("host → container/{PLAIN}, netfilter_drop");
    until("the burst and its end", Duration::from_secs(30), || {
        let all = events(stage, "1m")?;
        let ours = |one: &Value| one["kind"] == "drops" && one["subject"] == subject.as_str();
        let begun = position(&all, |one| ours(one) && one["before"].is_null())?;
        let over = position(&all, |one| ours(one) && one["after"].is_null())?;
        ensure!(begun < over && all[over]["before"] == "20 packets", "{all:#?}");
        Ok(())
    })
}

fn follow(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let log = traffic::log_in(stage.site.directory(), "events-follow");
    let url = stage.agent.url();
    let arguments = ["events", "-f", "--agent", &url];
    let mut following =
        Background::start(&mut netobs_tests::agent::command(stage.agent.stack(), &arguments)?, &log)?;
    thread::sleep(Duration::from_secs(1));
    node.batch("link add twin1 type bridge\nlink set twin1 up\n")?;
    thread::sleep(Duration::from_secs(2));
    node.batch("link del twin1\n")?;
    thread::sleep(Duration::from_secs(3));
    ensure!(following.ended().is_none(), "it ended: {}", following.log());
    let text = following.log();
    let rows: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let ours: Vec<&Value> =
        rows.iter().filter(|one| one["kind"] == "link" && one["subject"] == "twin1").collect();
    let came = ours.iter().filter(|one| one["before"].is_null()).count();
    let went = ours.iter().filter(|one| one["after"].is_null()).count();
    ensure!(came == 1 && went == 1, "{text}");
    Ok(())
}

fn wrong(stage: &Stage) -> Result<()> {
    let done = stage.agent.client(&["events", "--since", "yesterday"])?;
    ensure!(done.status.code() == Some(2) && done.stderr.contains("5m"), "{done:?}");
    ensure!(done.stderr.lines().count() == 1, "{}", done.stderr);
    Ok(())
}
