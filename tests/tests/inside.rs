//! `--inside`: interfaces inside containers' network stacks are hops too, their loopback among them, and nothing is
//! counted twice for it.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    agent::Agent,
    docker_site::{DockerSite, PLAIN, WEB},
    flows::{self, Flow},
    interval::Interval,
    place::Place,
    process::until,
    require::{DOCKER, TRAFFIC},
    site::{ROUTER, UPLINK},
    suite::{self, Case},
    traffic,
};

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER],
        Scene::new,
        vec![
            case(
                "a_flow_leaves_its_senders_stack_and_enters_its_receivers",
                both_stacks as fn(&Scene) -> Result<()>,
            ),
            case("loopback_of_two_containers_with_equal_tuples_are_two_flows", loopbacks),
            case("a_macvlan_container_has_a_hop_of_its_own", macvlan),
            case("everything_inside_ends_with_the_container", ends),
        ],
    )
}

/// Fields go in this order: the agent before what it observes.
struct Scene {
    agent: Agent,
    site: DockerSite,
}

const FAR: &str = "far";
const FAR_ADDRESS: &str = "198.51.100.77";

impl Scene {
    fn new() -> Result<Self> {
        let site = DockerSite::new()?;
        let parent = format!("parent={UPLINK}");
        let network =
            ["network", "create", "-d", "macvlan", "--subnet", "198.51.100.0/24", "-o", &parent, "lan"];
        site.docker.docker(&network)?;
        let options = ["--network", "lan", "--ip", FAR_ADDRESS];
        site.docker.start_container(FAR, &options, &["sleep", "100000"])?;
        let agent = Agent::start(
            &site.site.node(),
            &site.directory().join("agent"),
            &site.docker.socket(),
            &["--inside"],
        )?;
        let scene = Self { agent, site };
        // Three containers and more, two interfaces each, eight a tick.
        until("the interfaces inside", std::time::Duration::from_secs(20), || {
            scene.agent.source_is("inside", &["ready"])?;
            let ping = traffic::ping(&scene.site.place(FAR)?, "127.0.0.1", 2);
            ping?;
            let flows = scene.agent.flows()?;
            let seen = flows.iter().any(|flow| flow.path == "loopback" && is(&flow.source.endpoint, FAR));
            ensure!(seen, "no loopback of {FAR} yet");
            Ok(())
        })?;
        Ok(scene)
    }
}

fn is(endpoint: &Option<String>, name: &str) -> bool {
    endpoint.as_deref() == Some(&format!("container/{name}"))
}

/// `interface hook`, with the container's name before it where it is inside one.
fn way(raw: &serde_json::Value, direction: &str) -> Vec<String> {
    let hops = raw["hops"].as_array().map(Vec::as_slice).unwrap_or_default();
    let written = |hop: &serde_json::Value| {
        let inside = hop["inside"].as_str().map(|id| format!("{}:", id.trim_start_matches("container/")));
        let word = |field: &str| hop[field].as_str().unwrap_or("?").to_owned();
        format!("{}{} {}", inside.unwrap_or_default(), word("interface"), word("hook"))
    };
    hops.iter().filter(|hop| hop["direction"] == direction).map(written).collect()
}

fn listed(scene: &Scene, port: u16, protocol: &str) -> Result<Vec<(Flow, serde_json::Value)>> {
    let words = ["flows", "--port", &port.to_string(), "--where", &format!("protocol={protocol}")];
    let answer = scene.agent.query(&words)?;
    let all = flows::read(&answer)?;
    let raw = answer["flows"].as_array().context("no flows")?;
    Ok(all.into_iter().zip(raw.iter().cloned()).collect())
}

fn both_stacks(scene: &Scene) -> Result<()> {
    let (web, plain) = (scene.site.place(WEB)?, scene.site.place(PLAIN)?);
    let to = scene.site.address(PLAIN)?;
    let _server = traffic::tcp_server(&plain, &format!("{to}:7100"))?;
    let (interval, ports) =
        Interval::around(&scene.agent, || traffic::connect(&web, &format!("{to}:7100"), 1, 5_000))?;
    interval.must_be_exact()?;
    let found = listed(scene, ports[0], "tcp")?;
    let [(flow, raw)] = &found[..] else { anyhow::bail!("{} flows from that port", found.len()) };
    let (a, b) = (scene.site.host_side_name(WEB)?, scene.site.host_side_name(PLAIN)?);
    let there = vec![
        format!("{WEB}:eth0 egress"),
        format!("{a} ingress"),
        format!("{b} egress"),
        format!("{PLAIN}:eth0 ingress"),
    ];
    ensure!(way(raw, "forward") == there, "{:?}: {}", way(raw, "forward"), flow.brief());
    let back = vec![
        format!("{PLAIN}:eth0 egress"),
        format!("{b} ingress"),
        format!("{a} egress"),
        format!("{WEB}:eth0 ingress"),
    ];
    ensure!(way(raw, "reply") == back, "{:?}: {}", way(raw, "reply"), flow.brief());
    let forward: Vec<_> =
        flow.hops.iter().filter(|hop| hop.direction == "forward").map(|hop| hop.carried).collect();
    ensure!(forward.windows(2).all(|pair| pair[0] == pair[1]), "each hop saw the same: {}", flow.brief());
    ensure!(flow.forward == forward[0] && flow.path == "bridge", "{}", flow.brief());
    let grown = interval.grown("netobs_path_bytes_total", &[("path", "bridge"), ("protocol", "tcp")]);
    let once = i128::from(flow.forward.bytes + flow.reply.bytes);
    ensure!(grown == once, "the flow carried {once} bytes, the path grew by {grown}");
    Ok(())
}

