//! ICMP errors through the classifier in the real kernel: each is counted like any packet, and by the packet it quotes;
//! by its type alone where that cannot be read, or where there is no room.

use anyhow::{Context as _, Result, ensure};
use netobs_common::{
    endpoint::{EndpointId, Party},
    hook::Hook,
    icmp_error::{IcmpError, IcmpErrorKey, IcmpErrorType},
    interface::{Interface, Role},
    key::{FlowKey, Origin},
    maps::ICMP_ERRORS_CAPACITY,
    tunnel::{Encapsulation, Tunnels},
    wire::{Network, Proto},
};
use netobs_tests::{
    assembled::{Order, Vary},
    packets::{
        A, A6, B, B6,
        samples::{
            errors::{Error, Quoted, errors, no_errors},
            mapped, tunnels,
        },
    },
    suite::Case,
    test_run::{self, Context},
};

use super::site::{GO_ON, HOOKS, Site};

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![
        Case { name: "an_icmp_error_is_counted_by_the_packet_it_quotes", check: samples_hold },
        Case { name: "a_message_that_is_no_icmp_error_quotes_nothing", check: others },
        Case { name: "equal_icmp_errors_are_one_entry", check: again },
        Case { name: "more_icmp_errors_than_there_is_room_for_are_counted_by_type", check: full },
        Case { name: "icmp_errors_without_detail_count_where_they_enter_and_only_there", check: once },
    ]
}

/// B is this host.
fn site() -> Result<Site> {
    let mut site = Site::new(4096)?;
    site.addresses(&[(mapped(B), 0, Party::HOST), (B6, 0, Party::HOST)])?;
    Ok(site)
}

fn uplink(id: u32) -> Interface {
    let tunnels =
        Tunnels { vxlan: tunnels::VXLAN_PORTS, geneve: tunnels::GENEVE_PORT, enabled: 1, repeats: 0 };
    Interface { id, role: Role::UPLINK, tunnels, ..Interface::default() }
}

fn of(site: &Site, interface: u32) -> Vec<(IcmpErrorKey, IcmpError)> {
    site.drain.errors.iter().filter(|(key, _)| key.quoted.interface == interface).copied().collect()
}

fn unlisted(site: &Site) -> u64 {
    site.drain.unlisted_errors.iter().map(|(_, count)| count).sum()
}

fn samples_hold(_: &()) -> Result<()> {
    let mut site = site()?;
    for hook in HOOKS {
        println!(
            "    {} instructions verified at {}",
            site.kernel.verified_instructions(hook)?.unwrap_or(0),
            hook.name()
        );
    }
    let (mut id, mut undetailed) = (100, 0);
    for error in errors() {
        for hook in HOOKS {
            id += 1;
            site.interface(uplink(id))?;
            site.send(hook, &error.bytes)?;
            undetailed += u64::from(error.quoted.is_none());
            judge(&mut site, &error, hook, id)
                .with_context(|| format!("{} at {}", error.name, hook.name()))?;
            ensure!(unlisted(&site) == undetailed, "{}: {:?}", error.name, site.drain.unlisted_errors);
        }
    }
    Ok(())
}

fn judge(site: &mut Site, error: &Error, hook: Hook, id: u32) -> Result<()> {
    let flows = site.flows(id)?;
    ensure!(flows.len() == 1 && flows[0].1.counters.packets == 1, "as a packet it is {flows:?}");
    let [(key, counted)] = of(site, id)[..] else {
        ensure!(of(site, id).is_empty() && error.quoted.is_none(), "{:?}", of(site, id));
        return Ok(());
    };
    let Quoted { source, destination, ports, proto, fragment } = error.quoted.context("nothing to read")?;
    let v6 = source == B6;
    let wanted = FlowKey {
        source,
        destination,
        interface: id,
        source_port: ports.0,
        destination_port: ports.1,
        vlan: flows[0].0.vlan,
        network: if v6 { Network::IPV6 } else { Network::IPV4 },
        proto: Proto(proto),
        hook,
        fragment,
        network_number: error.network_number,
        encapsulation: if error.network_number == 0 { Encapsulation::NONE } else { Encapsulation::VXLAN },
        ..FlowKey::default()
    };
    ensure!(key.quoted == wanted, "it quotes {:?}", key.quoted);
    ensure!((key.kind, key.code, key.origin) == (error.message.0, error.message.1, Origin::LOCAL), "{key:?}");
    ensure!((counted.count, counted.mtu) == (1, error.mtu), "{counted:?}");
    ensure!(counted.first_seen > 0 && counted.first_seen == counted.last_seen, "{counted:?}");
    let (reporter, receiver) = match (error.network_number, v6) {
        (0, false) => (mapped(A), EndpointId::HOST),
        (0, true) => (A6, EndpointId::HOST),
        _ => (mapped(tunnels::C), EndpointId::EXTERNAL),
    };
    ensure!((counted.reporter, counted.receiver) == (reporter, receiver), "{counted:?}");
    Ok(())
}

