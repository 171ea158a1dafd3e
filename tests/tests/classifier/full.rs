//! More flows and more paths than there is room for → nothing lost, and what lacks detail said exactly.

use std::os::fd::AsFd as _;

use anyhow::{Result, ensure};
use netobs_common::{
    counters::Counters,
    endpoint::{EndpointId, Kind, Party},
    hook::Hook,
    interface::{Interface, Role},
    maps::{PATHS_CAPACITY, spill_index},
    skip::Skip,
    wire::Protocol,
};
use netobs_tests::{
    assembled::{Order, Vary},
    packets::{IPV4, Ipv4, UDP, ethernet, samples::mapped, udp},
    suite::Case,
    test_run::{self, Context},
};

use super::site::{GO_ON, Site, sum};

/// UDP over IPv4 over Ethernet: where both ports stand.
const PORTS: u16 = 14 + 20;

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![
        Case { name: "a_full_flow_table_leaves_the_totals_exact", check: full_flow_table },
        Case { name: "three_hundred_thousand_tuples_in_a_table_of_65536_add_up", check: many_tuples },
        Case { name: "a_full_path_table_spills_exactly", check: full_path_table },
        Case { name: "a_spilled_packet_counts_where_it_enters_and_only_there", check: spilled_once },
        Case { name: "a_listed_flow_needs_no_path_entry", check: listed_without_path },
    ]
}

fn datagram(destination: [u8; 4]) -> Vec<u8> {
    ethernet(IPV4, &Ipv4 { destination, ..Ipv4::new(UDP) }.around(&udp(40_000, 53, &[0; 18])))
}

/// So many tuples, each once.
fn tuples(site: &Site, hook: Hook, count: u32) -> Result<()> {
    let vary = Vary { offset: PORTS, base: 1, order: Order::Sequence }.load()?;
    vary.lead_to(site.kernel.program(hook)?)?;
    let outcome = test_run::run(vary.as_fd(), &datagram([203, 0, 113, 2]), &Context::default(), count)?;
    ensure!(outcome.verdict == GO_ON, "the verdict is {:#x}", outcome.verdict);
    Ok(())
}

fn adds_up(site: &mut Site, max_flows: usize, count: u64) -> Result<()> {
    let frame = datagram([203, 0, 113, 2]).len() as u64;
    let wanted = Counters { packets: count, segments: count, bytes: count * frame };
    let drain = site.read()?;
    ensure!(drain.flows.len() == max_flows, "{} flows in a table of {max_flows}", drain.flows.len());
    ensure!(drain.flows.iter().all(|(_, flow)| flow.counters.packets == 1), "a tuple twice");
    let listed = sum(drain.flows.iter().map(|(_, flow)| flow.counters));
    let all = sum(drain.paths.iter().map(|(_, path)| path.all));
    let unlisted = sum(drain.paths.iter().map(|(_, path)| path.unlisted));
    ensure!(all == wanted, "{all:?} of {wanted:?} are in the path counters");
    ensure!(sum([listed, unlisted]) == wanted, "{listed:?} listed and {unlisted:?} not, of {wanted:?}");
    ensure!(drain.skips.is_empty() && drain.spill.is_empty(), "{:?} {:?}", drain.skips, drain.spill);
    Ok(())
}

fn full_flow_table(_: &()) -> Result<()> {
    let mut site = Site::new(256)?;
    tuples(&site, Hook::INGRESS, 1_000)?;
    adds_up(&mut site, 256, 1_000)?;
    // What is listed stays listed, what is not stays unlisted: nothing is evicted.
    let before: std::collections::BTreeSet<_> = site.drain.flows.iter().map(|(key, _)| *key).collect();
    tuples(&site, Hook::INGRESS, 1_000)?;
    let drain = site.read()?;
    ensure!(
        drain.flows.iter().all(|(key, flow)| before.contains(key) && flow.counters.packets == 2),
        "evicted"
    );
    let unlisted = sum(drain.paths.iter().map(|(_, path)| path.unlisted));
    ensure!(unlisted.packets == 2 * (1_000 - 256), "{unlisted:?}");
    Ok(())
}

fn many_tuples(_: &()) -> Result<()> {
    let mut site = Site::new(65_536)?;
    tuples(&site, Hook::EGRESS, 300_000)?;
    adds_up(&mut site, 65_536, 300_000)
}

/// So many receivers, each an endpoint of its own and so a path of its own.
const RECEIVERS: u16 = 10_000;

fn receiver(number: u16) -> ([u8; 4], Party) {
    let [high, low] = number.to_be_bytes();
    let kind = [Kind::CONTAINER, Kind::POD, Kind::VM][usize::from(number % 3)];
    ([203, 0, high, low], Party::new(EndpointId(100 + u32::from(number)), kind, true))
}

