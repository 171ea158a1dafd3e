//! Faults injected for real → `netobs explain` names the right cause first, with what was seen and what is configured,
//! and the right last hop, within ten seconds of the attempt; and without a fault it claims none.

mod explain {
    pub(crate) mod rules;
}

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    docker_site::{LONELY, PLAIN, WEB},
    explained::{self, Expected, SOON, change},
    place::Place,
    process::{Finished, run_within},
    require::{DOCKER, TRAFFIC},
    site::{SERVER, UPLINK},
    stage::Stage,
    suite::{self, Case},
    traffic,
};
use serde_json::Value;

use explain::rules;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER],
        Stage::new,
        vec![
            case("a_healthy_pair_has_no_fault_and_its_proof", healthy as fn(&Stage) -> Result<()>),
            case("nobody_listens", nobody_listens),
            case("a_service_listens_at_loopback_alone", listens_at_loopback),
            case("the_host_does_not_forward", forwarding_off),
            case("the_way_back_is_another_one", reverse_path),
            case("a_port_of_the_bridge_lets_nothing_through", port_down),
            case("nobody_has_the_address", nobody_has_it),
            case("nobody_has_an_address_on_the_containers_own_bridge", nobody_has_it_there),
            case("a_private_address_leaves_untranslated", no_masquerade),
            case("two_bridges_claim_the_same_network", overlapping),
            case("the_host_knows_no_way", no_route),
            case("two_networks_of_docker_are_kept_apart", rules::isolated),
            case("a_rule_rejects_and_the_sender_is_told", rules::rejected),
            case("the_hosts_own_firewall_keeps_it_in", rules::kept_in),
            case("bridged_frames_fall_to_the_policy_for_routed_ones", rules::bridged),
            case("what_is_published_is_dropped_behind_its_translation", rules::published),
            case("a_rule_of_the_bridge_itself", rules::frames),
            case("a_chain_of_a_network_policy_denies", rules::policy),
            case("a_question_about_nobody_says_what_to_do", wrong_questions),
            case("a_probe_is_followed_and_explained", probes),
            case("a_probe_that_cannot_be_sent_says_why", no_probes),
        ],
    )
}

/// Asks once.
fn ask(stage: &Stage, source: &str, destination: &str) -> Result<(Finished, Value)> {
    explained::ask(&stage.agent, source, destination)
}

/// Connects, and waits until the answer is as expected.
fn explained(
    stage: &Stage,
    from: &Place<'_>,
    ends: [&str; 2],
    to: &str,
    wanted: &Expected<'_>,
) -> Result<()> {
    explained::explained(&stage.agent, (from, &["tcp-connect", to]), ends, wanted)?;
    Ok(())
}

fn lonely() -> String {
    format!("container/{LONELY}")
}

fn web(port: u16) -> String {
    format!("container/{WEB}:{port}")
}

/// The bridge a container's interface is a port of.
fn bridge_of(stage: &Stage, container: &str) -> Result<String> {
    let veth = stage.veth(container)?;
    let text = stage.site.site.node().run(&format!("ip -o link show dev {veth}"))?;
    let master = text.split_whitespace().skip_while(|word| *word != "master").nth(1);
    Ok(master.context("no bridge")?.to_owned())
}

fn healthy(stage: &Stage) -> Result<()> {
    let place = stage.place(WEB)?;
    let address = stage.site.address(WEB)?;
    let _server = traffic::tcp_server(&place, "0.0.0.0:7100")?;
    let outside = traffic::tcp_server(&stage.outside(), "0.0.0.0:7101")?;
    for (from, id, to, destination) in [
        (stage.place(LONELY)?, lonely(), format!("{SERVER}:7101"), format!("{SERVER}:7101")),
        (stage.place(PLAIN)?, format!("container/{PLAIN}"), format!("{address}:7100"), web(7100)),
        (stage.node(), "host".into(), format!("{address}:7100"), web(7100)),
        (stage.place(WEB)?, format!("container/{WEB}"), format!("{SERVER}:7101"), format!("{SERVER}:7101")),
    ] {
        run_within(&mut from.traffic(&["tcp-connect", &to, "--count", "1", "--bytes", "100"])?, SOON)?;
        explained::faultless(&stage.agent, &id, &destination)?;
    }
    drop(outside);
    Ok(())
}

