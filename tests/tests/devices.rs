//! Devices that count in their own way, and packets that are no conversation: every interface of the node is
//! accounted for to the byte whatever crosses it.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use netobs_tests::{
    agent::Agent,
    bare::{BRIDGE, Bare, LEFT, RIGHT},
    endpoint,
    interval::Interval,
    netns,
    place::Place,
    process,
    require::TRAFFIC,
    site::{NODE, ROUTER, SERVER, UPLINK},
    suite::{self, Case},
    traffic,
};

fn main() -> ExitCode {
    let case = |name, check| Case { name, check };
    suite::run(
        &[TRAFFIC],
        Bare::new,
        vec![
            case("a_vxlan_device_is_exact", a_vxlan_device_is_exact as Check),
            case("bridged_into_a_vxlan_is_exact", bridged_into_a_vxlan_is_exact),
            case("macvlan_on_the_uplink_is_exact", macvlan_on_the_uplink_is_exact),
            case("arp_neighbours_and_multicast_are_exact", arp_neighbours_and_multicast_are_exact),
            case("fragments_over_the_uplink_are_exact", fragments_over_the_uplink_are_exact),
            case("frames_that_are_no_ip_are_skipped_and_counted", frames_that_are_no_ip),
            case("what_stays_after_a_churn_of_interfaces_is_exact", after_churn),
        ],
    )
}

type Check = fn(&Bare) -> Result<()>;

/// A tunnel between the node and the outside, 198.18.42.0/24 inside. `port` makes it a port of the bridge.
fn tunnel(bare: &Bare, port: bool) -> Result<()> {
    let here = if port {
        format!("link set vx0 master {BRIDGE}\n")
    } else {
        "addr add 198.18.42.1/24 dev vx0\n".into()
    };
    bare.site.node.batch(&format!(
        "link add vx0 type vxlan id 42 local {NODE} remote {ROUTER} dstport 4789 dev {UPLINK}\n{here}link set vx0 up\n"
    ))?;
    let there = if port { "10.79.0.9/24" } else { "198.18.42.2/24" };
    bare.site.outside.batch(&format!(
        "link add vx0 type vxlan id 42 local {ROUTER} remote {NODE} dstport 4789 dev {UPLINK}\n\
         addr add {there} dev vx0\nlink set vx0 up\n"
    ))
}

fn no_tunnel(bare: &Bare) -> Result<()> {
    bare.site.node.batch("link del vx0\n")?;
    bare.site.outside.batch("link del vx0\n")
}

/// iperf3 and pings to an address beyond the node; every interface adds up.
fn exact(bare: &Bare, from: &Place, address: &str) -> Result<()> {
    let agent = bare.agent(&[])?;
    let beyond = Place::Stack(bare.site.outside());
    let server = traffic::iperf_server(&beyond, 5201)?;
    let (interval, run) = Interval::around(&agent, || {
        traffic::ping(from, address, 100)?;
        traffic::iperf(from, address, 5201, &["-n", "50M"])
    })?;
    drop(server);
    ensure!(run.sent >= 50 << 20);
    interval.must_be_exact()?;
    agent.stop()?;
    Ok(())
}

fn a_vxlan_device_is_exact(bare: &Bare) -> Result<()> {
    tunnel(bare, false)?;
    let done = exact(bare, &bare.node(), "198.18.42.2");
    no_tunnel(bare)?;
    done
}

fn bridged_into_a_vxlan_is_exact(bare: &Bare) -> Result<()> {
    tunnel(bare, true)?;
    // As any operator of an overlay sets it. Else the tunnel itself answers what is too long with an ICMP error
    // that takes the place of the packet, and the device counts that on both ways.
    bare.left().stack()?.batch("link set eth0 mtu 1450\n")?;
    let done = exact(bare, &bare.left(), "10.79.0.9");
    bare.left().stack()?.batch("link set eth0 mtu 1500\n")?;
    no_tunnel(bare)?;
    done
}

