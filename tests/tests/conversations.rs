//! Every row of the path table on real traffic of real containers: one flow for each connection, the right
//! names, way, NAT and numbers; and for each row, every interface accounted for to the byte.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use netobs_tests::{
    docker_site::{LONELY, PLAIN, PUBLISHED, WEB},
    flows::{self, Flow},
    interval::{Expected, Interval},
    place::Place,
    require::{DOCKER, TRAFFIC},
    site::{NODE, ROUTER, SERVER, SERVER_V6, UPLINK},
    stage::{Stage, at_uplink, container, external, from_port, host, way},
    suite::{self, Case},
    traffic,
};

/// The known transfer.
const TRANSFER: &[&str] = &["-n", "200M"];

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC, DOCKER],
        Stage::new,
        vec![
            case("host_to_container", host_to_container as fn(&Stage) -> Result<()>),
            case("host_pings_container", host_pings_container),
            case("host_sends_datagrams_to_container", host_sends_datagrams_to_container),
            case("container_to_host", container_to_host),
            case("container_to_container_on_one_bridge", container_to_container_on_one_bridge),
            case("container_pings_container", container_pings_container),
            case("container_to_container_over_ipv6", container_to_container_over_ipv6),
            case("container_to_container_of_another_network", container_to_container_of_another_network),
            case("container_to_outside_is_masqueraded", container_to_outside_is_masqueraded),
            case("container_pings_outside", container_pings_outside),
            case("container_sends_datagrams_outside", container_sends_datagrams_outside),
            case("container_to_outside_over_ipv6", container_to_outside_over_ipv6),
            case("container_of_a_user_network_to_outside", container_of_a_user_network_to_outside),
            case("outside_to_published_port", outside_to_published_port),
            case("host_to_published_port_of_its_own_address", host_to_published_port_of_its_own_address),
            case("host_to_published_port_on_localhost", host_to_published_port_on_localhost),
            case("container_to_published_port_by_the_proxy", container_to_published_port_by_the_proxy),
            case("host_to_outside", host_to_outside),
            case("outside_to_host", outside_to_host),
            case("loopback_counts_once", loopback_counts_once),
            case("fragments_belong_to_their_datagram", fragments_belong_to_their_datagram),
            case("a_known_number_of_bytes_is_counted_to_the_byte", a_known_number_of_bytes),
            case("a_hundred_connections_are_a_hundred_flows", a_hundred_connections_are_a_hundred_flows),
        ],
    )
}

/// iperf3 between two places; exact books, one data and one control flow, the data flow as promised.
fn transfer(
    stage: &Stage,
    (client, server): (&Place, &Place),
    (target, port, server_port): (&str, u16, u16),
    expected: &Expected,
) -> Result<(Interval, Flow)> {
    let listener = traffic::iperf_server(server, server_port)?;
    let (interval, run) = stage.observe(|| traffic::iperf(client, target, port, TRANSFER))?;
    drop(listener);
    let addressed = format!("{target}:{port}");
    let flow = one_tcp_flow(&interval, run.port, &addressed)?;
    // What iperf3 had written but not sent when it had written enough is discarded at its end; what TCP
    // had to send again, a percent or two here, comes on top.
    let headers = 20 + 32 + 40 + 14;
    ensure!(
        (run.received..run.sent + run.sent / 50 + headers * flow.forward.segments)
            .contains(&flow.forward.bytes),
        "iperf3 received {} and sent {} bytes of payload, the flow carried {:?}",
        run.received,
        run.sent,
        flow.forward
    );
    // Judged last: a wrong label must not hide wrong numbers, nor the reverse.
    both(interval.must_be_exact(), expected.compare(&flow))?;
    Ok((interval, flow))
}

/// The connection from this port to this `address:port`, as its client knows it.
fn one_tcp_flow(interval: &Interval, port: u16, target: &str) -> Result<Flow> {
    let what = format!("the TCP connection from port {port} to {target}");
    let fits = |flow: &Flow| from_port(flow, "tcp", port) && flow.addressed() == target;
    Ok(flows::only(interval.flows(), &what, fits)?.clone())
}

/// Both findings, not only the first.
fn both(one: Result<()>, other: Result<()>) -> Result<()> {
    match (one, other) {
        (Err(one), Err(other)) => Err(one.context(format!("{other:#}"))),
        (one, other) => one.and(other),
    }
}

