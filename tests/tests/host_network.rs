//! Containers on the host's network have no interface and no address of their own: their connections are told
//! from the host's by who owns the socket.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    docker_site::{DockerSite, HOSTNET, WEB},
    flows::{self, Flow, Process},
    interval::{Expected, Interval},
    place::Place,
    require::{DOCKER, TRAFFIC},
    site::{NODE, SERVER},
    stage::{Stage, at_uplink, container, external, from_port, host, way},
    suite::{self, Case},
    traffic::{self, Server},
};

/// A port that the container listens on since before the agent started.
const OLDER: u16 = 7_100;
const BYTES: usize = 20_000;
const CONNECTIONS: u32 = 20;

/// Fields go in this order: the server before the container it runs in.
struct Scene {
    _older: Server,
    stage: Stage,
}

type Check = fn(&Scene) -> Result<()>;

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER],
        scene,
        vec![
            case("it_connects_to_the_outside", it_connects_to_the_outside as Check),
            case("it_connects_to_a_container", it_connects_to_a_container),
            case("it_is_connected_to_from_the_outside", it_is_connected_to_from_the_outside),
            case("it_is_connected_to_from_a_container", it_is_connected_to_from_a_container),
            case("it_is_connected_to_from_the_host", it_is_connected_to_from_the_host),
            case("it_sends_datagrams", it_sends_datagrams),
            case("it_receives_datagrams", it_receives_datagrams),
            case("it_pings", it_pings),
            case("the_hosts_own_connections_stay_the_hosts", the_hosts_own_connections),
            case("a_listener_older_than_the_agent_is_its_own_too", a_listener_older_than_the_agent),
            case("its_connections_end_within_five_seconds", its_connections_end),
        ],
    )
}

fn scene() -> Result<Scene> {
    let site = DockerSite::new()?;
    let older = traffic::tcp_server(&site.place(HOSTNET)?, &format!("0.0.0.0:{OLDER}"))?;
    let stage = Stage::on(site)?;
    // `docker exec` outlives no container, so the server may go first.
    Ok(Scene { _older: older, stage })
}

/// Connections from one place to a server in another, each a flow as promised; exact books.
fn connections(
    scene: &Scene,
    (client, server): (&Place, &Place),
    (address, port): (&str, u16),
    expected: &Expected,
) -> Result<Vec<Flow>> {
    let any = if address.contains(':') { "[::]" } else { "0.0.0.0" };
    let listener = traffic::tcp_server(server, &format!("{any}:{port}"))?;
    let found = connected(scene, client, (address, port), expected);
    drop(listener);
    found
}

fn connected(
    scene: &Scene,
    client: &Place,
    (address, port): (&str, u16),
    expected: &Expected,
) -> Result<Vec<Flow>> {
    let target =
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    let (interval, ports) = scene.stage.observe(|| traffic::connect(client, &target, CONNECTIONS, BYTES))?;
    ensure!(ports.len() == CONNECTIONS as usize, "{} connections", ports.len());
    let flows: Vec<Flow> =
        ports.iter().map(|port| one(&interval, "tcp", *port, &target)).collect::<Result<_>>()?;
    interval.must_be_exact()?;
    flows.iter().try_for_each(|flow| expected.compare(flow))?;
    Ok(flows)
}

fn one(interval: &Interval, protocol: &str, port: u16, target: &str) -> Result<Flow> {
    let what = format!("the {protocol} flow from port {port} to {target}");
    let to = target.replace(['[', ']'], "");
    let fits = |flow: &Flow| from_port(flow, protocol, port) && flow.addressed() == to;
    Ok(flows::only(interval.flows(), &what, fits)?.clone())
}

