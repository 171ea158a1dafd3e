//! ICMP errors that real stacks send → evidence, verdicts and counts, to the number the stacks themselves keep.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::{Agent, whole},
    bare::{Bare, LEFT},
    netns::Stack,
    place::Place,
    process::{run_within, until},
    require::TRAFFIC,
    site::{NODE, NODE_V6, ROUTER, SERVER, SERVER_V6, UPLINK},
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
            case("a_datagram_to_a_closed_port_is_refused", closed as fn(&Bare) -> Result<()>),
            case("over_ipv6_as_well", closed_v6),
            case("behind_a_published_port_the_error_comes_from_inside", published),
            case("what_a_rule_of_this_host_prohibits_is_unreachable", prohibited),
            case("a_rule_may_refuse_as_well", rejected),
            case("what_the_router_has_no_way_to_is_unreachable", no_way),
            case("the_mtu_of_the_next_hop_is_told_through_masquerade", too_big),
            case("over_ipv6_a_packet_is_too_big_as_well", too_big_v6),
            case("too_many_hops_are_evidence_and_no_verdict", expired),
            case("a_side_that_answers_later_is_reachable", later),
        ],
    )
}

/// Where a packet goes that the router forwards: a line that takes no more than 1,400 bytes at once, at whose end nobody
/// is. Without address resolution, or its failures were errors as well.
const FAR: &str = "203.0.113.66";
const FAR_V6: &str = "2001:db8:3::66";

/// Stacks send one error a second to one receiver, unless told otherwise (`icmp_ratelimit`, ip-sysctl).
fn site() -> Result<Bare> {
    let bare = Bare::new()?;
    for stack in [bare.site.outside(), bare.site.node(), bare.left().stack()?] {
        stack.sysctl("net/ipv4/icmp_ratelimit", "0")?;
        stack.sysctl("net/ipv6/icmp/ratelimit", "0")?;
    }
    bare.site.outside.batch(&format!(
        "link add far0 type veth peer name far1\nlink set far0 mtu 1400 arp off\nlink set far0 up\nlink set far1 up\n\
         route add {FAR}/32 dev far0\nroute add {FAR_V6}/128 dev far0\n\
         route add unreachable 203.0.113.50/32\n"
    ))?;
    Ok(bare)
}

/// What a stack counts of ICMP, by its name in `/proc/net/snmp` (RFC 2011) or `/proc/net/snmp6` (RFC 4293).
fn statistic(stack: Stack, name: &str) -> Result<u64> {
    let file = if name.starts_with("Icmp6") { "snmp6" } else { "snmp" };
    let text = stack.within(|| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")))??;
    if file == "snmp6" {
        let found =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        return Ok(found.trim().parse()?);
    }
    let mut lines = text.lines().filter(|line| line.starts_with("Icmp:")).map(str::split_whitespace);
    let (mut names, mut values) = (lines.next().context("no names")?, lines.next().context("no values")?);
    let at = names.position(|one| one == name).with_context(|| format!("no {name}"))?;
    Ok(values.nth(at).context("no value")?.parse()?)
}

/// How much more a stack has counted than before.
struct Since {
    stack: Stack,
    name: &'static str,
    before: u64,
}

impl Since {
    fn now(stack: Stack, name: &'static str) -> Result<Self> {
        let before = statistic(stack.clone(), name)?;
        Ok(Self { stack, name, before })
    }

    fn more(&self) -> Result<u64> {
        Ok(statistic(self.stack.clone(), self.name)? - self.before)
    }
}

/// Datagrams, without waiting for any.
fn send(from: &Place<'_>, to: &str, count: u32, size: u32) -> Result<()> {
    let (count, size) = (count.to_string(), size.to_string());
    let mut send = from.traffic(&["udp-send", to, "--count", &count, "--size", &size, "--rate", "200"])?;
    run_within(&mut send, Duration::from_secs(30)).map(drop)
}

fn connect_fails(from: &Place<'_>, to: &str) -> Result<()> {
    let mut connect = from.traffic(&["tcp-connect", to])?;
    ensure!(run_within(&mut connect, Duration::from_secs(10)).is_err(), "it connected to {to}");
    Ok(())
}

struct Wanted<'a> {
    verdict: &'a str,
    class: &'a str,
    detail: &'a str,
    hop: &'a str,
}