fn direct(stage: &Stage, name: &str, from_host: bool) -> Result<Expected> {
    let veth = stage.veth(name)?;
    let out = way(&[("docker0", "E"), (&veth, "E")]);
    let back = way(&[(&veth, "I"), ("docker0", "I")]);
    let (source, destination) = if from_host { (host(), container(name)) } else { (container(name), host()) };
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

fn bridged(stage: &Stage, from: &str, to: &str) -> Result<Expected> {
    let (a, b) = (stage.veth(from)?, stage.veth(to)?);
    Ok(Expected {
        protocol: "tcp",
        source: container(from),
        destination: container(to),
        path: "bridge",
        nat: "none",
        via: Some("direct"),
        forward: way(&[(&a, "I"), (&b, "E")]),
        reply: way(&[(&b, "I"), (&a, "E")]),
        counted_at: a,
    })
}

fn outward(stage: &Stage, from: &str, bridge: &str) -> Result<Expected> {
    let veth = stage.veth(from)?;
    Ok(Expected {
        protocol: "tcp",
        source: container(from),
        destination: external(),
        path: "uplink",
        nat: "snat",
        via: Some("direct"),
        forward: way(&[(&veth, "I"), (bridge, "I"), (UPLINK, "E")]),
        reply: way(&[(UPLINK, "I"), (bridge, "E"), (&veth, "E")]),
        counted_at: veth,
    })
}

fn host_to_container(stage: &Stage) -> Result<()> {
    let web = stage.site.address(WEB)?;
    let places = (&stage.node(), &stage.place(WEB)?);
    transfer(stage, places, (&web, 5201, 5201), &direct(stage, WEB, true)?)?;
    Ok(())
}

/// The thousand echo requests of a ping from one place to another: one flow, exact numbers.
fn pings(stage: &Stage, from: &Place, to: &str, expected: Expected) -> Result<()> {
    let (interval, ()) = stage.observe(|| traffic::ping(from, to, 1000))?;
    let described = |flow: &Flow| {
        flow.protocol == "icmp"
            && flow.source.endpoint.as_ref() == Some(&expected.source.0)
            && flow.destination.address.as_deref() == Some(to)
            && flow.forward.packets >= 1000
    };
    let flow = flows::only(interval.flows(), "the thousand pings", described)?;
    let exact = flow.forward.bytes == 98_000 && flow.reply.packets == 1000 && flow.reply.bytes == 98_000;
    let numbers =
        if exact { Ok(()) } else { Err(anyhow::anyhow!("1000 pings of 98 bytes are {}", flow.brief())) };
    let expected = Expected { protocol: "icmp", ..expected };
    both(both(interval.must_be_exact(), numbers), expected.compare(flow))
}

fn host_pings_container(stage: &Stage) -> Result<()> {
    pings(stage, &stage.node(), &stage.site.address(WEB)?, direct(stage, WEB, true)?)
}

/// A thousand datagrams of 1,000 bytes: one flow, forward only, exact numbers.
fn thousand_datagrams(
    stage: &Stage,
    (from, to): (&Place, &Place),
    target: &str,
    expected: Expected,
) -> Result<()> {
    let (interval, port) = stage.observe(|| {
        traffic::datagrams(from, to, "0.0.0.0:9000", &format!("{target}:9000"), (1000, 1000, 10_000))
    })?;
    let flow = flows::only(interval.flows(), "the datagrams", |flow| from_port(flow, "udp", port))?;
    let exact = flow.forward.packets == 1000 && flow.forward.bytes == 1_042_000 && flow.reply.packets == 0;
    let numbers = if exact {
        Ok(())
    } else {
        Err(anyhow::anyhow!("1000 datagrams of 1042 bytes are {}", flow.brief()))
    };
    let expected = Expected { protocol: "udp", reply: Vec::new(), ..expected };
    both(both(interval.must_be_exact(), numbers), expected.compare(flow))
}

fn host_sends_datagrams_to_container(stage: &Stage) -> Result<()> {
    let web = stage.site.address(WEB)?;
    thousand_datagrams(stage, (&stage.node(), &stage.place(WEB)?), &web, direct(stage, WEB, true)?)
}

fn container_to_host(stage: &Stage) -> Result<()> {
    let places = (&stage.place(WEB)?, &stage.node());
    transfer(stage, places, ("10.77.0.1", 5201, 5201), &direct(stage, WEB, false)?)?;
    Ok(())
}

fn container_to_container_on_one_bridge(stage: &Stage) -> Result<()> {
    let web = stage.site.address(WEB)?;
    let places = (&stage.place(PLAIN)?, &stage.place(WEB)?);
    let (interval, flow) = transfer(stage, places, (&web, 5201, 5201), &bridged(stage, PLAIN, WEB)?)?;
    let labels = [
        ("source_kind", "container"),
        ("destination_kind", "container"),
        ("path", "bridge"),
        ("nat", "none"),
        ("protocol", "tcp"),
        ("reporter", "source"),
        ("direction", "forward"),
    ];
    let grown = interval.grown("netobs_path_bytes_total", &labels);
    // iperf3's control connection adds a few hundred bytes.
    let own = i128::from(flow.forward.bytes);
    ensure!((own..own + 10_000).contains(&grown), "the path grew by {grown}, the flow carried {own}");
    Ok(())
}

fn container_pings_container(stage: &Stage) -> Result<()> {
    pings(stage, &stage.place(PLAIN)?, &stage.site.address(WEB)?, bridged(stage, PLAIN, WEB)?)
}

fn container_to_container_over_ipv6(stage: &Stage) -> Result<()> {
    let web = stage.docker().inspect(WEB, "{{.NetworkSettings.GlobalIPv6Address}}")?;
    let places = (&stage.place(PLAIN)?, &stage.place(WEB)?);
    transfer(stage, places, (&web, 5201, 5201), &bridged(stage, PLAIN, WEB)?)?;
    Ok(())
}

/// Docker isolates its networks; an operator's rule lets this one through, and Docker's own masquerade then
/// hides the sender.
fn container_to_container_of_another_network(stage: &Stage) -> Result<()> {
    let node = stage.site.site.node();
    node.run("iptables -w -I DOCKER-USER -j ACCEPT")?;
    let done = across_networks(stage);
    node.run("iptables -w -D DOCKER-USER -j ACCEPT")?;
    done
}

fn across_networks(stage: &Stage) -> Result<()> {
    let (bridge, plain) = (user_bridge(stage)?, stage.site.address(PLAIN)?);
    let (from, to) = (stage.veth(LONELY)?, stage.veth(PLAIN)?);
    let expected = Expected {
        protocol: "tcp",
        source: container(LONELY),
        destination: container(PLAIN),
        path: "routed_local",
        nat: "snat",
        via: Some("direct"),
        forward: way(&[(&from, "I"), (&bridge, "I"), ("docker0", "E"), (&to, "E")]),
        reply: way(&[(&to, "I"), ("docker0", "I"), (&bridge, "E"), (&from, "E")]),
        counted_at: from,
    };
    let places = (&stage.place(LONELY)?, &stage.place(PLAIN)?);
    transfer(stage, places, (&plain, 5201, 5201), &expected)?;
    Ok(())
}

fn user_bridge(stage: &Stage) -> Result<String> {
    let id = stage.docker().docker(&["network", "inspect", "--format", "{{.Id}}", stage.site.network()])?;
    Ok(format!("br-{}", id.get(..12).context("network id")?))
}

fn container_to_outside_is_masqueraded(stage: &Stage) -> Result<()> {
    let places = (&stage.place(PLAIN)?, &stage.outside());
    let (_, flow) = transfer(stage, places, (SERVER, 5201, 5201), &outward(stage, PLAIN, "docker0")?)?;
    let port = flow.source.port.unwrap_or_default();
    let after = flow.hops.iter().find(|hop| hop.interface == UPLINK && hop.direction == "forward");
    let seen = after.context("no uplink hop")?.source.clone();
    ensure!(seen.starts_with(&format!("{NODE}:")), "the uplink saw {seen}, not the node's address");
    agrees_with_conntrack(stage, &flow, port)
}

/// The kernel's own count of the connection: packets, and bytes without Ethernet headers.
fn agrees_with_conntrack(stage: &Stage, flow: &Flow, port: u16) -> Result<()> {
    let table = stage.site.site.node().run(&format!("conntrack -L -p tcp --orig-port-src {port}"))?;
    let line = table.lines().find(|line| line.contains("dport=5201")).context("not in conntrack")?;
    let numbers = |key: &str| -> Vec<u64> {
        line.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse().ok()).collect()
    };
    let (packets, bytes) = (numbers("packets="), numbers("bytes="));
    for (index, own) in [flow.forward, flow.reply].into_iter().enumerate() {
        let counted = (*packets.get(index).context("packets")?, *bytes.get(index).context("bytes")?);
        let listed = (own.packets, own.bytes - 14 * own.packets);
        ensure!(counted == listed, "conntrack counted {counted:?}, the flow {listed:?}: {line}");
    }
    Ok(())
}

