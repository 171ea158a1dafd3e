//! The harness against the real world: what the other cases rely on is proven here without an agent.

use std::{collections::BTreeSet, fs, process::ExitCode};

use anyhow::{Result, ensure};
use netobs_tests::{
    counters::{self, Count, as_the_device_counts},
    docker_site::{DockerSite, HOSTNET, LONELY, PLAIN, PUBLISHED, WEB},
    require::{DOCKER, TRAFFIC},
    site::{NODE, ROUTER, SERVER},
    suite::{self, Case},
    traffic,
};

fn main() -> ExitCode {
    suite::run(
        &[TRAFFIC, DOCKER],
        DockerSite::new,
        vec![
            Case { name: "containers_on_one_bridge_talk", check: containers_on_one_bridge_talk },
            Case { name: "networks_of_docker_are_isolated", check: networks_of_docker_are_isolated },
            Case { name: "masquerade_shows_the_nodes_address", check: masquerade_shows_the_nodes_address },
            Case {
                name: "a_published_port_answers_the_outside",
                check: a_published_port_answers_the_outside,
            },
            Case {
                name: "a_published_port_answers_on_localhost",
                check: a_published_port_answers_on_localhost,
            },
            Case { name: "iperf3_moves_what_it_is_told_to", check: iperf3_moves_what_it_is_told_to },
            Case {
                name: "datagrams_and_pings_are_counted_exactly",
                check: datagrams_and_pings_are_counted_exactly,
            },
            Case { name: "a_flood_has_as_many_tuples_as_asked", check: a_flood_has_as_many_tuples_as_asked },
            Case { name: "the_host_network_is_the_nodes", check: the_host_network_is_the_nodes },
            Case { name: "a_removed_site_leaves_nothing", check: a_removed_site_leaves_nothing },
        ],
    )
}

fn containers_on_one_bridge_talk(site: &DockerSite) -> Result<()> {
    let web = site.address(WEB)?;
    let _server = traffic::tcp_server(&site.place(WEB)?, "0.0.0.0:7001")?;
    let ports = traffic::connect(&site.place(PLAIN)?, &format!("{web}:7001"), 3, 5000)?;
    ensure!(ports.len() == 3, "three connections, three ports: {ports:?}");
    Ok(())
}

fn networks_of_docker_are_isolated(site: &DockerSite) -> Result<()> {
    let lonely = site.docker.address(LONELY, site.network())?;
    ensure!(traffic::ping(&site.place(PLAIN)?, &lonely, 1).is_err(), "{lonely} answers across networks");
    traffic::ping(&site.node(), &lonely, 1)
}

fn masquerade_shows_the_nodes_address(site: &DockerSite) -> Result<()> {
    traffic::ping(&site.place(PLAIN)?, SERVER, 10)?;
    let table = site.site.node().run("conntrack -L -p icmp")?;
    let plain = site.address(PLAIN)?;
    ensure!(
        table
            .lines()
            .any(|line| line.contains(&format!("src={plain}")) && line.contains(&format!("dst={NODE}"))),
        "no masqueraded ping in {table}"
    );
    Ok(())
}

fn a_published_port_answers_the_outside(site: &DockerSite) -> Result<()> {
    let _server = traffic::tcp_server(&site.place(PUBLISHED)?, "0.0.0.0:80")?;
    traffic::connect(&site.outside(), &format!("{NODE}:8080"), 1, 100)?;
    let table = site.site.node().run("conntrack -L -p tcp --orig-port-dst 8080")?;
    let container = site.address(PUBLISHED)?;
    ensure!(
        table.contains(&format!("src={ROUTER} dst={NODE}"))
            && table.contains(&format!("src={container} dst={ROUTER}")),
        "no redirected connection in {table}"
    );
    Ok(())
}

fn a_published_port_answers_on_localhost(site: &DockerSite) -> Result<()> {
    let _server = traffic::tcp_server(&site.place(PUBLISHED)?, "0.0.0.0:80")?;
    let before = counters::snapshot(&site.site.node())?;
    traffic::connect(&site.node(), "127.0.0.1:8080", 1, 100)?;
    let after = counters::snapshot(&site.site.node())?;
    let moved = |name: &str| {
        let of = |snapshot: &counters::Snapshot| {
            snapshot.values().find(|one| one.name == name).map_or(0, |one| one.sent.packets)
        };
        of(&after) - of(&before)
    };
    // Two connections: the client's to docker-proxy over lo, the proxy's to the container over the bridge.
    ensure!(moved("lo") >= 8, "lo carried {} packets", moved("lo"));
    ensure!(moved("docker0") >= 4, "docker0 sent {} packets", moved("docker0"));
    Ok(())
}