/// What is told of the only flow that the words select, once all is; `truth` is the stack's own count.
fn told(agent: &Agent, select: &[&str], wanted: &Wanted<'_>, truth: u64) -> Result<Value> {
    ensure!(truth > 0, "the stack sent no error");
    until("the errors to be told", Duration::from_secs(8), || {
        let answer = agent.query(&[&["flows"], select].concat())?;
        let list = answer["flows"].as_array().context("no flows")?;
        let has = |one: &&Value| one["evidence"].to_string().contains("icmp_error");
        let all: Vec<&Value> = list.iter().filter(has).collect();
        let [flow] = all[..] else { anyhow::bail!("{} flows with errors of {list:#?}", all.len()) };
        let evidence = flow["evidence"].as_array().context("no evidence")?;
        let facts: Vec<&Value> = evidence.iter().filter(|one| one["kind"] == "icmp_error").collect();
        let [fact] = facts[..] else { anyhow::bail!("{facts:?}") };
        ensure!(fact["count"] == truth, "{truth} were sent: {fact}");
        ensure!(fact["detail"] == wanted.detail && fact["hop"] == wanted.hop, "{fact}");
        ensure!(flow["verdict"] == wanted.verdict, "{}", flow["verdict"]);
        let page = agent.metrics()?;
        let metric = |labels: &[(&str, &str)]| whole(page.sum("netobs_icmp_errors_total", labels));
        let of_type = metric(&[("type", wanted.class)]);
        ensure!(of_type == i128::from(truth), "{truth} were sent, the metric says {of_type}");
        ensure!(metric(&[]) == of_type, "{} errors of all types, {of_type} of this one", metric(&[]));
        // By which kinds depends on whether the endpoint was known when the flow began; a flow they have.
        ensure!(metric(&[("path", "unknown")]) == 0, "some are of no flow");
        let lost = whole(page.sum("netobs_bpf_lost_events_total", &[("source", "icmp_errors")]));
        ensure!(lost == 0, "{lost} lack detail");
        println!("    {truth} sent and told: {}", wanted.detail);
        Ok(flow.clone())
    })
}

fn closed(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let sent = Since::now(bare.site.outside(), "OutDestUnreachs")?;
    send(&bare.left(), &format!("{SERVER}:9101"), 20, 100)?;
    let wanted = Wanted {
        verdict: "refused",
        class: "port_unreachable",
        detail: &format!("port unreachable from {SERVER}"),
        hop: &format!("{UPLINK} ingress"),
    };
    let truth = sent.more()?;
    ensure!(truth == 20, "{truth} of 20 were refused");
    told(&agent, &["--port", "9101"], &wanted, truth)?;
    let refused = [("verdict", "refused")];
    ensure!(whole(agent.metrics()?.sum("netobs_path_pairs", &refused)) == 1, "the pair is not refused");
    agent.stop()?;
    Ok(())
}

fn closed_v6(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let sent = Since::now(bare.site.outside(), "Icmp6OutDestUnreachs")?;
    send(&bare.node(), &format!("[{SERVER_V6}]:9102"), 20, 100)?;
    let wanted = Wanted {
        verdict: "refused",
        class: "port_unreachable",
        detail: &format!("port unreachable from {SERVER_V6}"),
        hop: &format!("{UPLINK} ingress"),
    };
    told(&agent, &["--port", "9102"], &wanted, sent.more()?)?;
    agent.stop()?;
    Ok(())
}

fn published(bare: &Bare) -> Result<()> {
    let node = bare.site.node();
    let rule = format!("PREROUTING -i {UPLINK} -p udp --dport 9103 -j DNAT --to-destination {LEFT}:9104");
    node.run(&format!("iptables -w -t nat -A {rule}"))?;
    let agent = bare.agent(&[])?;
    let sent = Since::now(bare.left().stack()?, "OutDestUnreachs")?;
    send(&Place::Stack(bare.site.outside()), &format!("{NODE}:9103"), 20, 100)?;
    node.run(&format!("iptables -w -t nat -D {rule}"))?;
    let wanted = Wanted {
        verdict: "refused",
        class: "port_unreachable",
        detail: &format!("port unreachable from {LEFT}"),
        hop: "vleft ingress",
    };
    let flow = told(&agent, &["--port", "9103"], &wanted, sent.more()?)?;
    ensure!(flow["nat"] == "dnat", "{}", flow["nat"]);
    agent.stop()?;
    Ok(())
}

/// Adds the rule, lets a connection of the left endpoint run into it, and takes it out.
fn by_rule(bare: &Bare, port: u16, with: &str, wanted: &Wanted<'_>) -> Result<()> {
    let node = bare.site.node();
    let rule = format!("FORWARD -p tcp --dport {port} -j REJECT --reject-with {with}");
    node.run(&format!("iptables -w -A {rule}"))?;
    let agent = bare.agent(&[])?;
    let sent = Since::now(node.clone(), "OutDestUnreachs")?;
    let failed = connect_fails(&bare.left(), &format!("{SERVER}:{port}"));
    let counters = node.run("iptables -w -nvxL FORWARD")?;
    node.run(&format!("iptables -w -D {rule}"))?;
    failed?;
    let truth = sent.more()?;
    let line = counters.lines().find(|line| line.contains("REJECT")).context("no rule")?;
    let by_rule: u64 = line.split_whitespace().next().context("no counter")?.parse()?;
    ensure!(by_rule == truth, "the rule took {by_rule} packets, the stack sent {truth} errors");
    told(&agent, &["--port", &port.to_string()], wanted, truth)?;
    let outcome = [("outcome", wanted.verdict)];
    let attempts = whole(agent.metrics()?.sum("netobs_connection_attempts_total", &outcome));
    ensure!(attempts == 1, "{attempts} attempts were {}", wanted.verdict);
    agent.stop()?;
    Ok(())
}