fn container_pings_outside(stage: &Stage) -> Result<()> {
    pings(stage, &stage.place(PLAIN)?, SERVER, outward(stage, PLAIN, "docker0")?)
}

fn container_sends_datagrams_outside(stage: &Stage) -> Result<()> {
    let places = (&stage.place(PLAIN)?, &stage.outside());
    thousand_datagrams(stage, places, SERVER, outward(stage, PLAIN, "docker0")?)
}

fn container_to_outside_over_ipv6(stage: &Stage) -> Result<()> {
    let expected = Expected { nat: "none", ..outward(stage, PLAIN, "docker0")? };
    transfer(stage, (&stage.place(PLAIN)?, &stage.outside()), (SERVER_V6, 5201, 5201), &expected)?;
    Ok(())
}

fn container_of_a_user_network_to_outside(stage: &Stage) -> Result<()> {
    let bridge = user_bridge(stage)?;
    let places = (&stage.place(LONELY)?, &stage.outside());
    transfer(stage, places, (SERVER, 5201, 5201), &outward(stage, LONELY, &bridge)?)?;
    Ok(())
}

fn outside_to_published_port(stage: &Stage) -> Result<()> {
    let veth = stage.veth(PUBLISHED)?;
    let expected = Expected {
        protocol: "tcp",
        source: external(),
        destination: container(PUBLISHED),
        path: "uplink",
        nat: "dnat",
        via: Some("published_port"),
        forward: way(&[(UPLINK, "I"), ("docker0", "E"), (&veth, "E")]),
        reply: way(&[(&veth, "I"), ("docker0", "I"), (UPLINK, "E")]),
        counted_at: veth,
    };
    let places = (&stage.outside(), &stage.place(PUBLISHED)?);
    let (_, flow) = transfer(stage, places, (NODE, 8080, 80), &expected)?;
    addressed_the_node(&flow)?;
    ensure!(flow.source.address.as_deref() == Some(ROUTER), "source {:?}", flow.source);
    ensure!(flow.destination.port == Some(80), "destination {:?}", flow.destination);
    ensure!(flow.reporter == "destination", "reporter {}", flow.reporter);
    Ok(())
}

