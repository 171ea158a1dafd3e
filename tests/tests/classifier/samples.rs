//! Every sample the parser is held to, at both hooks of the real kernel: the same key or the same reason.

use anyhow::{Context as _, Result, ensure};
use netobs_common::{
    counters::Counters,
    endpoint::Party,
    hook::Hook,
    interface::{Interface, LinkLayer},
    key::{FlowKey, PathKey},
    wire::{Network, Proto, Protocol, TcpFlags},
};
use netobs_tests::{
    packets::{
        A_MAC,
        samples::{self, Expected, Sample},
    },
    suite::Case,
};

use super::site::{HOOKS, Site};

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![
        Case { name: "every_sample_has_its_key_or_its_reason_at_both_hooks", check: samples_hold },
        Case { name: "the_parser_says_the_same_in_the_kernel_and_outside", check: same_inside_and_outside },
    ]
}

fn samples_hold(_: &()) -> Result<()> {
    let mut site = Site::new(4096)?;
    let samples = samples::all();
    ensure!(samples.len() > 80, "only {} samples", samples.len());
    let mut id = 100;
    for sample in &samples {
        for hook in HOOKS {
            id += 1;
            show(&mut site, sample, hook, id)
                .and_then(|()| judge(&mut site, sample, hook, id))
                .with_context(|| format!("{} at {}", sample.name, hook.name()))?;
        }
    }
    Ok(())
}

/// Each on an interface number of its own, so that what was counted is told apart.
fn show(site: &mut Site, sample: &Sample, hook: Hook, id: u32) -> Result<()> {
    let link_layer = if sample.ethernet { LinkLayer::ETHERNET } else { LinkLayer::NONE };
    site.interface(Interface { id, link_layer, ..Interface::default() })?;
    match sample.metadata_tag {
        Some(tag) => site.send_tagged(hook, &sample.bytes, tag),
        None => site.send(hook, &sample.bytes),
    }
}

fn judge(site: &mut Site, sample: &Sample, hook: Hook, id: u32) -> Result<()> {
    let flows = site.flows(id)?;
    let (paths, skips) = (site.paths(id), site.skips(id));
    let once = Counters::one(1, sample.bytes.len().try_into()?);
    let expected = match &sample.expected {
        Err(reason) => {
            ensure!(flows.is_empty() && paths.is_empty(), "it has a flow: {flows:?} {paths:?}");
            let [(at, found, counters)] = skips[..] else { anyhow::bail!("skipped as {skips:?}") };
            ensure!(
                (at, found.name(), counters) == (hook, *reason, once),
                "{} {counters:?}, not {reason}",
                found.name()
            );
            return Ok(());
        }
        Ok(expected) => expected,
    };
    ensure!(skips.is_empty(), "skipped as {skips:?}");
    let [(key, flow)] = flows[..] else { anyhow::bail!("its flows are {flows:?}") };
    ensure!(key == flow_key(expected, hook, id), "its key is {key:?}");
    ensure!(flow.counters == once, "counted as {:?}", flow.counters);
    let tcp = TcpFlags(expected.tcp);
    let syn = tcp.has(TcpFlags::SYN);
    let seen = [
        syn && !tcp.has(TcpFlags::ACK),
        syn && tcp.has(TcpFlags::ACK),
        tcp.has(TcpFlags::FIN),
        tcp.has(TcpFlags::RST),
    ];
    ensure!([flow.syn, flow.syn_ack, flow.fin, flow.rst] == seen.map(u8::from), "flags of {flow:?}");
    ensure!(flow.fragmented == u8::from(expected.fragment != 0), "fragmented: {flow:?}");
    ensure!(flow.asks == u16::from(expected.asks), "asks: {flow:?}");
    ensure!(flow.source_mac == if sample.ethernet { A_MAC } else { [0; 6] }, "hardware address of {flow:?}");
    ensure!(flow.first_seen > 0 && flow.first_seen == flow.last_seen, "times of {flow:?}");

    let receiver = if expected.group { Party::GROUP } else { Party::EXTERNAL };
    ensure!((flow.source, flow.destination) == (Party::EXTERNAL, receiver), "parties of {flow:?}");
    let [(path, counters)] = paths[..] else { anyhow::bail!("its paths are {paths:?}") };
    ensure!((counters.all, counters.unlisted) == (once, Counters::ZERO), "its path counted {counters:?}");
    let protocol = Protocol::of(Network(expected.network), Proto(expected.proto));
    let wanted = PathKey {
        interface: id,
        source: Party::EXTERNAL.id,
        destination: receiver.id,
        source_kind: Party::EXTERNAL.kind,
        destination_kind: receiver.kind,
        protocol,
        hook,
        ..PathKey::default()
    };
    ensure!(path == wanted, "its path is {path:?}");
    Ok(())
}

fn flow_key(expected: &Expected, hook: Hook, interface: u32) -> FlowKey {
    FlowKey {
        source: expected.source,
        destination: expected.destination,
        interface,
        source_port: expected.ports.0,
        destination_port: expected.ports.1,
        vlan: expected.vlans[0],
        inner_vlan: expected.vlans[1],
        network: Network(expected.network),
        proto: Proto(expected.proto),
        hook,
        // The first fragment never came by.
        fragment: u8::from(expected.fragment == 2),
        ..FlowKey::default()
    }
}

/// Cut at every length that a test run accepts: what the parser says of the bytes is what the kernel counts.
fn same_inside_and_outside(_: &()) -> Result<()> {
    let samples = samples::all();
    let untagged: Vec<&Sample> = samples.iter().filter(|one| one.metadata_tag.is_none()).collect();
    // Each packet has an interface number of its own, and the table of skipped packets room for so many of them.
    untagged.chunks(24).try_for_each(same_of)
}

fn same_of(samples: &[&Sample]) -> Result<()> {
    let mut site = Site::new(65_536)?;
    let mut id = 100;
    let mut wanted = std::collections::BTreeMap::new();
    for Sample { name, bytes, ethernet, .. } in samples {
        let link_layer = if *ethernet { LinkLayer::ETHERNET } else { LinkLayer::NONE };
        for end in 14..=bytes.len() {
            id += 1;
            site.interface(Interface { id, link_layer, ..Interface::default() })?;
            let cut = &bytes[..end];
            site.send(Hook::INGRESS, cut).with_context(|| format!("{name} cut to {end}"))?;
            let mut headers = netobs_common::parse::Headers::default();
            let parsed = netobs_common::parse::parse(&cut, link_layer, None, &mut headers);
            wanted.insert(
                id,
                (parsed.map(|()| (headers.source, headers.destination, headers.ports)), *name, end),
            );
        }
    }
    site.read()?;
    for (id, (parsed, name, end)) in wanted {
        let flow = site
            .drain
            .flows
            .iter()
            .find(|(key, _)| key.interface == id)
            .map(|(key, _)| (key.source, key.destination, (key.source_port, key.destination_port)));
        let skip = site.skips(id).first().map(|(_, reason, _)| *reason);
        let told = parsed
            .map(|(source, destination, ports)| (source, destination, (ports.source, ports.destination)));
        ensure!(
            flow == told.ok() && skip == told.err(),
            "{name} cut to {end}: {told:?} outside, {flow:?} or {skip:?} in the kernel"
        );
    }
    Ok(())
}