fn nobody_listens(stage: &Stage) -> Result<()> {
    let address = stage.site.address(WEB)?;
    let veth = stage.veth(WEB)?;
    let expected = Expected {
        cause: "no_listener",
        verdicts: &["refused"],
        observed: "reset",
        configured: "waits at tcp port 7200",
        last_hop: Some((&veth, "egress")),
    };
    let plain = format!("container/{PLAIN}");
    explained(stage, &stage.place(PLAIN)?, [&plain, &web(7200)], &format!("{address}:7200"), &expected)
}

fn listens_at_loopback(stage: &Stage) -> Result<()> {
    let address = stage.site.address(WEB)?;
    let veth = stage.veth(WEB)?;
    let _server = traffic::tcp_server(&stage.place(WEB)?, "127.0.0.1:7201")?;
    let expected = Expected {
        cause: "listens_elsewhere",
        verdicts: &["refused"],
        observed: "reset",
        configured: "127.0.0.1 only",
        last_hop: Some((&veth, "egress")),
    };
    let plain = format!("container/{PLAIN}");
    explained(stage, &stage.place(PLAIN)?, [&plain, &web(7201)], &format!("{address}:7201"), &expected)
}

fn forwarding_off(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let address = stage.site.address(WEB)?;
    let bridge = bridge_of(stage, LONELY)?;
    let _off = change(&node, "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1")?;
    let expected = Expected {
        cause: "forwarding_off",
        verdicts: &["dropped", "unanswered"],
        observed: &bridge,
        configured: "net.ipv4.ip_forward = 0",
        last_hop: Some((&bridge, "ingress")),
    };
    explained(stage, &stage.place(LONELY)?, [&lonely(), &web(7202)], &format!("{address}:7202"), &expected)
}

fn reverse_path(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let address = stage.site.address(WEB)?;
    let bridge = bridge_of(stage, LONELY)?;
    let own = stage.docker().address(LONELY, stage.site.network())?;
    let key = format!("net.ipv4.conf.{bridge}.rp_filter");
    let before = node.run(&format!("sysctl -n {key}"))?;
    let _strict =
        change(&node, &format!("sysctl -qw {key}=1"), &format!("sysctl -qw {key}={}", before.trim()))?;
    let _away = change(
        &node,
        &format!("ip route add {own}/32 dev {UPLINK}"),
        &format!("ip route del {own}/32 dev {UPLINK}"),
    )?;
    let configured = format!("{own}/32 by {UPLINK}");
    let expected = Expected {
        cause: "reverse_path_filter",
        verdicts: &["dropped"],
        observed: "ip_rpfilter",
        configured: &configured,
        last_hop: Some((&bridge, "ingress")),
    };
    explained(stage, &stage.place(LONELY)?, [&lonely(), &web(7203)], &format!("{address}:7203"), &expected)
}

fn port_down(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let address = stage.site.address(WEB)?;
    let (mine, theirs) = (stage.veth(PLAIN)?, stage.veth(WEB)?);
    // Whose hardware address is known is sent to.
    traffic::ping(&stage.place(PLAIN)?, &address, 2)?;
    let _down = change(
        &node,
        &format!("bridge link set dev {theirs} state 0"),
        &format!("bridge link set dev {theirs} state 3"),
    )?;
    let configured = format!("port {theirs} of");
    let expected = Expected {
        cause: "bridge_port_down",
        verdicts: &["dropped", "unanswered", "unreachable"],
        observed: &mine,
        configured: &configured,
        last_hop: Some((&mine, "ingress")),
    };
    let plain = format!("container/{PLAIN}");
    explained(stage, &stage.place(PLAIN)?, [&plain, &web(7204)], &format!("{address}:7204"), &expected)
}

fn nobody_has_it(stage: &Stage) -> Result<()> {
    let bridge = bridge_of(stage, WEB)?;
    let expected = Expected {
        cause: "neighbor_unanswered",
        verdicts: &["unreachable"],
        observed: "10.77.0.99",
        configured: &bridge,
        last_hop: None,
    };
    explained(stage, &stage.node(), ["host", "10.77.0.99:7205"], "10.77.0.99:7205", &expected)
}