fn addressed_the_node(flow: &Flow) -> Result<()> {
    let original = flow.original_destination.as_ref().context("no original destination")?;
    ensure!(original.address == NODE && original.port == Some(8080), "original destination {original:?}");
    Ok(())
}

fn host_to_published_port_of_its_own_address(stage: &Stage) -> Result<()> {
    let expected = Expected { nat: "dnat", via: Some("published_port"), ..direct(stage, PUBLISHED, true)? };
    let (_, flow) = transfer(stage, (&stage.node(), &stage.place(PUBLISHED)?), (NODE, 8080, 80), &expected)?;
    addressed_the_node(&flow)
}

fn host_to_published_port_on_localhost(stage: &Stage) -> Result<()> {
    let server = traffic::tcp_server(&stage.place(PUBLISHED)?, "0.0.0.0:80")?;
    let (interval, ports) = stage.observe(|| traffic::connect(&stage.node(), "127.0.0.1:8080", 1, 50_000))?;
    drop(server);
    let client = one_tcp_flow(&interval, *ports.first().context("no port")?, "127.0.0.1:8080")?;
    let on_loopback = Expected {
        protocol: "tcp",
        source: host(),
        destination: host(),
        path: "loopback",
        nat: "none",
        via: None,
        forward: way(&[("lo", "E"), ("lo", "I")]),
        reply: way(&[("lo", "E"), ("lo", "I")]),
        counted_at: "lo".into(),
    };
    both(both(interval.must_be_exact(), on_loopback.compare(&client)), proxied(stage, &interval))
}

/// The proxy's own connection to the container.
fn proxied(stage: &Stage, interval: &Interval) -> Result<()> {
    let old: Vec<_> = interval.before.flows.iter().map(|flow| &flow.id).collect();
    let flow = flows::only(interval.flows(), "the proxy's connection", |flow| {
        flow.destination.endpoint.as_deref() == Some("container/published")
            && flow.source.kind == "host"
            && !old.contains(&&flow.id)
    })?;
    direct(stage, PUBLISHED, true)?.compare(flow)?;
    ensure!(flow.proxied_by.as_deref() == Some("docker-proxy"), "proxied_by is {:?}", flow.proxied_by);
    Ok(())
}

/// Docker's rules leave containers on the same bridge to the proxy.
fn container_to_published_port_by_the_proxy(stage: &Stage) -> Result<()> {
    let server = traffic::tcp_server(&stage.place(PUBLISHED)?, "0.0.0.0:80")?;
    let target = format!("{NODE}:8080");
    let (interval, ports) = stage.observe(|| traffic::connect(&stage.place(PLAIN)?, &target, 1, 50_000))?;
    drop(server);
    let client = one_tcp_flow(&interval, *ports.first().context("no port")?, &target)?;
    let first = Expected { via: None, ..direct(stage, PLAIN, false)? };
    both(both(interval.must_be_exact(), first.compare(&client)), proxied(stage, &interval))
}