/// The same port on both sides in both containers, at the same time.
fn loopbacks(scene: &Scene) -> Result<()> {
    for (name, count) in [(WEB, 20), (PLAIN, 30)] {
        let place = scene.site.place(name)?;
        let sink = place.traffic(&["udp-sink", "127.0.0.1:7200", "--count", &count.to_string()])?;
        let sink = traffic::serve(&place, sink, "udp", 7200)?;
        let mut send = place.traffic(&[
            "udp-send",
            "127.0.0.1:7200",
            "--from-port",
            "7201",
            "--count",
            &count.to_string(),
            "--size",
            "100",
        ])?;
        netobs_tests::process::run_within(&mut send, std::time::Duration::from_secs(10))?;
        let received = sink.output()?;
        ensure!(received.trim() == count.to_string(), "{received}");
    }
    let found = until("both flows", std::time::Duration::from_secs(10), || {
        let found = listed(scene, 7201, "udp")?;
        ensure!(found.len() == 2, "{} flows", found.len());
        Ok(found)
    })?;
    for (name, count) in [(WEB, 20), (PLAIN, 30)] {
        let mine = |(flow, _): &&(Flow, serde_json::Value)| is(&flow.source.endpoint, name);
        let (flow, raw) = found.iter().find(mine).with_context(|| format!("none of {name}"))?;
        ensure!(is(&flow.destination.endpoint, name) && flow.path == "loopback", "{}", flow.brief());
        ensure!(flow.forward.packets == count, "{count} datagrams: {}", flow.brief());
        let hops = vec![format!("{name}:lo egress"), format!("{name}:lo ingress")];
        ensure!(way(raw, "forward") == hops, "{:?}", way(raw, "forward"));
    }
    Ok(())
}

fn macvlan(scene: &Scene) -> Result<()> {
    let far = scene.site.place(FAR)?;
    let outside = Place::Stack(scene.site.site.outside());
    let _server = traffic::tcp_server(&outside, &format!("{ROUTER}:7300"))?;
    let ports = traffic::connect(&far, &format!("{ROUTER}:7300"), 1, 2_000)?;
    let found = until("the flow", std::time::Duration::from_secs(10), || {
        let found = listed(scene, ports[0], "tcp")?;
        let [(flow, raw)] = &found[..] else { anyhow::bail!("{} flows from that port", found.len()) };
        let there = vec![format!("{FAR}:eth0 egress"), format!("{UPLINK} egress")];
        ensure!(way(raw, "forward") == there, "{:?}: {}", way(raw, "forward"), flow.brief());
        Ok(flow.clone())
    })?;
    ensure!(is(&found.source.endpoint, FAR) && found.path == "macvlan", "{}", found.brief());
    ensure!(
        found.hops[0].role == "macvlan" && found.hops[0].carried == found.hops[1].carried,
        "{}",
        found.brief()
    );
    Ok(())
}

fn ends(scene: &Scene) -> Result<()> {
    let entries = |page: &netobs_tests::exposition::Exposition| page.sum("process_open_fds", &[]);
    let before = entries(&scene.agent.metrics()?);
    scene.site.docker.start_container("short", &[], &["sleep", "100000"])?;
    until("its interfaces", std::time::Duration::from_secs(15), || {
        traffic::ping(&scene.site.place("short")?, "127.0.0.1", 2)?;
        let flows = scene.agent.flows()?;
        ensure!(
            flows.iter().any(|flow| flow.path == "loopback" && is(&flow.source.endpoint, "short")),
            "not yet"
        );
        Ok(())
    })?;
    scene.site.docker.docker(&["rm", "-f", "short"])?;
    until("nothing of it to be left", std::time::Duration::from_secs(20), || {
        let now = entries(&scene.agent.metrics()?);
        ensure!(now <= before, "descriptors {before} -> {now}");
        Ok(())
    })
}
