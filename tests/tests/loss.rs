//! Packets dropped between two hops → the very number at that pair of hops, and nothing where nothing was dropped.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::{Agent, whole},
    bare::{Bare, LEFT_VETH, RIGHT, RIGHT_VETH},
    bpf::{self, Tcx},
    exposition::Exposition,
    flows::{self, Flow},
    process::run_within,
    require::TRAFFIC,
    site::{NODE, SERVER, UPLINK},
    suite::{self, Case},
    traffic,
};
use serde_json::Value;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC],
        Bare::new,
        vec![
            case(
                "a_firewall_that_drops_every_fifth_is_one_hop_pair_with_the_exact_count",
                firewall as fn(&Bare) -> Result<()>,
            ),
            case("a_program_on_a_veth_that_drops_for_a_while_is_counted_to_the_packet", program),
            case("what_is_not_dropped_is_not_lost", nothing),
            case("fragments_put_together_on_the_way_are_not_compared", fragments),
        ],
    )
}

/// Two ticks of quiet, after which a loss is said, and one tick each to read and to publish.
const SETTLED: Duration = Duration::from_millis(4_500);

/// The flow from this port, and its JSON, when what it lost is said.
fn settled(agent: &Agent, port: u16) -> Result<(Flow, Value)> {
    std::thread::sleep(SETTLED);
    let answer = agent.query(&["flows", "--port", &port.to_string()])?;
    let all = flows::read(&answer)?;
    let flow = flows::only(&all, "from that port", |one| one.source.port == Some(port))?.clone();
    let list = answer["flows"].as_array().context("no flows")?;
    let raw = list.iter().find(|one| one["id"] == flow.id).context("no such flow")?.clone();
    Ok((flow, raw))
}

/// `hop lost` of the forward direction, where anything is said.
fn lost(flow: &Value) -> Vec<(String, Option<u64>)> {
    let hops = flow["hops"].as_array().map(Vec::as_slice).unwrap_or_default();
    hops.iter()
        .filter(|hop| hop["direction"] == "forward")
        .map(|hop| {
            let place = format!(
                "{} {}",
                hop["interface"].as_str().unwrap_or("?"),
                hop["hook"].as_str().unwrap_or("?")
            );
            (place, hop["lost_segments"].as_u64())
        })
        .collect()
}

fn counter(page: &Exposition, from: &str, to: &str) -> i128 {
    whole(page.sum("netobs_hop_lost_segments_total", &[("from_hop", from), ("to_hop", to)]))
}

/// Datagrams from the left endpoint, without waiting for any.
fn send(bare: &Bare, to: &str, count: u32, rate: u32) -> Result<u16> {
    let (count, rate) = (count.to_string(), rate.to_string());
    let mut send =
        bare.left().traffic(&["udp-send", to, "--count", &count, "--size", "100", "--rate", &rate])?;
    Ok(run_within(&mut send, Duration::from_secs(30))?.trim().parse()?)
}

/// Packets a rule of the FORWARD chain has taken.
fn dropped_by_rule(bare: &Bare) -> Result<u64> {
    let text = bare.site.node().run("iptables -w -nvxL FORWARD")?;
    let rule =
        text.lines().find(|line| line.contains("DROP") && line.contains("statistic")).context("no rule")?;
    Ok(rule.split_whitespace().next().context("no counter")?.parse()?)
}

const RULE: &str = "FORWARD -p udp --dport 9009 -m statistic --mode nth --every 5 --packet 0 -j DROP";