fn host_to_outside(stage: &Stage) -> Result<()> {
    let expected = at_uplink(host(), external(), true);
    let (_, flow) = transfer(stage, (&stage.node(), &stage.outside()), (SERVER, 5201, 5201), &expected)?;
    ensure!(flow.reporter == "source", "reporter {}", flow.reporter);
    Ok(())
}

fn outside_to_host(stage: &Stage) -> Result<()> {
    let expected = at_uplink(external(), host(), false);
    let (_, flow) = transfer(stage, (&stage.outside(), &stage.node()), (NODE, 5201, 5201), &expected)?;
    ensure!(flow.reporter == "destination", "reporter {}", flow.reporter);
    Ok(())
}

fn loopback_counts_once(stage: &Stage) -> Result<()> {
    for address in ["127.0.0.1", NODE, "::1"] {
        let expected = Expected {
            protocol: "tcp",
            source: host(),
            destination: host(),
            path: "loopback",
            nat: "none",
            via: Some("direct"),
            forward: way(&[("lo", "E"), ("lo", "I")]),
            reply: way(&[("lo", "E"), ("lo", "I")]),
            counted_at: "lo".into(),
        };
        transfer(stage, (&stage.node(), &stage.node()), (address, 5201, 5201), &expected)
            .with_context(|| format!("own address {address}"))?;
    }
    Ok(())
}

/// 100 datagrams of 8,000 bytes leave the container in six fragments each; only the first has ports.
fn fragments_belong_to_their_datagram(stage: &Stage) -> Result<()> {
    let web = stage.site.address(WEB)?;
    let (from, to) = (stage.place(PLAIN)?, stage.place(WEB)?);
    let (interval, port) = stage.observe(|| {
        traffic::datagrams(&from, &to, "0.0.0.0:9001", &format!("{web}:9001"), (100, 8000, 500))
    })?;
    let flow =
        flows::only(interval.flows(), "the fragmented datagrams", |flow| from_port(flow, "udp", port))?;
    interval.must_be_exact()?;
    // 8,008 bytes behind six IPv4 headers and six Ethernet headers.
    let (packets, bytes) = (600, 100 * (8008 + 6 * (20 + 14)));
    ensure!(
        flow.forward.packets == packets && flow.forward.bytes == bytes,
        "{packets} fragments of {bytes} bytes are {}",
        flow.brief()
    );
    Ok(())
}

fn a_hundred_connections_are_a_hundred_flows(stage: &Stage) -> Result<()> {
    let web = stage.site.address(WEB)?;
    let target = format!("{web}:7100");
    let server = traffic::tcp_server(&stage.place(WEB)?, "0.0.0.0:7100")?;
    let (interval, ports) = stage.observe(|| traffic::connect(&stage.place(PLAIN)?, &target, 100, 10))?;
    drop(server);
    interval.must_be_exact()?;
    ensure!(ports.len() == 100);
    for port in ports {
        let flow = one_tcp_flow(&interval, port, &target)?;
        bridged(stage, PLAIN, WEB)?.compare(&flow)?;
    }
    Ok(())
}

/// 50,000,000 bytes of payload: what the flow carried, less the headers of its packets, is exactly that. A run
/// in which TCP had to send something twice is repeated: those bytes are on the wire, but how many is not known.
fn a_known_number_of_bytes(stage: &Stage) -> Result<()> {
    const PAYLOAD: u64 = 50_000_000;
    let target = format!("{}:7101", stage.site.address(WEB)?);
    let server = traffic::tcp_server(&stage.place(WEB)?, "0.0.0.0:7101")?;
    let client = stage.place(PLAIN)?;
    for _ in 0..8 {
        let again = traffic::retransmitted(&client)?;
        let transfer = || traffic::connect(&client, &target, 1, usize::try_from(PAYLOAD)?);
        let (interval, ports) = stage.observe(transfer)?;
        interval.must_be_exact()?;
        if traffic::retransmitted(&client)? != again {
            continue;
        }
        let flow = one_tcp_flow(&interval, *ports.first().context("no port")?, &target)?;
        // Ethernet, IPv4, TCP with timestamps; the SYN has eight bytes of options more.
        let payload = flow.forward.bytes - (14 + 20 + 32) * flow.forward.packets - 8;
        ensure!(payload == PAYLOAD, "{PAYLOAD} bytes of payload are {payload}: {}", flow.brief());
        drop(server);
        return Ok(());
    }
    anyhow::bail!("TCP sent something twice in each of eight runs")
}