fn others(_: &()) -> Result<()> {
    let mut site = site()?;
    for (name, bytes) in no_errors() {
        for hook in HOOKS {
            site.send(hook, &bytes)?;
        }
        let drain = site.read()?;
        ensure!(drain.errors.is_empty() && drain.unlisted_errors.is_empty(), "{name}: {:?}", drain.errors);
    }
    Ok(())
}

fn again(_: &()) -> Result<()> {
    let mut site = site()?;
    site.interface(uplink(100))?;
    let all = errors();
    let forwarded = Context { ingress_ifindex: 9, ..Context::default() };
    for _ in 0..3 {
        site.send(Hook::EGRESS, &all[0].bytes)?;
        site.send_as(Hook::EGRESS, &all[0].bytes, &forwarded)?;
    }
    site.read()?;
    let mut found: Vec<_> = of(&site, 100).iter().map(|(key, one)| (key.origin, one.count)).collect();
    found.sort_unstable();
    ensure!(found == [(Origin::LOCAL, 3), (Origin::FORWARDED, 3)], "{found:?}");
    let [(key, one), ..] = of(&site, 100)[..] else { anyhow::bail!("none") };
    ensure!(one.first_seen < one.last_seen, "{one:?}");
    let taken = site.kernel.take_error(&key)?.context("it was there")?;
    ensure!(taken == one && site.kernel.take_error(&key)?.is_none(), "{taken:?}");
    Ok(())
}

/// Where the quoted ports stand: Ethernet, IPv4, the error's header, IPv4.
const QUOTED_PORTS: u16 = 14 + 20 + 8 + 20;

fn full(_: &()) -> Result<()> {
    const ERRORS: u32 = 10_000;
    let mut site = site()?;
    site.interface(uplink(100))?;
    let vary = Vary { offset: QUOTED_PORTS, base: 1, order: Order::Sequence }.load()?;
    vary.lead_to(site.kernel.program(Hook::INGRESS)?)?;
    let outcome =
        test_run::run(std::os::fd::AsFd::as_fd(&vary), &errors()[0].bytes, &Context::default(), ERRORS)?;
    ensure!(outcome.verdict == GO_ON, "the verdict is {:#x}", outcome.verdict);
    let drain = site.read()?;
    ensure!(drain.errors.len() == ICMP_ERRORS_CAPACITY as usize, "{} entries", drain.errors.len());
    ensure!(drain.errors.iter().all(|(_, one)| one.count == 1), "a packet twice");
    let wanted = [(IcmpErrorType::PORT_UNREACHABLE, u64::from(ERRORS - ICMP_ERRORS_CAPACITY))];
    ensure!(drain.unlisted_errors == wanted, "{:?}", drain.unlisted_errors);
    let fill = drain.fill.iter().find(|fill| fill.table == "icmp_errors").context("its size is not said")?;
    ensure!(fill.entries == fill.capacity, "{fill:?}");
    Ok(())
}

/// A quote that cannot be read, on its way from the uplink to a container.
fn once(_: &()) -> Result<()> {
    let mut site = Site::new(64)?;
    let owner = Party::new(EndpointId(50), netobs_common::endpoint::Kind::CONTAINER, true);
    site.addresses(&[(mapped(B), 0, owner)])?;
    let broken = errors().into_iter().find(|one| one.quoted.is_none()).context("a broken one")?;
    let forwarded = Context { ingress_ifindex: 9, ..Context::default() };
    let places = [
        (Role::UPLINK, EndpointId::UNKNOWN, Hook::INGRESS),
        (Role::BRIDGE, EndpointId::UNKNOWN, Hook::EGRESS),
        (Role::VETH, owner.id, Hook::EGRESS),
    ];
    for (id, (role, owner, hook)) in (200..).zip(places) {
        site.interface(Interface { id, role, owner, ..Interface::default() })?;
        site.send_as(hook, &broken.bytes, &forwarded)?;
    }
    site.read()?;
    ensure!(unlisted(&site) == 1, "{:?}", site.drain.unlisted_errors);
    // Made here, it counts at its receiver's interface.
    site.send(Hook::EGRESS, &broken.bytes)?;
    site.read()?;
    ensure!(unlisted(&site) == 2, "{:?}", site.drain.unlisted_errors);
    Ok(())
}
