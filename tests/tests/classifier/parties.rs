//! Addresses, prefixes and the interface's owner → who sends and who receives.

use anyhow::{Context as _, Result, ensure};
use netobs_common::{
    endpoint::{EndpointId, Kind, Party},
    hook::Hook,
    interface::{Interface, Role},
    key::{Origin, PathKey},
    wire::Protocol,
};
use netobs_tests::{
    packets::{A, A6, ACK, B, B6, IPV4, IPV6, Ipv4, TCP, ethernet, ethernet_to, ipv6, samples::mapped, tcp},
    suite::Case,
};

use super::site::Site;

const WEB: Party = Party::new(EndpointId(20), Kind::CONTAINER, true);
const DB: Party = Party::new(EndpointId(21), Kind::POD, true);
const GUEST: Party = Party::new(EndpointId(22), Kind::VM, true);
const NODE: Party = Party::new(EndpointId(23), Kind::HOST, false);

pub(crate) fn cases() -> Vec<Case<()>> {
    vec![
        Case { name: "whoever_owns_the_interface_sends_and_receives_there", check: owners },
        Case { name: "addresses_are_looked_up_in_their_segment_then_in_the_routed_part", check: segments },
        Case { name: "the_longest_prefix_wins_and_an_address_wins_over_it", check: prefixes },
        Case { name: "groups_and_loopback_need_no_address", check: groups_and_loopback },
        Case {
            name: "parties_are_those_of_the_first_packet_until_the_entry_goes",
            check: first_packet_decides,
        },
    ]
}

fn packet() -> Vec<u8> {
    ethernet(IPV4, &Ipv4::new(TCP).around(&tcp(40_000, 80, ACK)))
}

fn packet6() -> Vec<u8> {
    ethernet(IPV6, &ipv6(TCP, &tcp(40_000, 80, ACK)))
}

/// Sends one packet by an interface and tells who is taken for sender and receiver; the path must agree.
fn parties(site: &mut Site, interface: Interface, hook: Hook, packet: &[u8]) -> Result<(Party, Party)> {
    site.interface(interface)?;
    site.send(hook, packet)?;
    let flows = site.flows(interface.id)?;
    let [(_, flow)] = flows[..] else { anyhow::bail!("its flows are {flows:?}") };
    let paths = site.paths(interface.id);
    let [(path, _)] = paths[..] else { anyhow::bail!("its paths are {paths:?}") };
    let wanted = PathKey {
        interface: interface.id,
        source: flow.source.id,
        destination: flow.destination.id,
        source_kind: flow.source.kind,
        destination_kind: flow.destination.kind,
        protocol: Protocol::TCP,
        hook,
        origin: Origin::LOCAL,
        encapsulated: 0,
        padding: [0; 2],
    };
    ensure!(path == wanted, "the path {path:?} is not the flow's: {flow:?}");
    Ok((flow.source, flow.destination))
}

/// What is special, where it is seen, the packet, and who must be taken for sender and receiver.
type Row<'a> = (&'a str, Interface, Hook, &'a [u8], (Party, Party));

