//! What TCP headers tell, against what the stacks themselves count: segments sent again, round trips, handshakes, and
//! connections that go one way.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::{Agent, whole},
    bare::Bare,
    netns::Netns,
    place::Place,
    process::{Background, run, run_within, until},
    relay,
    require::TRAFFIC,
    site::SERVER,
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
            case("what_is_sent_again_is_what_the_stack_sent_again", again as fn(&Bare) -> Result<()>),
            case("a_round_trip_is_what_the_senders_stack_takes_it_for", round_trip),
            case("an_answer_that_is_dropped_here_is_no_connection", dropped),
            case("a_side_that_falls_silent_goes_one_way", one_way),
            case("who_refused_is_told", refused),
        ],
    )
}

/// The flow to that port, as JSON.
fn flow(agent: &Agent, port: u16) -> Result<Value> {
    let answer = agent.query(&["flows", "--port", &port.to_string()])?;
    let list = answer["flows"].as_array().context("no flows")?;
    ensure!(list.len() == 1, "{} flows to port {port}", list.len());
    list.first().cloned().context("none")
}

fn evidence(flow: &Value, kind: &str) -> Result<Value> {
    let all = flow["evidence"].as_array().context("no evidence")?;
    all.iter().find(|one| one["kind"] == kind).cloned().with_context(|| format!("no {kind} in {all:?}"))
}

const LOSSY: &str =
    "FORWARD -o up0 -p tcp --dport 7100 -m statistic --mode random --probability 0.05 -j DROP";

fn again(bare: &Bare) -> Result<()> {
    let node = bare.site.node();
    let outside = Place::Stack(bare.site.outside());
    let _server = traffic::tcp_server(&outside, &format!("{SERVER}:7100"))?;
    let agent = bare.agent(&[])?;
    let stacks = || Ok::<_, anyhow::Error>([&bare.left(), &outside].map(traffic::retransmitted));
    let sum = || -> Result<u64> { stacks()?.into_iter().sum() };
    let before = sum()?;
    node.run(&format!("iptables -w -A {LOSSY}"))?;
    let sent = traffic::connect(&bare.left(), &format!("{SERVER}:7100"), 1, 4_000_000);
    node.run(&format!("iptables -w -D {LOSSY}"))?;
    sent?;
    let truth = sum()? - before;
    ensure!(truth >= 20, "the stacks sent {truth} segments again: not enough to compare");
    until("the count to arrive", Duration::from_secs(6), || {
        let page = agent.metrics()?;
        let told = whole(page.sum("netobs_tcp_retransmitted_segments_total", &[]));
        let off = told.abs_diff(i128::from(truth));
        ensure!(off * 20 <= u128::from(truth), "{told} are told, the stacks sent {truth} again");
        let flow = flow(&agent, 7100)?;
        ensure!(flow["verdict"] == "degraded", "{}", flow["verdict"]);
        ensure!(whole(flow["tcp"]["retransmits"].as_f64().context("no retransmits")?) == told, "{flow}");
        evidence(&flow, "retransmit")?;
        println!("    {truth} segments were sent again, {told} are told");
        Ok(())
    })?;
    agent.stop()?;
    Ok(())
}

/// Beyond a line that takes ten milliseconds each way.
struct Far {
    _line: Background,
    _echo: Background,
    _stack: Netns,
}

/// Not the scrape's own connections.
const OUTWARD: &[(&str, &str)] = &[("destination_kind", "external")];

const FAR: &str = "203.0.113.65";

impl Far {
    fn new(bare: &Bare) -> Result<Self> {
        let stack = Netns::new("far")?;
        let outside = Place::Stack(bare.site.outside());
        let file = format!("/run/netns/{}", stack.name());
        let log = |name| traffic::log_in(bare.directory(), name);
        let mut line = Background::start(
            &mut outside.traffic(&["relay", &file, "--milliseconds", "10"])?,
            &log("relay"),
        )?;
        until("the line", Duration::from_secs(5), || {
            ensure!(line.ended().is_none() && line.log().contains("ready"), "{}", line.log());
            Ok(())
        })?;
        let device = relay::DEVICE;
        bare.site.outside.batch(&format!("link set {device} up\nroute add {FAR} dev {device}\n"))?;
        stack.batch(&format!(
            "addr add {FAR}/32 dev lo\nlink set {device} up\nroute add default dev {device}\n"
        ))?;
        let place = Place::Stack(stack.stack());
        let echo =
            Background::start(&mut place.traffic(&["tcp-echo", &format!("{FAR}:7200")])?, &log("echo"))?;
        until("the echo", Duration::from_secs(5), || place.listens("tcp", 7200))?;
        Ok(Self { _line: line, _echo: echo, _stack: stack })
    }
}

/// What `ss` says of the smoothed round trip of the only connection to a port, in seconds.
fn by_ss(place: &Place, port: u16) -> Result<f64> {
    let text = run(&mut place.command("ss", ["-tinH", "dport", "=", &format!(":{port}")]))?;
    let field = text.split_whitespace().find_map(|word| word.strip_prefix("rtt:")).context("no rtt")?;
    let milliseconds = field.split('/').next().context("no mean")?;
    Ok(milliseconds.parse::<f64>()? / 1e3)
}

