//! Fragments of a datagram → one flow where the first came by, else a flow without ports.

use anyhow::{Result, ensure};
use netobs_common::{hook::Hook, interface::Interface};
use netobs_tests::{
    packets::{FRAGMENT, IPV4, IPV6, Ipv4, UDP, ethernet, fragment, ipv6, udp},
    suite::Case,
};

use super::site::Site;

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![
        Case { name: "later_fragments_fall_to_the_flow_of_the_first", check: of_one_datagram },
        Case {
            name: "fragments_of_an_unknown_datagram_are_a_flow_without_ports",
            check: of_unknown_datagrams,
        },
    ]
}

/// Of datagrams from port 5000 to 53.
fn part(v6: bool, identification: u16, offset: u16, more: bool) -> Vec<u8> {
    let datagram = if offset == 0 { udp(5000, 53, &[0; 16]) } else { vec![0xff; 24] };
    if v6 {
        let payload = fragment(UDP, offset, more, u32::from(identification), &datagram);
        ethernet(IPV6, &ipv6(FRAGMENT, &payload))
    } else {
        ethernet(IPV4, &Ipv4 { identification, offset, more, ..Ipv4::new(UDP) }.around(&datagram))
    }
}

fn of_one_datagram(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    for (id, v6) in [(100, false), (101, true)] {
        site.interface(Interface { id, ..Interface::default() })?;
        for (offset, more) in [(0, true), (3, true), (6, false)] {
            site.send(Hook::INGRESS, &part(v6, 77, offset, more))?;
        }
        let flows = site.flows(id)?;
        let [(key, flow)] = flows[..] else { anyhow::bail!("one datagram, but {flows:?}") };
        ensure!((key.source_port, key.destination_port, key.fragment) == (5000, 53, 0), "{key:?}");
        ensure!((flow.counters.packets, flow.fragmented) == (3, 1), "{flow:?}");
    }
    Ok(())
}

fn of_unknown_datagrams(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    for (id, v6) in [(100, false), (101, true)] {
        site.interface(Interface { id, ..Interface::default() })?;
        site.send(Hook::INGRESS, &part(v6, 77, 0, true))?;
        // Another datagram, and the same one at another hook, which sees its first fragment for itself.
        site.send(Hook::INGRESS, &part(v6, 78, 3, false))?;
        site.send(Hook::EGRESS, &part(v6, 77, 3, false))?;
        let flows = site.flows(id)?;
        ensure!(flows.len() == 3, "{flows:?}");
        let without: Vec<_> = flows.iter().filter(|(key, _)| key.fragment == 1).collect();
        ensure!(without.len() == 2, "{flows:?}");
        ensure!(
            without.iter().all(|(key, _)| (key.source_port, key.destination_port) == (0, 0)),
            "{flows:?}"
        );
        // Another interface knows nothing of it either.
        site.interface(Interface { id: id + 100, ..Interface::default() })?;
        site.send(Hook::INGRESS, &part(v6, 77, 3, false))?;
        let flows = site.flows(id + 100)?;
        ensure!(flows.len() == 1 && flows[0].0.fragment == 1, "{flows:?}");
    }
    Ok(())
}