/// Between the host's stack and `web` over docker0.
fn to_web(scene: &Scene, from_host: bool) -> Result<Expected> {
    let veth = scene.stage.veth(WEB)?;
    let out = way(&[("docker0", "E"), (&veth, "E")]);
    let back = way(&[(&veth, "I"), ("docker0", "I")]);
    let ends = (container(HOSTNET), container(WEB));
    let (source, destination) = if from_host { ends } else { (ends.1, ends.0) };
    let (forward, reply) = if from_host { (out, back) } else { (back, out) };
    Ok(Expected {
        protocol: "tcp",
        source,
        destination,
        path: "host_direct",
        nat: "none",
        via: Some("direct"),
        forward,
        reply,
        counted_at: veth,
    })
}

fn it_connects_to_the_outside(scene: &Scene) -> Result<()> {
    let expected = at_uplink(container(HOSTNET), external(), true);
    let ends = (&scene.stage.place(HOSTNET)?, &scene.stage.outside());
    let flows = connections(scene, ends, (SERVER, 7_001), &expected)?;
    ensure!(flows.iter().all(|flow| flow.reporter == "source"));
    Ok(())
}

fn it_connects_to_a_container(scene: &Scene) -> Result<()> {
    let web = scene.stage.site.address(WEB)?;
    let ends = (&scene.stage.place(HOSTNET)?, &scene.stage.place(WEB)?);
    connections(scene, ends, (&web, 7_002), &to_web(scene, true)?)?;
    Ok(())
}

fn it_is_connected_to_from_the_outside(scene: &Scene) -> Result<()> {
    let expected = at_uplink(external(), container(HOSTNET), false);
    let ends = (&scene.stage.outside(), &scene.stage.place(HOSTNET)?);
    let flows = connections(scene, ends, (NODE, 7_003), &expected)?;
    ensure!(flows.iter().all(|flow| flow.reporter == "destination"));
    Ok(())
}

fn it_is_connected_to_from_a_container(scene: &Scene) -> Result<()> {
    let ends = (&scene.stage.place(WEB)?, &scene.stage.place(HOSTNET)?);
    connections(scene, ends, ("10.77.0.1", 7_004), &to_web(scene, false)?)?;
    Ok(())
}

fn it_is_connected_to_from_the_host(scene: &Scene) -> Result<()> {
    for (address, port) in [("127.0.0.1", 7_005), ("::1", 7_006)] {
        let expected = Expected {
            protocol: "tcp",
            source: host(),
            destination: container(HOSTNET),
            path: "loopback",
            nat: "none",
            via: Some("direct"),
            forward: way(&[("lo", "E"), ("lo", "I")]),
            reply: way(&[("lo", "E"), ("lo", "I")]),
            counted_at: "lo".into(),
        };
        let ends = (&scene.stage.node(), &scene.stage.place(HOSTNET)?);
        connections(scene, ends, (address, port), &expected).with_context(|| address.to_owned())?;
    }
    Ok(())
}

fn datagrams(scene: &Scene, (from, to): (&Place, &Place), target: &str) -> Result<Flow> {
    let port = target.rsplit(':').next().context("no port")?;
    let (interval, port) = scene
        .stage
        .observe(|| traffic::datagrams(from, to, &format!("0.0.0.0:{port}"), target, (1_000, 512, 2_000)))?;
    interval.must_be_exact()?;
    one(&interval, "udp", port, target)
}

fn named(flow: &Flow) -> [Option<&str>; 2] {
    [flow.source.endpoint.as_deref(), flow.destination.endpoint.as_deref()]
}

fn it_sends_datagrams(scene: &Scene) -> Result<()> {
    let ends = (&scene.stage.place(HOSTNET)?, &scene.stage.outside());
    let flow = datagrams(scene, ends, &format!("{SERVER}:7007"))?;
    ensure!(named(&flow) == [Some("container/hostnet"), Some("external")], "{}", flow.brief());
    ensure!(flow.forward.packets == 1_000, "{}", flow.brief());
    Ok(())
}

