//! Packets of one flow → packets, segments, bytes, flags and times, at a known and an unknown interface.

use anyhow::{Result, ensure};
use netobs_common::{counters::Counters, hook::Hook, interface::Interface, key::Origin, skip::Skip};
use netobs_tests::{
    packets::{ACK, FIN, IPV4, Ipv4, RST, SYN, TCP, ethernet, join, tcp},
    suite::Case,
    test_run::Context,
};

use super::site::{HOOKS, Site};

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![
        Case { name: "packets_bytes_and_flags_of_a_flow_add_up", check: they_add_up },
        Case { name: "super_packets_are_unfolded_into_segments", check: segments },
        Case { name: "forwarded_packets_are_told_from_local_ones_at_egress_alone", check: origins },
        Case { name: "an_unknown_interface_is_a_reason_of_its_own", check: unknown_interface },
    ]
}

fn segment(flags: u8, payload: usize) -> Vec<u8> {
    ethernet(IPV4, &Ipv4::new(TCP).around(&join(&tcp(40_000, 80, flags), &vec![0; payload])))
}

fn they_add_up(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    for hook in HOOKS {
        for (flags, payload) in [(SYN, 0), (ACK, 0), (ACK, 1400), (ACK, 7)] {
            site.send(hook, &segment(flags, payload))?;
        }
    }
    let flows = site.flows(1)?;
    ensure!(flows.len() == 2, "a flow a hook: {flows:?}");
    let wanted = Counters { packets: 4, segments: 4, bytes: 4 * 54 + 1407 };
    for (_, flow) in &flows {
        ensure!(flow.counters == wanted, "{flow:?}");
        ensure!([flow.syn, flow.syn_ack, flow.fin, flow.rst] == [1, 0, 0, 0], "{flow:?}");
        // The latest is told by the coarse clock, which may be a tick behind the precise one.
        ensure!(flow.last_seen + 20_000_000 > flow.first_seen, "{flow:?}");
    }
    for (_, path) in site.paths(1) {
        ensure!((path.all, path.unlisted) == (wanted, Counters::ZERO), "{path:?}");
    }
    for flags in [SYN | ACK, FIN | ACK, RST] {
        site.send(Hook::INGRESS, &segment(flags, 0))?;
    }
    let flows = site.flows(1)?;
    let (_, ended) = flows.iter().find(|(key, _)| key.hook == Hook::INGRESS).expect("counted above");
    ensure!([ended.syn, ended.syn_ack, ended.fin, ended.rst] == [1, 1, 1, 1], "{ended:?}");
    let (_, other) = flows.iter().find(|(key, _)| key.hook == Hook::EGRESS).expect("counted above");
    ensure!([other.syn_ack, other.fin, other.rst] == [0, 0, 0], "the other hook saw none of them: {other:?}");
    Ok(())
}

fn segments(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    let cases = [
        // The kernel's own count wins; a guest's has none (virtio), so its size tells.
        (Context { gso_size: 1000, gso_segs: 7, ..Context::default() }, 3000, 7),
        (Context { gso_size: 1000, ..Context::default() }, 3000, 3),
        (Context { gso_size: 1000, ..Context::default() }, 3001, 4),
        (Context { gso_size: 1000, ..Context::default() }, 0, 1),
        (Context::default(), 3000, 1),
    ];
    for (id, (context, payload, wanted)) in (100..).zip(cases) {
        site.interface(Interface { id, ..Interface::default() })?;
        let packet = segment(ACK, payload);
        site.send_as(Hook::EGRESS, &packet, &context)?;
        let wanted = Counters::one(wanted, packet.len().try_into()?);
        let flows = site.flows(id)?;
        ensure!(flows.len() == 1 && flows[0].1.counters == wanted, "{context:?}: {flows:?}");
        let paths = site.paths(id);
        ensure!(paths.len() == 1 && paths[0].1.all == wanted, "{context:?}: {paths:?}");
    }
    let mut odd = segment(ACK, 2000);
    odd[14] = 0x44;
    site.send_as(Hook::EGRESS, &odd, &Context { gso_size: 1000, gso_segs: 2, ..Context::default() })?;
    site.read()?;
    let skips = site.skips(104);
    let wanted = Counters::one(2, odd.len().try_into()?);
    ensure!(skips == [(Hook::EGRESS, Skip::MALFORMED, wanted)], "a skipped super packet: {skips:?}");
    Ok(())
}

fn origins(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    let from_elsewhere = Context { ingress_ifindex: 9, ..Context::default() };
    let packet = segment(ACK, 0);
    for (id, hook, context, wanted, index) in [
        (100, Hook::INGRESS, from_elsewhere, Origin::LOCAL, 9),
        (101, Hook::EGRESS, from_elsewhere, Origin::FORWARDED, 9),
        (102, Hook::EGRESS, Context::default(), Origin::LOCAL, 0),
    ] {
        site.interface(Interface { id, ..Interface::default() })?;
        site.send_as(hook, &packet, &context)?;
        let flows = site.flows(id)?;
        ensure!(flows.len() == 1 && flows[0].1.ingress_ifindex == index, "{}: {flows:?}", hook.name());
        let paths = site.paths(id);
        ensure!(paths.len() == 1 && paths[0].0.origin == wanted, "{}: {paths:?}", hook.name());
    }
    Ok(())
}

fn unknown_interface(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    // Known once, and so in the copies that the CPU keeps.
    site.send(Hook::EGRESS, &segment(ACK, 0))?;
    site.kernel.detach(1);
    for _ in 0..3 {
        site.send(Hook::EGRESS, &segment(ACK, 0))?;
    }
    site.read()?;
    let skips = site.skips(0);
    let wanted = Counters { packets: 3, segments: 3, bytes: 3 * 54 };
    ensure!(skips == [(Hook::EGRESS, Skip::UNKNOWN_INTERFACE, wanted)], "{skips:?}");
    let flows = site.flows(1)?;
    ensure!(
        flows.len() == 1 && flows[0].1.counters.packets == 1,
        "counted as of the old interface: {flows:?}"
    );
    Ok(())
}
