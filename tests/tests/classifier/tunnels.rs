//! Packets inside packets, through the classifier in the real kernel: the flow is the inner one's, with what was
//! around it, and only where the tunnel ends on this host.

use anyhow::{Context as _, Result, ensure};
use netobs_common::{
    counters::{Counters, FlowCounters},
    endpoint::Party,
    hook::Hook,
    interface::{Interface, Role},
    key::{FlowKey, Ports},
    tunnel::{Encapsulation, Outer, Tunnels},
    wire::{Network, Proto},
};
use netobs_tests::{
    packets::{
        A, A6, B, B6, SYN, UDP,
        samples::{
            mapped,
            tunnels::{self, Tunnelled},
        },
    },
    suite::Case,
    test_run::Context,
};

use super::site::{HOOKS, Site};

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![
        Case { name: "a_packet_inside_another_is_the_flow", check: samples_hold },
        Case { name: "tunnels_of_others_are_packets_like_any_other", check: only_our_own },
        Case { name: "fragments_of_the_outer_packet_belong_to_the_inner_flow", check: fragments_belong },
        Case {
            name: "a_super_packet_is_as_many_segments_as_its_inner_payload_makes",
            check: segments_unfold,
        },
    ]
}

const UPLINK: Tunnels =
    Tunnels { vxlan: tunnels::VXLAN_PORTS, geneve: tunnels::GENEVE_PORT, enabled: 1, repeats: 0 };

fn interface(id: u32) -> Interface {
    Interface { id, role: Role::UPLINK, tunnels: UPLINK, ..Interface::default() }
}

/// B is this host.
fn site() -> Result<Site> {
    let mut site = Site::new(4096)?;
    site.addresses(&[(mapped(B), 0, Party::HOST), (B6, 0, Party::HOST)])?;
    Ok(site)
}

fn samples_hold(_: &()) -> Result<()> {
    let mut site = site()?;
    let mut id = 100;
    for sample in tunnels::tunnels() {
        for hook in HOOKS {
            id += 1;
            site.interface(interface(id))?;
            site.send(hook, &sample.bytes)?;
            judge(&mut site, &sample, hook, id)
                .with_context(|| format!("{} at {}", sample.name, hook.name()))?;
        }
    }
    Ok(())
}

fn judge(site: &mut Site, sample: &Tunnelled, hook: Hook, id: u32) -> Result<()> {
    let flows = site.flows(id)?;
    let [(key, flow)] = flows[..] else {
        anyhow::bail!("its flows are {flows:?}, skips {:?}", site.skips(id))
    };
    ensure!(key == flow_key(sample, hook, id), "its key is {key:?}");
    ensure!(flow.counters == Counters::one(1, sample.bytes.len().try_into()?), "{:?}", flow.counters);
    ensure!(flow.syn == u8::from(sample.flow.tcp == SYN), "flags of {flow:?}");
    ensure!(flow.outer == outer(sample), "around it: {:?}", flow.outer);
    let [(path, _)] = site.paths(id)[..] else { anyhow::bail!("its paths are {:?}", site.paths(id)) };
    ensure!(path.encapsulated == u8::from(sample.encapsulation != tunnels::NOT_ENTERED), "{path:?}");
    Ok(())
}

fn flow_key(sample: &Tunnelled, hook: Hook, interface: u32) -> FlowKey {
    let flow = &sample.flow;
    FlowKey {
        source: flow.source,
        destination: flow.destination,
        interface,
        source_port: flow.ports.0,
        destination_port: flow.ports.1,
        vlan: flow.vlans[0],
        inner_vlan: flow.vlans[1],
        network: Network(flow.network),
        proto: Proto(flow.proto),
        hook,
        network_number: sample.number,
        encapsulation: Encapsulation(sample.encapsulation),
        ..FlowKey::default()
    }
}