fn firewall(bare: &Bare) -> Result<()> {
    let node = bare.site.node();
    node.run("iptables -w -t nat -A POSTROUTING -s 10.79.0.0/24 -o up0 -j MASQUERADE")?;
    node.run(&format!("iptables -w -A {RULE}"))?;
    let agent = bare.agent(&[])?;
    let port = send(bare, &format!("{SERVER}:9009"), 500, 2_000)?;
    let (flow, raw) = settled(&agent, port)?;
    let dropped = dropped_by_rule(bare)?;
    ensure!(dropped == 100, "every fifth of 500 are {dropped}");
    ensure!(flow.nat == "snat" && raw["hops"].to_string().contains(&format!("{NODE}:")), "{}", flow.brief());
    let wanted = vec![
        (format!("{LEFT_VETH} ingress"), Some(0)),
        ("lab0 ingress".to_owned(), Some(dropped)),
        (format!("{UPLINK} egress"), None),
    ];
    ensure!(lost(&raw) == wanted, "{dropped} were dropped, but {:?}: {}", lost(&raw), flow.brief());
    let page = agent.metrics()?;
    ensure!(
        counter(&page, "bridge_ingress", "uplink_egress") == i128::from(dropped),
        "the metric says otherwise"
    );
    ensure!(
        whole(page.sum("netobs_hop_lost_segments_total", &[])) == i128::from(dropped),
        "more pairs lost something"
    );
    let evidence = raw["evidence"].as_array().context("no evidence")?;
    let fact = evidence.iter().find(|one| one["kind"] == "hop_loss").context("no evidence of it")?;
    ensure!(fact["count"] == dropped && fact["hop"] == "lab0 ingress", "{fact}");
    node.run(&format!("iptables -w -D {RULE}"))?;
    node.run("iptables -w -t nat -D POSTROUTING -s 10.79.0.0/24 -o up0 -j MASQUERADE")?;
    agent.stop()?;
    Ok(())
}

fn program(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let sink = bare.right().traffic(&["udp-sink", &format!("{RIGHT}:9010"), "--count", "4000"])?;
    let sink = traffic::serve(&bare.right(), sink, "udp", 9010)?;
    let dropper = bpf::load_dropper()?;
    // Behind ours on the sender's veth, in the middle of the transfer.
    let meanwhile = std::thread::scope(|scope| -> Result<u16> {
        let sender = scope.spawn(|| send(bare, &format!("{RIGHT}:9010"), 4_000, 2_000));
        std::thread::sleep(Duration::from_millis(700));
        let link = bpf::attach_tcx(&bare.site.node(), &dropper, LEFT_VETH, Tcx::Ingress)?;
        std::thread::sleep(Duration::from_millis(300));
        drop(link);
        sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?
    });
    let port = meanwhile?;
    let received: u64 = sink.output()?.trim().parse()?;
    ensure!(received < 4_000, "nothing was dropped");
    let (flow, raw) = settled(&agent, port)?;
    let wanted = vec![
        (format!("{LEFT_VETH} ingress"), Some(4_000 - received)),
        (format!("{RIGHT_VETH} egress"), None),
    ];
    ensure!(lost(&raw) == wanted, "{received} of 4000 arrived, but {:?}: {}", lost(&raw), flow.brief());
    let page = agent.metrics()?;
    let lost = counter(&page, "veth_ingress", "veth_egress");
    ensure!(lost == i128::from(4_000 - received), "the metric says {lost}");
    agent.stop()?;
    Ok(())
}

fn nothing(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let listen = format!("{RIGHT}:9011");
    let port = traffic::datagrams(&bare.left(), &bare.right(), &listen, &listen, (1_000, 100, 5_000))?;
    let server = traffic::iperf_server(&bare.right(), 5201)?;
    traffic::iperf(&bare.left(), RIGHT, 5201, &["-n", "50M"])?;
    drop(server);
    let (_, raw) = settled(&agent, port)?;
    ensure!(lost(&raw)[0].1 == Some(0), "{:?}", lost(&raw));
    let sum = whole(agent.metrics()?.sum("netobs_hop_lost_segments_total", &[]));
    ensure!(sum == 0, "{sum} segments are said to be lost, and all arrived");
    agent.stop()?;
    Ok(())
}

fn fragments(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let listen = format!("{RIGHT}:9012");
    let port = traffic::datagrams(&bare.left(), &bare.right(), &listen, &listen, (200, 8_000, 2_000))?;
    let (flow, raw) = settled(&agent, port)?;
    ensure!(lost(&raw).iter().all(|(_, lost)| lost.is_none()), "{:?}: {}", lost(&raw), flow.brief());
    let sum = whole(agent.metrics()?.sum("netobs_hop_lost_segments_total", &[]));
    ensure!(sum == 0, "{sum} segments are said to be lost, and all arrived");
    agent.stop()?;
    Ok(())
}