/// Odd.
const SAMPLES: usize = 9;

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn round_trip(bare: &Bare) -> Result<()> {
    let _far = Far::new(bare)?;
    let agent = bare.agent(&[])?;
    let mut talk = bare.left().traffic(&["tcp-talk", &format!("{FAR}:7200"), "--seconds", "30"])?;
    let talk = Background::start(&mut talk, &traffic::log_in(bare.directory(), "talk"))?;
    until("samples while it runs", Duration::from_secs(15), || {
        let samples = whole(agent.metrics()?.sum("netobs_tcp_rtt_seconds_count", OUTWARD));
        ensure!(samples >= 4, "{samples} round trips");
        Ok(())
    })?;
    // One answer may wait for its turn on a busy machine, here as there: the median of several does not.
    let (mut told, mut truth) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        std::thread::sleep(Duration::from_secs(1));
        let flow = flow(&agent, 7200)?;
        told.push(flow["tcp"]["rtt_seconds"].as_f64().with_context(|| format!("no rtt_seconds: {flow}"))?);
        truth.push(by_ss(&bare.left(), 7200)?);
    }
    let [told, truth] = [median(told), median(truth)];
    let page = agent.metrics()?;
    let handshakes = |what| page.sum(&format!("netobs_tcp_handshake_seconds_{what}"), OUTWARD);
    println!(
        "    {:.2} ms by ss, {:.2} ms told, {:.2} ms the handshake",
        truth * 1e3,
        told * 1e3,
        handshakes("sum") * 1e3
    );
    ensure!((told - truth).abs() <= truth * 0.2, "{told} s are told, ss says {truth} s");
    ensure!(whole(handshakes("count")) == 1, "one handshake ended");
    ensure!(handshakes("sum") >= 0.02, "a handshake of {} s over 20 ms", handshakes("sum"));
    drop(talk);
    agent.stop()?;
    Ok(())
}

const DEAF: &str = "FORWARD -i up0 -p tcp --sport 7300 -j DROP";

fn dropped(bare: &Bare) -> Result<()> {
    let node = bare.site.node();
    let outside = Place::Stack(bare.site.outside());
    let _server = traffic::tcp_server(&outside, &format!("{SERVER}:7300"))?;
    let agent = bare.agent(&[])?;
    node.run(&format!("iptables -w -A {DEAF}"))?;
    let mut connect = bare.left().traffic(&["tcp-connect", &format!("{SERVER}:7300")])?;
    let failed = run_within(&mut connect, Duration::from_secs(20));
    node.run(&format!("iptables -w -D {DEAF}"))?;
    ensure!(failed.is_err(), "it connected all the same");
    let flow = flow(&agent, 7300)?;
    ensure!(flow["verdict"] == "dropped", "{}: {flow}", flow["verdict"]);
    evidence(&flow, "syn_ack")?;
    let again = evidence(&flow, "syn_retransmit")?;
    ensure!(again["count"].as_u64() >= Some(2), "{again}");
    ensure!(evidence(&flow, "handshake").is_err(), "no handshake ended");
    let page = agent.metrics()?;
    let outcome = |outcome| {
        let labels = [("outcome", outcome), ("destination_kind", "external")];
        whole(page.sum("netobs_connection_attempts_total", &labels))
    };
    ensure!((outcome("dropped"), outcome("established")) == (1, 0), "the attempt came to nothing");
    agent.stop()?;
    Ok(())
}

const SILENCED: &str = "INPUT -p tcp --dport 7500 -j DROP";

fn one_way(bare: &Bare) -> Result<()> {
    let outside = Place::Stack(bare.site.outside());
    let log = |name| traffic::log_in(bare.directory(), name);
    let echo = &mut outside.traffic(&["tcp-echo", &format!("{SERVER}:7500")])?;
    let _echo = Background::start(echo, &log("one-way-echo"))?;
    until("the echo", Duration::from_secs(5), || outside.listens("tcp", 7500))?;
    let agent = bare.agent(&[])?;
    let mut talk = bare.left().traffic(&["tcp-talk", &format!("{SERVER}:7500"), "--seconds", "20"])?;
    let _talk = Background::start(&mut talk, &log("one-way-talk"))?;
    until("the connection", Duration::from_secs(8), || {
        let flow = flow(&agent, 7500)?;
        ensure!(flow["verdict"] == "reachable", "{}", flow["verdict"]);
        Ok(())
    })?;
    // Out of this host's sight: what it sends arrives nowhere any more.
    bare.site.outside().run(&format!("iptables -w -A {SILENCED}"))?;
    let said = until("the silence to be told", Duration::from_secs(15), || {
        let flow = flow(&agent, 7500)?;
        ensure!(flow["verdict"] == "one_way", "{}: {flow}", flow["verdict"]);
        let again = evidence(&flow, "retransmit")?;
        ensure!(again["count"].as_u64() >= Some(3) && again["detail"] == "forward", "{again}");
        let pairs = [("verdict", "one_way"), ("destination_kind", "external")];
        ensure!(whole(agent.metrics()?.sum("netobs_path_pairs", &pairs)) == 1, "another verdict of the pair");
        Ok(())
    });
    bare.site.outside().run(&format!("iptables -w -D {SILENCED}"))?;
    said?;
    agent.stop()?;
    Ok(())
}

fn refused(bare: &Bare) -> Result<()> {
    let agent = bare.agent(&[])?;
    let mut connect = bare.left().traffic(&["tcp-connect", &format!("{SERVER}:7400")])?;
    ensure!(run_within(&mut connect, Duration::from_secs(5)).is_err(), "nobody listens there");
    until("the refusal to be told", Duration::from_secs(5), || {
        let flow = flow(&agent, 7400)?;
        ensure!(flow["verdict"] == "refused", "{}", flow["verdict"]);
        let reset = evidence(&flow, "rst")?;
        ensure!(reset["detail"] == "sent by the destination", "{reset}");
        ensure!(whole(agent.metrics()?.sum("netobs_tcp_resets_total", &[])) == 1, "one reset");
        Ok(())
    })?;
    agent.stop()?;
    Ok(())
}