fn to_all_receivers(site: &mut Site) -> Result<()> {
    let addresses: Vec<_> =
        (0..RECEIVERS).map(receiver).map(|(address, party)| (mapped(address), 0, party)).collect();
    site.addresses(&addresses)?;
    for number in 0..RECEIVERS {
        site.send(Hook::EGRESS, &datagram(receiver(number).0))?;
    }
    site.read()?;
    Ok(())
}

fn full_path_table(_: &()) -> Result<()> {
    const MAX_FLOWS: usize = 64;
    let mut site = Site::new(MAX_FLOWS as u32)?;
    let uplink = Interface { id: 1, role: Role::UPLINK, ..Interface::default() };
    site.interface(uplink)?;
    to_all_receivers(&mut site)?;
    let drain = &site.drain;
    let (paths, flows) = (PATHS_CAPACITY as usize, drain.flows.len());
    ensure!((drain.paths.len(), flows) == (paths, MAX_FLOWS), "{} paths, {flows} flows", drain.paths.len());
    // The first flows and the first paths are those of the first receivers: the rest is in the spill.
    let spilled = sum(drain.spill.iter().map(|(_, counters)| *counters));
    let frame = datagram([0; 4]).len() as u64;
    let wanted = u64::from(RECEIVERS) - u64::from(PATHS_CAPACITY);
    ensure!(
        (spilled.packets, spilled.bytes) == (wanted, wanted * frame),
        "spilled {spilled:?}, not {wanted}"
    );
    let skips = site.skips(1);
    ensure!(skips == [(Hook::EGRESS, Skip::PATHS_FULL, spilled)], "{skips:?}");

    let mut by_index = std::collections::BTreeMap::new();
    for number in PATHS_CAPACITY as u16..RECEIVERS {
        let party = receiver(number).1;
        // The host made them and they leave by the uplink: each counts there.
        let index = spill_index(true, Kind::EXTERNAL, party.kind, Protocol::UDP);
        *by_index.entry(index).or_insert(0) += 1;
    }
    let found: std::collections::BTreeMap<_, _> =
        drain.spill.iter().map(|(index, counters)| (*index, counters.packets)).collect();
    ensure!(found == by_index && found.len() == 3, "by kinds: {found:?}, not {by_index:?}");
    Ok(())
}

/// The answer to a masqueraded connection: to the host at the uplink, to the container behind it.
fn spilled_once(_: &()) -> Result<()> {
    let mut site = Site::new(64)?;
    site.interface(Interface { id: 1, role: Role::UPLINK, ..Interface::default() })?;
    to_all_receivers(&mut site)?;
    let (host, web) = ([198, 51, 100, 2], [10, 77, 0, 2]);
    let owner = Party::new(EndpointId(50), Kind::CONTAINER, true);
    site.addresses(&[(mapped(host), 0, Party::HOST), (mapped(web), 0, owner)])?;
    let before = site.read()?.spill.clone();
    let forwarded = Context { ingress_ifindex: 9, ..Context::default() };
    let places = [
        (Role::UPLINK, EndpointId::UNKNOWN, Hook::INGRESS, host),
        (Role::BRIDGE, EndpointId::UNKNOWN, Hook::EGRESS, web),
        (Role::VETH, owner.id, Hook::EGRESS, web),
    ];
    for (id, (role, owner, hook, address)) in (200..).zip(places) {
        site.interface(Interface { id, role, owner, ..Interface::default() })?;
        site.send_as(hook, &datagram(address), &forwarded)?;
    }
    let more: Vec<(u32, u64)> = site
        .read()?
        .spill
        .iter()
        .map(|(index, counters)| {
            let earlier = before.iter().find(|(one, _)| one == index).map_or(0, |(_, one)| one.packets);
            (*index, counters.packets - earlier)
        })
        .filter(|(_, packets)| *packets > 0)
        .collect();
    let index = |counts, destination| spill_index(counts, Kind::EXTERNAL, destination, Protocol::UDP);
    let mut wanted = [(index(true, Kind::HOST), 1), (index(false, Kind::CONTAINER), 2)];
    wanted.sort_unstable();
    ensure!(more == wanted, "spilled {more:?}, not {wanted:?}");
    Ok(())
}

fn listed_without_path(_: &()) -> Result<()> {
    let mut site = Site::new(16_384)?;
    to_all_receivers(&mut site)?;
    ensure!(site.drain.flows.len() == usize::from(RECEIVERS), "{} flows", site.drain.flows.len());
    ensure!(site.drain.spill.is_empty(), "what is listed was spilled: {:?}", site.drain.spill);
    ensure!(site.skips(1).is_empty(), "what is listed was skipped: {:?}", site.skips(1));
    let listed = sum(site.drain.flows.iter().map(|(_, flow)| flow.counters));
    ensure!(listed.packets == u64::from(RECEIVERS), "{listed:?}");
    Ok(())
}