fn iperf3_moves_what_it_is_told_to(site: &DockerSite) -> Result<()> {
    let _server = traffic::iperf_server(&site.place(WEB)?, 5201)?;
    let run = traffic::iperf(&site.place(PLAIN)?, &site.address(WEB)?, 5201, &["-n", "20M"])?;
    ensure!(run.sent >= 20 << 20 && run.received > 0 && run.port > 0, "{run:?}");
    Ok(())
}

/// 1,000 datagrams of 1,000 bytes and 1,000 pings: the veth's own counters show each of them, and bytes are
/// those of Ethernet frames.
fn datagrams_and_pings_are_counted_exactly(site: &DockerSite) -> Result<()> {
    let web = site.address(WEB)?;
    traffic::ping(&site.place(PLAIN)?, &web, 2)?;
    let veth = site.host_side(PLAIN)?;
    let before = counters::snapshot(&site.site.node())?;
    traffic::datagrams(
        &site.place(PLAIN)?,
        &site.place(WEB)?,
        "0.0.0.0:9000",
        &format!("{web}:9000"),
        (1000, 1000, 10_000),
    )?;
    traffic::ping(&site.place(PLAIN)?, &web, 1000)?;
    let after = counters::snapshot(&site.site.node())?;
    let (start, end) = (&before[&veth], &after[&veth]);
    let received = end.received - start.received;
    let expected = Count { packets: 2000, bytes: 1000 * (1000 + 42) + 1000 * 98 };
    // ARP and router solicitations come in between: a few, of 42 to 110 bytes each.
    let (extra, more) = (received.packets - expected.packets, received.bytes - expected.bytes);
    ensure!((0..=8).contains(&extra), "{received:?}, not {expected:?}");
    ensure!((42 * extra..=110 * extra).contains(&more), "{received:?}, not {expected:?}");
    ensure!(end.kind == "veth" && as_the_device_counts(&end.kind, true, received) == received);
    Ok(())
}

fn a_flood_has_as_many_tuples_as_asked(site: &DockerSite) -> Result<()> {
    let node = site.site.node();
    let outside = site.site.outside();
    outside.run("iptables -w -t raw -A PREROUTING -p udp -j DROP")?;
    let before = counters::snapshot(&node)?;
    let mut flood = site.node().traffic(&["flood", SERVER, "--count", "20000"])?;
    netobs_tests::process::run(&mut flood)?;
    let after = counters::snapshot(&node)?;
    outside.run("iptables -w -t raw -F PREROUTING")?;
    let tuples = node.run("conntrack -L -p udp --src 198.51.100.2 --dst 203.0.113.10")?;
    let distinct: BTreeSet<_> =
        tuples.lines().filter_map(|line| line.split_once("src=")).map(|(_, key)| key).collect();
    let sent: i128 = after
        .iter()
        .filter(|(_, one)| one.name == "up0")
        .map(|(index, one)| (one.sent - before[index].sent).packets)
        .sum();
    ensure!((20_000..20_010).contains(&sent), "{sent} packets left the node");
    ensure!(distinct.len() == 20_000, "{} tuples in conntrack", distinct.len());
    Ok(())
}

fn the_host_network_is_the_nodes(site: &DockerSite) -> Result<()> {
    let inside = site.docker.exec(HOSTNET, "ip addr show dev up0")?;
    ensure!(inside.contains(NODE), "no node address in {inside}");
    let _server = traffic::serve(
        &site.place(HOSTNET)?,
        site.place(HOSTNET)?.traffic(&["tcp-serve", "0.0.0.0:7002", "--count", "1"])?,
        "tcp",
        7002,
    )?;
    traffic::connect(&site.place(PLAIN)?, &format!("{NODE}:7002"), 1, 10)?;
    Ok(())
}

/// A second site of the same kind, built and dropped: no namespace, mount, process or file of it stays.
fn a_removed_site_leaves_nothing(_: &DockerSite) -> Result<()> {
    let second = DockerSite::new()?;
    let directory = second.site.directory().to_owned();
    let names = [second.site.node.name().to_owned(), second.site.outside.name().to_owned()];
    let text = directory.display().to_string();
    drop(second);
    ensure!(!directory.exists(), "{text} is still there");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    ensure!(!mounts.contains(&text), "mounts are left below {text}");
    for name in names {
        ensure!(!fs::exists(format!("/run/netns/{name}"))?, "namespace {name} is left");
    }
    for entry in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        ensure!(!line.contains(&text), "a process is left: {}", line.replace('\0', " "));
    }
    Ok(())
}