fn macvlan_on_the_uplink_is_exact(bare: &Bare) -> Result<()> {
    let inside = netns::Netns::new("macvlan")?;
    bare.site
        .node
        .batch(&format!("link add mv0 link {UPLINK} netns {} type macvlan mode bridge\n", inside.name()))?;
    inside.batch(&format!(
        "addr add 198.51.100.9/24 dev mv0\nlink set mv0 up\nroute add default via {ROUTER}\n"
    ))?;
    exact(bare, &Place::Stack(inside.stack()), SERVER)
}

fn around(bare: &Bare, traffic: impl FnOnce(&Agent) -> Result<()>) -> Result<Interval> {
    let agent = bare.agent(&[])?;
    let (interval, ()) = Interval::around(&agent, || traffic(&agent))?;
    agent.stop()?;
    Ok(interval)
}

fn arp_neighbours_and_multicast_are_exact(bare: &Bare) -> Result<()> {
    let interval = around(bare, |_| {
        let left = bare.left();
        // Nobody answers at the first, everybody at the second, and the third is asked for over IPv6.
        for (target, flag) in [("10.79.0.200", "-4"), ("224.0.0.1", "-4"), ("ff02::1%eth0", "-6")] {
            let mut ping =
                left.command("ping", [flag, "-q", "-n", "-c", "3", "-i", "0.2", "-W", "1", target]);
            process::finish(&mut ping, process::SHORT)?;
        }
        let mut broadcast =
            left.command("ping", ["-b", "-q", "-n", "-c", "3", "-i", "0.2", "-W", "1", "10.79.0.255"]);
        process::finish(&mut broadcast, process::SHORT)?;
        left.stack()?.run("ip neigh flush dev eth0")?;
        traffic::ping(&left, RIGHT, 1)
    })?;
    interval.must_be_exact()?;
    for protocol in ["arp", "icmpv6"] {
        ensure!(interval.flows().iter().any(|flow| flow.protocol == protocol), "no {protocol} is listed");
    }
    Ok(())
}

fn fragments_over_the_uplink_are_exact(bare: &Bare) -> Result<()> {
    let beyond = Place::Stack(bare.site.outside());
    let interval = around(bare, |_| {
        traffic::datagrams(
            &bare.left(),
            &beyond,
            "0.0.0.0:9002",
            &format!("{SERVER}:9002"),
            (50, 8000, 500),
        )?;
        Ok(())
    })?;
    interval.must_be_exact()
}

/// Spanning tree frames of a second bridge behind a veth: neither IP nor ARP, so skipped, and counted as such.
fn frames_that_are_no_ip(bare: &Bare) -> Result<()> {
    let inside = endpoint::behind_veth(&bare.site.node(), &netns::unique("stp"), "vstp")?;
    bare.site.node.batch(&format!("link set vstp master {BRIDGE}\n"))?;
    let interval = around(bare, |_| {
        inside.batch(
            "link add br9 type bridge stp_state 1 forward_delay 200 hello_time 100\nlink set eth0 master br9\n\
             link set br9 up\n",
        )?;
        std::thread::sleep(std::time::Duration::from_secs(4));
        // The lab must be quiet again for the books.
        inside.batch("link set br9 down\n")
    })?;
    let skipped = interval.grown("netobs_skipped_packets_total", &[("reason", "not_ip")]);
    ensure!(skipped >= 2, "{skipped} frames of the spanning tree were skipped");
    interval.must_be_exact()
}

/// Interfaces came and went while the agent ran; what is there now is still exact.
fn after_churn(bare: &Bare) -> Result<()> {
    let interval = around(bare, |_| {
        for round in 0..30 {
            bare.site.node.batch(&format!(
                "link add vchurn type veth peer name vchurnp\nlink set vchurn master {BRIDGE}\n\
                 link set vchurn up\nlink set vchurnp up\n"
            ))?;
            traffic::ping(&bare.left(), RIGHT, 5)?;
            if round % 2 == 0 {
                bare.site.node.batch("link set vchurn nomaster\n")?;
            }
            bare.site.node.batch("link del vchurn\n")?;
        }
        traffic::ping(&bare.right(), LEFT, 100)
    })?;
    interval.must_be_exact()
}