fn it_receives_datagrams(scene: &Scene) -> Result<()> {
    let ends = (&scene.stage.outside(), &scene.stage.place(HOSTNET)?);
    let flow = datagrams(scene, ends, &format!("{NODE}:7008"))?;
    ensure!(named(&flow) == [Some("external"), Some("container/hostnet")], "{}", flow.brief());
    ensure!(flow.forward.packets == 1_000, "{}", flow.brief());
    Ok(())
}

fn it_pings(scene: &Scene) -> Result<()> {
    let place = scene.stage.place(HOSTNET)?;
    let (interval, ()) = scene.stage.observe(|| traffic::ping(&place, SERVER, 100))?;
    interval.must_be_exact()?;
    let flow = flows::only(interval.flows(), "the pings", |flow| {
        flow.protocol == "icmp" && flow.forward.packets == 100
    })?;
    ensure!(named(flow) == [Some("container/hostnet"), Some("external")], "{}", flow.brief());
    Ok(())
}

/// Beside those of the container, and metrics keep them apart.
fn the_hosts_own_connections(scene: &Scene) -> Result<()> {
    let expected = at_uplink(host(), external(), true);
    let ends = (&scene.stage.node(), &scene.stage.outside());
    let flows = connections(scene, ends, (SERVER, 7_009), &expected)?;
    let by_traffic =
        |process: &Option<Process>| process.as_ref().is_some_and(|one| one.name == "traffic" && one.pid != 0);
    ensure!(flows.iter().all(|flow| by_traffic(&flow.source.process)), "{:?}", flows[0].source);
    ensure!(flows.iter().all(|flow| flow.destination.process.is_none()), "{:?}", flows[0].destination);
    let expected = at_uplink(external(), host(), false);
    let ends = (&scene.stage.outside(), &scene.stage.node());
    let flows = connections(scene, ends, (NODE, 7_012), &expected)?;
    ensure!(flows.iter().all(|flow| by_traffic(&flow.destination.process)), "{:?}", flows[0].destination);
    let server = traffic::tcp_server(&scene.stage.outside(), "0.0.0.0:7010")?;
    let place = scene.stage.place(HOSTNET)?;
    let target = format!("{SERVER}:7010");
    let (interval, ports) = scene.stage.observe(|| traffic::connect(&place, &target, CONNECTIONS, BYTES))?;
    drop(server);
    let mut bytes = 0;
    for port in ports {
        let flow = one(&interval, "tcp", port, &target)?;
        bytes += i128::from(flow.forward.bytes + flow.reply.bytes);
    }
    let grown = |kind| {
        interval.grown(
            "netobs_path_bytes_total",
            &[("source_kind", kind), ("destination_kind", "external"), ("protocol", "tcp")],
        )
    };
    ensure!(grown("container") == bytes, "container grew by {}, its flows say {bytes}", grown("container"));
    ensure!(grown("host") == 0, "host grew by {}", grown("host"));
    Ok(())
}

fn a_listener_older_than_the_agent(scene: &Scene) -> Result<()> {
    let expected = at_uplink(external(), container(HOSTNET), false);
    connected(scene, &scene.stage.outside(), (NODE, OLDER), &expected)?;
    Ok(())
}

fn its_connections_end(scene: &Scene) -> Result<()> {
    let server = traffic::tcp_server(&scene.stage.outside(), "0.0.0.0:7011")?;
    let place = scene.stage.place(HOSTNET)?;
    let alive = || -> Result<i128> {
        let labels = [("source_kind", "container"), ("destination_kind", "external"), ("protocol", "tcp")];
        Ok(netobs_tests::agent::whole(scene.stage.agent.metrics()?.sum("netobs_path_flows", &labels)))
    };
    let before = alive()?;
    traffic::connect(&place, &format!("{SERVER}:7011"), CONNECTIONS, BYTES)?;
    drop(server);
    netobs_tests::process::until("the end of its flows", std::time::Duration::from_secs(5), || {
        let now = alive()?;
        ensure!(now <= before, "{now} flows alive, {before} before");
        Ok(())
    })
}
