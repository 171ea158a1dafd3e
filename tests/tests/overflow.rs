//! 300,000 distinct flows against a table of 65,536 sightings: totals stay exact per kinds and protocol, and
//! the overflow counter says exactly what has no flow.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use netobs_tests::{
    agent::{Agent, whole},
    bare::{Bare, GATEWAY, LEFT_VETH},
    counters,
    interval::Interval,
    ledger, process,
    require::TRAFFIC,
    suite::{self, Case},
};

const TUPLES: i128 = 300_000;
/// 18 bytes of payload behind UDP, IPv4 and Ethernet headers.
const FRAME: i128 = 18 + 8 + 20 + 14;

fn main() -> ExitCode {
    suite::run(
        &[TRAFFIC],
        Bare::new,
        vec![Case { name: "three_hundred_thousand_flows_are_counted_exactly", check: counted_exactly }],
    )
}

fn counted_exactly(bare: &Bare) -> Result<()> {
    let node = bare.site.node();
    // Neither conntrack entries nor ICMP errors: 300,000 datagrams in, nothing out.
    node.run("iptables -w -t raw -A PREROUTING -p udp -j NOTRACK")?;
    node.run("iptables -w -A INPUT -p udp -j DROP")?;
    let agent = bare.agent(&["--max-flows", "65536"])?;
    let before = counters::snapshot(&node)?;
    let (interval, sent) = Interval::around(&agent, || flood(bare))?;
    let after = counters::snapshot(&node)?;
    ensure!(sent == TUPLES, "sent {sent}");

    let veth = after.values().find(|one| one.name == LEFT_VETH).map(|one| one.received);
    let veth_before = before.values().find(|one| one.name == LEFT_VETH).map(|one| one.received);
    let received = veth.unwrap_or_default().packets - veth_before.unwrap_or_default().packets;
    ensure!(received >= TUPLES, "only {received} packets reached the node: the flood lost some itself");
    totals_are_exact(&interval)?;
    overflow_is_exact(&interval, &agent)?;
    agent.stop()?;
    Ok(())
}

fn flood(bare: &Bare) -> Result<i128> {
    let count = TUPLES.to_string();
    let mut flood = bare.left().traffic(&["flood", GATEWAY, "--count", &count, "--rate", "40000"])?;
    Ok(process::run_within(&mut flood, std::time::Duration::from_secs(120))?.trim().parse()?)
}

/// One source kind, one destination kind, one protocol: exactly the flood and nothing beside it.
fn totals_are_exact(interval: &Interval) -> Result<()> {
    let grown = interval.scrape_after.since(&interval.scrape_before, "netobs_path_packets_total");
    let udp: Vec<_> = grown.iter().filter(|(labels, _)| labels["protocol"] == "udp").collect();
    let kinds: std::collections::BTreeSet<_> =
        udp.iter().map(|(labels, _)| (&labels["source_kind"], &labels["destination_kind"])).collect();
    ensure!(kinds.len() == 1, "the flood is booked under several kinds: {udp:#?}");
    ensure!(kinds.iter().all(|(_, to)| to.as_str() == "host"), "the flood went to the host, not {kinds:?}");
    let packets = interval.grown("netobs_path_packets_total", &[("protocol", "udp")]);
    let bytes = interval.grown("netobs_path_bytes_total", &[("protocol", "udp")]);
    ensure!(
        (packets, bytes) == (TUPLES, TUPLES * FRAME),
        "{TUPLES} packets of {FRAME} bytes are {packets} packets and {bytes} bytes: {udp:#?}"
    );
    Ok(())
}

/// What has no flow is what was counted, less what the flows hold.
fn overflow_is_exact(interval: &Interval, agent: &Agent) -> Result<()> {
    let listed = ledger::carried(&interval.before.flows, interval.flows());
    let udp: Vec<_> = interval.flows().iter().filter(|flow| flow.protocol == "udp").cloned().collect();
    let in_flows: i128 = udp.iter().map(|flow| i128::from(flow.forward.packets + flow.reply.packets)).sum();
    let overflow = interval.grown("netobs_flow_table_overflow_packets_total", &[]);
    ensure!(
        overflow == TUPLES - in_flows,
        "{TUPLES} packets, {in_flows} of them in {} listed flows, but the overflow counter says {overflow}; all flows: {listed:?}",
        udp.len()
    );
    let capacity = whole(agent.metrics()?.sum("netobs_bpf_map_capacity", &[]));
    ensure!(overflow > 0 && capacity >= 65_536, "no overflow: the table was never full ({capacity})");
    let hops: usize = udp.iter().map(|flow| flow.hops.len()).sum();
    ensure!(hops <= 65_536, "{hops} sightings are held in a table of 65,536");
    ensure!(hops >= 60_000, "only {hops} sightings are held: what was in the table is not listed");
    Ok(())
}