fn holds(site: &mut Site, rows: &[Row<'_>]) -> Result<()> {
    for (id, (name, interface, hook, packet, wanted)) in (100..).zip(rows) {
        let found =
            parties(site, Interface { id, ..*interface }, *hook, packet).with_context(|| name.to_string())?;
        ensure!(found == *wanted, "{name}: {found:?}");
    }
    Ok(())
}

fn owners(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    site.addresses(&[(mapped(A), 0, DB), (mapped(B), 0, GUEST)])?;
    let of = |owner: Party| Interface {
        owner: owner.id,
        owner_kind: owner.kind,
        role: Role::VETH,
        ..Interface::default()
    };
    let nobody = Interface { role: Role::VETH, ..Interface::default() };
    let (known, unknown) = (packet(), packet6());
    holds(
        &mut site,
        &[
            ("its owner sends, whatever address it writes", of(WEB), Hook::INGRESS, &known, (WEB, GUEST)),
            (
                "its owner sends from an unknown address",
                of(WEB),
                Hook::INGRESS,
                &unknown,
                (WEB, Party::EXTERNAL),
            ),
            (
                "what is flooded to it goes to whoever has the address",
                of(WEB),
                Hook::EGRESS,
                &known,
                (DB, GUEST),
            ),
            (
                "what goes to an unknown address there is for the owner",
                of(WEB),
                Hook::EGRESS,
                &unknown,
                (Party::EXTERNAL, WEB),
            ),
            ("without an owner addresses decide at ingress", nobody, Hook::INGRESS, &known, (DB, GUEST)),
            ("without an owner addresses decide at egress", nobody, Hook::EGRESS, &known, (DB, GUEST)),
            ("nobody known", nobody, Hook::EGRESS, &unknown, (Party::EXTERNAL, Party::EXTERNAL)),
        ],
    )
}

fn segments(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    site.addresses(&[
        (mapped(A), 7, WEB),
        (mapped(A), 8, DB),
        (mapped(A), 0, GUEST),
        (mapped(B), 0, NODE),
        (A6, 7, WEB),
        (B6, 7, DB),
    ])?;
    let on = |segment| Interface { segment, role: Role::BRIDGE, ..Interface::default() };
    let (four, six) = (packet(), packet6());
    let outside = Party::EXTERNAL;
    holds(
        &mut site,
        &[
            ("one bridge", on(7), Hook::INGRESS, &four, (WEB, NODE)),
            ("the same address on another bridge", on(8), Hook::INGRESS, &four, (DB, NODE)),
            ("a bridge without that address", on(9), Hook::INGRESS, &four, (GUEST, NODE)),
            ("the routed part", on(0), Hook::INGRESS, &four, (GUEST, NODE)),
            ("ipv6 on a bridge", on(7), Hook::EGRESS, &six, (WEB, DB)),
            ("ipv6 of one bridge is nobody's on another", on(8), Hook::EGRESS, &six, (outside, outside)),
        ],
    )
}

fn prefixes(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    let prefix = |mut address: [u8; 16], length: u8| {
        let keep = usize::from(length / 8);
        address[keep..].fill(0);
        (address, length)
    };
    let rule = |address, length, party| {
        let (address, length) = prefix(address, length);
        (address, length, party)
    };
    // A: 198.51.100.1. The prefix of IPv4 begins behind the 96 bits of its mapping.
    site.prefixes(&[
        rule(mapped(A), 96 + 8, WEB),
        rule(mapped(A), 96 + 24, DB),
        rule(mapped(B), 96 + 16, GUEST),
        rule(A6, 32, NODE),
        rule(A6, 48, WEB),
    ])?;
    let plain = Interface::default();
    let (four, six) = (packet(), packet6());
    holds(
        &mut site,
        &[
            ("ipv4", plain, Hook::INGRESS, &four, (DB, GUEST)),
            // A and B share 2001:db8::/32, and A alone 2001:db8:a::/48.
            ("ipv6", plain, Hook::INGRESS, &six, (WEB, NODE)),
            ("in a segment too", Interface { segment: 7, ..plain }, Hook::EGRESS, &four, (DB, GUEST)),
        ],
    )?;
    site.addresses(&[(mapped(A), 0, NODE), (mapped(B), 7, NODE)])?;
    let at = |id, segment| Interface { id, segment, ..plain };
    ensure!(parties(&mut site, at(200, 0), Hook::INGRESS, &four)? == (NODE, GUEST), "the address wins");
    ensure!(parties(&mut site, at(201, 7), Hook::INGRESS, &four)? == (NODE, NODE), "and in its segment");
    site.prefixes(&[])?;
    site.addresses(&[])?;
    let outside = (Party::EXTERNAL, Party::EXTERNAL);
    ensure!(parties(&mut site, at(202, 0), Hook::INGRESS, &four)? == outside, "what is removed is forgotten");
    Ok(())
}

fn groups_and_loopback(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    site.addresses(&[(mapped(A), 0, WEB), (mapped(B), 0, DB)])?;
    let owned =
        Interface { owner: GUEST.id, owner_kind: GUEST.kind, role: Role::TAP, ..Interface::default() };
    let lo = Interface { role: Role::LOOPBACK, ..Interface::default() };
    let broadcast = ethernet_to([0xff; 6], IPV4, &Ipv4::new(TCP).around(&tcp(40_000, 80, ACK)));
    let known = packet();
    holds(
        &mut site,
        &[
            (
                "a broadcast frame, even to a known address",
                owned,
                Hook::INGRESS,
                &broadcast,
                (GUEST, Party::GROUP),
            ),
            ("a broadcast flooded to the owner", owned, Hook::EGRESS, &broadcast, (WEB, Party::GROUP)),
            (
                "loopback is the host's, whatever the addresses",
                lo,
                Hook::EGRESS,
                &known,
                (Party::HOST, Party::HOST),
            ),
            ("loopback at ingress", lo, Hook::INGRESS, &known, (Party::HOST, Party::HOST)),
        ],
    )
}

fn first_packet_decides(_: &()) -> Result<()> {
    let mut site = Site::new(1024)?;
    site.addresses(&[(mapped(A), 0, WEB)])?;
    site.send(Hook::INGRESS, &packet())?;
    site.addresses(&[(mapped(A), 0, DB)])?;
    site.send(Hook::INGRESS, &packet())?;
    let flows = site.flows(1)?;
    let [(key, flow)] = flows[..] else { anyhow::bail!("{flows:?}") };
    ensure!((flow.source, flow.counters.packets) == (WEB, 2), "{flow:?}");
    ensure!(site.paths(1).len() == 1, "{:?}", site.paths(1));
    let taken = site.kernel.take_flow(&key)?;
    ensure!(taken.is_some_and(|taken| taken.counters == flow.counters), "{taken:?}");
    site.send(Hook::INGRESS, &packet())?;
    let flows = site.flows(1)?;
    ensure!(flows.len() == 1 && flows[0].1.source == DB && flows[0].1.counters.packets == 1, "{flows:?}");
    Ok(())
}