/// The container's stack asks, and its attempt passes no hook: the question does.
fn nobody_has_it_there(stage: &Stage) -> Result<()> {
    let (bridge, veth) = (bridge_of(stage, WEB)?, stage.veth(WEB)?);
    let expected = Expected {
        cause: "neighbor_unanswered",
        verdicts: &["unreachable"],
        observed: "asked for 10.77.0.98, and nobody answered",
        configured: &bridge,
        last_hop: Some((&veth, "ingress")),
    };
    let container = format!("container/{WEB}");
    explained(stage, &stage.place(WEB)?, [&container, "10.77.0.98:7215"], "10.77.0.98:7215", &expected)
}

fn no_masquerade(stage: &Stage) -> Result<()> {
    let own = stage.docker().address(LONELY, stage.site.network())?;
    let to = format!("{SERVER}:7206");
    // The rule the daemon made for this network.
    let node = stage.site.site.node();
    let rules = node.run("iptables -w -t nat -S POSTROUTING")?;
    let rule = rules.lines().find(|line| line.contains("10.78.0.0/24") && line.contains("MASQUERADE"));
    let rule = rule.and_then(|line| line.strip_prefix("-A ")).context("no rule of the daemon's")?;
    let _untranslated =
        change(&node, &format!("iptables -w -t nat -D {rule}"), &format!("iptables -w -t nat -A {rule}"))?;
    let outside = stage.site.site.outside();
    // Outside nobody knows the way back to it.
    let _lost = change(
        &outside,
        &format!("ip route add blackhole {own}/32"),
        &format!("ip route del blackhole {own}/32"),
    )?;
    let expected = Expected {
        cause: "missing_masquerade",
        verdicts: &["unanswered"],
        observed: UPLINK,
        configured: &own,
        last_hop: Some((UPLINK, "egress")),
    };
    explained(stage, &stage.place(LONELY)?, [&lonely(), &to], &to, &expected)
}

fn overlapping(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let address = stage.site.address(WEB)?;
    let bridge = bridge_of(stage, LONELY)?;
    // A part of the default bridge's network, as another manager may give it to its own.
    let _other = change(&node, "ip link add twin0 type bridge", "ip link del twin0")?;
    node.batch("addr add 10.77.0.1/25 dev twin0\nlink set twin0 up\n")?;
    let expected = Expected {
        cause: "overlapping_subnets",
        verdicts: &["unanswered", "unreachable", "dropped"],
        observed: &bridge,
        configured: "goes out by twin0",
        last_hop: Some((&bridge, "ingress")),
    };
    explained(stage, &stage.place(LONELY)?, [&lonely(), &web(7207)], &format!("{address}:7207"), &expected)
}

fn no_route(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    let to = format!("{SERVER}:7208");
    let bridge = bridge_of(stage, LONELY)?;
    let route = node.run("ip -4 route show default")?;
    let _none = change(&node, "ip route del default", &format!("ip route add {}", route.trim()))?;
    let expected = Expected {
        cause: "no_route",
        verdicts: &["unreachable", "dropped"],
        observed: "ip_innoroutes",
        configured: "no route of this host",
        last_hop: Some((&bridge, "ingress")),
    };
    explained(stage, &stage.place(LONELY)?, [&lonely(), &to], &to, &expected)
}

fn wrong_questions(stage: &Stage) -> Result<()> {
    for (source, destination, word) in [
        ("container/nobody", "host", "netobs endpoints"),
        ("host:80", "container/web", "destination only"),
        ("host", "nobody", "netobs endpoints"),
    ] {
        let done = stage.agent.client(&["explain", source, destination])?;
        ensure!(done.status.code() == Some(2) && done.stderr.contains(word), "{done:?}");
        ensure!(done.stderr.lines().count() == 1, "{}", done.stderr);
    }
    // Nothing was seen of them: nothing is said.
    let (done, answer) = ask(stage, "container/none", "203.0.113.77:9")?;
    ensure!(done.status.code() == Some(4) && answer["verdict"] == "unknown", "{answer:#}");
    Ok(())
}