fn outer(sample: &Tunnelled) -> Outer {
    if sample.encapsulation == tunnels::NOT_ENTERED {
        return Outer::default();
    }
    // Over IPv6 or over IPv4, by the frame's EtherType.
    let v6 = sample.bytes[12..14] == [0x86, 0xdd];
    let (source, destination) = if v6 { (A6, B6) } else { (mapped(A), mapped(B)) };
    let (from, to) = sample.outer_ports;
    Outer { source, destination, ports: Ports { source: from, destination: to } }
}

fn only_our_own(_: &()) -> Result<()> {
    let all = tunnels::tunnels();
    let sample = &all[0];
    let is_outer = |flows: &[(FlowKey, FlowCounters)]| match flows {
        [(key, _)] => (key.proto, key.encapsulation) == (Proto(UDP), Encapsulation::NONE),
        _ => false,
    };
    // In: for whom?
    let mut site = Site::new(1024)?;
    site.interface(interface(100))?;
    site.send(Hook::INGRESS, &sample.bytes)?;
    let flows = site.flows(100)?;
    ensure!(is_outer(&flows), "not for this host, but {flows:?}");
    // Out: forwarded, so somebody else put it into the tunnel.
    let forwarded = Context { ingress_ifindex: 1, ..Context::default() };
    site.interface(interface(101))?;
    site.send_as(Hook::EGRESS, &sample.bytes, &forwarded)?;
    let flows = site.flows(101)?;
    ensure!(is_outer(&flows), "forwarded, but {flows:?}");
    // Elsewhere: interfaces that are no uplink.
    site.interface(Interface { id: 102, ..Interface::default() })?;
    site.send(Hook::EGRESS, &sample.bytes)?;
    let flows = site.flows(102)?;
    ensure!(is_outer(&flows), "no uplink, but {flows:?}");
    Ok(())
}

fn fragments_belong(_: &()) -> Result<()> {
    let mut site = site()?;
    for (id, hook) in [(100, Hook::INGRESS), (101, Hook::EGRESS)] {
        site.interface(interface(id))?;
        for part in tunnels::fragments() {
            site.send(hook, &part)?;
        }
        let flows = site.flows(id)?;
        let [(key, flow)] = flows[..] else { anyhow::bail!("three fragments made {flows:?}") };
        ensure!((key.source_port, key.destination_port, key.network_number) == (5_000, 53, 100), "{key:?}");
        ensure!(key.encapsulation == Encapsulation::VXLAN, "{key:?}");
        ensure!((flow.counters.packets, flow.fragmented) == (3, 1), "{flow:?}");
    }
    // Without the first one, a later fragment is the outer packet's and no more.
    site.interface(interface(102))?;
    let [_, later, _] = tunnels::fragments();
    site.send(Hook::INGRESS, &later)?;
    let flows = site.flows(102)?;
    let [(key, _)] = flows[..] else { anyhow::bail!("{flows:?}") };
    ensure!((key.fragment, key.encapsulation) == (1, Encapsulation::NONE), "{key:?}");
    Ok(())
}

fn segments_unfold(_: &()) -> Result<()> {
    let mut site = site()?;
    site.interface(interface(100))?;
    let all = tunnels::tunnels();
    // 104 bytes of headers, then 2,900 of payload in pieces of 1,400.
    let mut bytes = all[0].bytes.clone();
    bytes.resize(104 + 2_900, 0);
    let length = u16::try_from(bytes.len())?;
    // Lengths: outer IP, UDP, inner IP.
    for (at, from) in [(16, 14), (38, 34), (66, 64)] {
        bytes[at..at + 2].copy_from_slice(&(length - from).to_be_bytes());
    }
    let context = Context { gso_size: 1_400, gso_segs: 0, ..Context::default() };
    site.send_as(Hook::EGRESS, &bytes, &context)?;
    let flows = site.flows(100)?;
    let [(_, flow)] = flows[..] else { anyhow::bail!("{flows:?}") };
    ensure!(flow.counters.segments == 3, "{:?}", flow.counters);
    Ok(())
}