/// Made on this host, so the error is seen on its way to the endpoint alone.
const MADE_HERE: Wanted<'_> = Wanted {
    verdict: "unreachable",
    class: "prohibited",
    detail: "administratively prohibited (13) from 10.79.0.1",
    hop: "vleft egress",
};

fn prohibited(bare: &Bare) -> Result<()> {
    by_rule(bare, 9105, "icmp-admin-prohibited", &MADE_HERE)
}

fn rejected(bare: &Bare) -> Result<()> {
    let detail = "port unreachable from 10.79.0.1";
    let wanted = Wanted { verdict: "refused", class: "port_unreachable", detail, ..MADE_HERE };
    by_rule(bare, 9106, "icmp-port-unreachable", &wanted)
}

fn no_way(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let sent = Since::now(bare.site.outside(), "OutDestUnreachs")?;
    connect_fails(&bare.left(), "203.0.113.50:9107")?;
    let wanted = Wanted {
        verdict: "unreachable",
        class: "host_unreachable",
        detail: &format!("host unreachable from {ROUTER}"),
        hop: &format!("{UPLINK} ingress"),
    };
    told(&agent, &["--port", "9107"], &wanted, sent.more()?)?;
    let outcome = [("outcome", "unreachable")];
    let attempts = whole(agent.metrics()?.sum("netobs_connection_attempts_total", &outcome));
    ensure!(attempts == 1, "{attempts} attempts were unreachable");
    agent.stop()?;
    Ok(())
}

fn too_big(bare: &Bare) -> Result<()> {
    let node = bare.site.node();
    let rule = "POSTROUTING -s 10.79.0.0/24 -o up0 -j MASQUERADE";
    node.run(&format!("iptables -w -t nat -A {rule}"))?;
    let agent = bare.agent(&[])?;
    let sent = Since::now(bare.site.outside(), "OutDestUnreachs")?;
    // The sender's stack sets "don't fragment" until an error tells it of less, and cuts what it sends after that.
    send(&bare.left(), &format!("{FAR}:9108"), 5, 1_472)?;
    node.run(&format!("iptables -w -t nat -D {rule}"))?;
    let wanted = Wanted {
        verdict: "unknown",
        class: "fragmentation_needed",
        detail: &format!("fragmentation needed, next hop MTU 1400, from {ROUTER}"),
        hop: &format!("{UPLINK} ingress"),
    };
    let flow = told(&agent, &["--port", "9108"], &wanted, sent.more()?)?;
    ensure!(flow["nat"] == "snat", "{}", flow["nat"]);
    agent.stop()?;
    Ok(())
}

fn too_big_v6(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let sent = Since::now(bare.site.outside(), "Icmp6OutPktTooBigs")?;
    send(&bare.node(), &format!("[{FAR_V6}]:9109"), 5, 1_452)?;
    let wanted = Wanted {
        verdict: "unknown",
        class: "fragmentation_needed",
        detail: "packet too big, next hop MTU 1400, from 2001:db8:1::1",
        hop: &format!("{UPLINK} ingress"),
    };
    let flow = told(&agent, &["--port", "9109"], &wanted, sent.more()?)?;
    ensure!(flow["source"]["address"] == NODE_V6, "{}", flow["source"]);
    agent.stop()?;
    Ok(())
}

fn expired(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let sent = Since::now(bare.site.outside(), "OutTimeExcds")?;
    let mut ping = bare.left().command("ping", ["-q", "-c", "4", "-i", "0.3", "-W", "1", "-t", "2", FAR]);
    ensure!(run_within(&mut ping, Duration::from_secs(20)).is_err(), "nobody answers there");
    let wanted = Wanted {
        verdict: "unanswered",
        class: "time_exceeded",
        detail: &format!("time to live exceeded in transit from {ROUTER}"),
        hop: &format!("{UPLINK} ingress"),
    };
    told(&agent, &["--address", FAR], &wanted, sent.more()?)?;
    agent.stop()?;
    Ok(())
}

fn later(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let outside = Place::Stack(bare.site.outside());
    let ask = || -> Result<bool> {
        let words = ["udp-send", &format!("{SERVER}:9110"), "--count", "1", "--from-port", "9111"];
        Ok(run_within(&mut bare.left().traffic(&words)?, Duration::from_secs(5)).is_ok())
    };
    ensure!(ask()?, "it was not sent");
    let verdict = |wanted: &str| {
        until("the verdict", Duration::from_secs(8), || {
            let answer = agent.query(&["flows", "--port", "9110"])?;
            let told = &answer["flows"][0]["verdict"];
            ensure!(told == wanted, "it is {told}");
            Ok(())
        })
    };
    verdict("refused")?;
    let echo = outside.traffic(&["udp-sink", &format!("{SERVER}:9110"), "--count", "1", "--echo"])?;
    let _echo = traffic::serve(&outside, echo, "udp", 9110)?;
    ensure!(ask()?, "it was not sent");
    verdict("reachable")?;
    agent.stop()?;
    Ok(())
}