/// Packets to a port of a container that its own stack counted.
fn received(stage: &Stage, port: u16) -> Result<u64> {
    let text = stage.place(WEB)?.stack()?.run("iptables -w -nvxL INPUT")?;
    let line = text.lines().find(|line| line.contains(&format!("dpt:{port}"))).context("no rule")?;
    line.split_whitespace().next().context("no counter")?.parse().context("no number")
}

fn probes(stage: &Stage) -> Result<()> {
    let plain = format!("container/{PLAIN}");
    let address = stage.site.address(WEB)?;
    let place = stage.place(WEB)?;
    place.stack()?.run("iptables -w -A INPUT -p tcp --dport 7300")?;
    let server = traffic::tcp_server(&place, "0.0.0.0:7300")?;
    let probe = |words: &[&str]| -> Result<(Finished, Value)> {
        let mut all = vec!["probe"];
        all.extend(words);
        all.extend(["-o", "json"]);
        let done = stage.agent.client(&all)?;
        let answer = serde_json::from_str(&done.stdout).with_context(|| format!("{done:?}"))?;
        Ok((done, answer))
    };
    let (done, answer) = probe(&[&plain, &web(7300)])?;
    ensure!(done.status.success() && answer["verdict"] == "reachable", "{answer:#}");
    ensure!(answer["probe"]["outcome"] == "answered" && answer["probe"]["port"] == 7300, "{answer:#}");
    // It was this very connection, from inside that stack, and one alone: SYN, ACK, FIN, ACK.
    let from = answer["probe"]["from_port"].as_u64().context("no port")?;
    ensure!(answer["hops"][0]["source"] == format!("{}:{from}", stage.site.address(PLAIN)?), "{answer:#}");
    ensure!(received(stage, 7300)? <= 5, "{}", received(stage, 7300)?);
    drop(server);
    let (done, answer) = probe(&[&plain, &web(7300)])?;
    ensure!(done.status.code() == Some(1) && answer["verdict"] == "refused", "{answer:#}");
    ensure!(answer["probe"]["outcome"] == "refused", "{answer:#}");
    ensure!(answer["causes"][0]["cause"] == "no_listener", "{answer:#}");
    // From the host, by an echo and by a datagram.
    let (done, answer) = probe(&["host", &address, "--icmp"])?;
    ensure!(done.status.success() && answer["protocol"] == "icmp", "{answer:#}");
    ensure!(answer["probe"]["outcome"] == "answered", "{answer:#}");
    let (done, answer) = probe(&[&plain, &web(7301), "--udp"])?;
    ensure!(done.status.code() == Some(1) && answer["probe"]["outcome"] == "refused", "{answer:#}");
    // What is dropped on the way is explained by the drop.
    let node = stage.site.site.node();
    let _off = change(&node, "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1")?;
    let (done, answer) = probe(&[&lonely(), &format!("{address}:7302")])?;
    ensure!(done.status.code() == Some(1), "{answer:#}");
    ensure!(answer["causes"][0]["cause"] == "forwarding_off", "{answer:#}");
    ensure!(answer["probe"]["outcome"] == "silence", "{answer:#}");
    Ok(())
}

fn no_probes(stage: &Stage) -> Result<()> {
    let plain = format!("container/{PLAIN}");
    for (source, destination, more, words) in [
        (plain.as_str(), "container/web", None, "give a port"),
        (&plain, "10.77.0.2:80", Some("--icmp"), "leave it out"),
        ("203.0.113.9", "container/web:80", None, "is not on this host"),
        ("container/nobody", "container/web:80", None, "netobs endpoints"),
        (&plain, "host:80", None, "several addresses"),
    ] {
        let mut all = vec!["probe", source, destination];
        all.extend(more);
        let done = stage.agent.client(&all)?;
        ensure!(done.status.code() == Some(2) && done.stderr.contains(words), "{words}: {done:?}");
        ensure!(done.stderr.lines().count() == 1, "{}", done.stderr);
    }
    // Only the socket of root's may ask for packets to be sent.
    let target = "http://127.0.0.1:9778/api/v1/probe?source=host&destination=127.0.0.1:9";
    let code =
        stage.agent.stack().run(&format!("curl -s -o /dev/null -w %{{http_code}} -X POST {target}"))?;
    ensure!(code.trim() == "404", "{code}");
    Ok(())
}
