//! One packet: what the rules say becomes of it, sent, and held against the counters that grew.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netobs::host::facts::firewall::{
    AddressKind, Answer, Counter, Device, End, Ended, Firewall, Hook, Layer, Packet, PacketState, Port, Rule,
    Ruleset, Step, Table, Target, Verdict,
};

use super::scene::Scene;

/// Addresses of the router itself.
const OWN: &[&str] = &["10.70.1.1", "10.70.2.1", "10.70.3.1", "fd70:1::1", "fd70:2::1"];
const QUIET: Duration = Duration::from_millis(40);

/// Which way a packet takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the left to the right, through the router.
    Routed,
    /// From one port of the bridge to the other.
    Bridged,
    /// From the left to the router.
    In,
    /// From the router to the right.
    Out,
}

/// A packet, and what must become of it: `accept`, `drop` or `reject`, the chain, and the rule's number there, 0 for
/// the policy; nothing where no chain is asked.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    pub(crate) way: Way,
    pub(crate) to: &'static str,
    pub(crate) port: u16,
    pub(crate) tcp: bool,
    /// Whether it has been answered before.
    pub(crate) established: bool,
    pub(crate) expected: &'static str,
}

/// A rule, or a policy, as both sides name it.
type Named = (Table, String, u64);

impl Shot {
    pub(crate) fn udp(way: Way, to: &'static str, port: u16, expected: &'static str) -> Self {
        Self { way, to, port, tcp: false, established: false, expected }
    }

    pub(crate) fn tcp(way: Way, to: &'static str, port: u16, expected: &'static str) -> Self {
        Self { tcp: true, ..Self::udp(way, to, port, expected) }
    }

    pub(crate) fn again(way: Way, to: &'static str, port: u16, expected: &'static str) -> Self {
        Self { established: true, ..Self::udp(way, to, port, expected) }
    }

    fn hooks(&self) -> &'static [Hook] {
        match self.way {
            Way::Routed | Way::Bridged => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
            Way::In => &[Hook::Prerouting, Hook::Input],
            Way::Out => &[Hook::Output, Hook::Postrouting],
        }
    }

    fn packet(&self, source_port: Option<u16>) -> Result<Packet> {
        let to: IpAddr = self.to.parse()?;
        let from = match (self.way, to.is_ipv6()) {
            (Way::Bridged, _) => "10.70.3.2",
            (Way::Out, false) => "10.70.2.1",
            (Way::Out, true) => "fd70:2::1",
            (_, false) => "10.70.1.2",
            (_, true) => "fd70:1::2",
        };
        let mut packet = Packet::new(from.parse()?, to, if self.tcp { 6 } else { 17 });
        (packet.source_port, packet.destination_port) = (source_port, Some(self.port));
        packet.state = if self.established { PacketState::Established } else { PacketState::New };
        let (incoming, outgoing) = match self.way {
            Way::Routed => ("va", "vb"),
            Way::Bridged => ("br0", "br0"),
            Way::In => ("va", ""),
            Way::Out => ("", "vb"),
        };
        (packet.incoming, packet.outgoing) = (Some(Device::named(incoming)), Some(Device::named(outgoing)));
        (packet.incoming_port, packet.outgoing_port) = match self.way {
            Way::Bridged => (Port::Named("p1".into()), Port::Named("p2".into())),
            _ => (Port::None, Port::None),
        };
        packet.source_kind =
            Some(if self.way == Way::Out { AddressKind::Local } else { AddressKind::Unicast });
        packet.destination_kind = Some(kind(packet.destination));
        Ok(packet)
    }

    /// Sends it, and compares.
    pub(crate) fn fire(&self, scene: &Scene) -> Result<()> {
        let stack = match self.way {
            Way::Routed | Way::In => scene.left(),
            Way::Bridged => scene.port(),
            Way::Out => scene.node(),
        };
        let to = SocketAddr::new(self.to.parse()?, self.port);
        let any = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        let socket = stack.within(|| UdpSocket::bind(any))??;
        if self.established {
            socket.send_to(b"first", to)?;
            thread::sleep(QUIET);
            ensure!(scene.arrived(true)? == 1, "the first one did not arrive");
            thread::sleep(QUIET);
        }
        scene.arrived(false)?;
        let before = scene.read()?;
        if self.tcp {
            let tried = stack.within(|| TcpStream::connect_timeout(&to, Duration::from_millis(300)))?;
            ensure!(tried.is_err(), "somebody listens");
        } else {
            // The host's own firewall says no to the sender itself.
            socket.send_to(b"a datagram", to).ok();
        }
        thread::sleep(QUIET);
        let after = scene.read()?;
        let grown = grown(&before, &after, self.hooks())?;
        let packet =
            self.packet((!self.tcp).then(|| socket.local_addr().map(|own| own.port())).transpose()?)?;
        let told = self.told(&before, packet, &grown)?;
        ensure!(told.outcome == self.expected, "it is said: {}, {:?}", told.outcome, told.lines);
        ensure!(
            told.rules == grown,
            "counters that grew:\n  {grown:?}\nrules that were named:\n  {:?}",
            told.rules
        );
        if !self.tcp {
            let arrived = scene.arrived(false)? == 1;
            let through = self.expected.is_empty() || self.expected.starts_with("accept");
            ensure!(arrived == through, "arrived: {arrived}");
        }
        Ok(())
    }

    /// What is said of it, hook by hook.
    fn told(&self, ruleset: &Ruleset, mut packet: Packet, grown: &BTreeSet<Named>) -> Result<Told> {
        let firewall = Firewall::new(ruleset);
        let mut told = Told::default();
        for hook in self.hooks() {
            let answer = firewall.pass(Layer::Network, *hook, &packet);
            ensure!(!answer.incomplete && answer.unseen.is_empty(), "not all is seen: {answer:?}");
            if let Some(end) = answer.keeper() {
                ensure!(
                    end.certain && answer.kept.len() == 1,
                    "not certain at {}: {:?}",
                    hook.name(),
                    answer.kept
                );
                told.add(&firewall, end)?;
                told.lines.push(format!(
                    "{} ({})",
                    firewall.line_of(&end.place),
                    firewall.command_of(&end.place)
                ));
                told.passed(&firewall, &answer, grown, true)?;
                if let (Hook::Output, End::Rejected(_)) = (hook, end.end) {
                    self.error(&firewall, &packet, &mut told, grown)?;
                }
                return Ok(told);
            }
            ensure!(answer.certainly_goes_on(), "not certain at {}: {answer:?}", hook.name());
            told.passed(&firewall, &answer, grown, *hook != Hook::Prerouting && *hook != Hook::Postrouting)?;
            packet = answer.after.clone().context("it goes on and is no more")?;
            if !answer.destination_known {
                // Of several, the one that was taken.
                let taken = answer.translations.iter().find(|one| grown.contains(&named(&one.place)));
                let target = taken.context("none of the translations was taken")?.targets[0];
                packet.destination = target.addresses.context("no address")?.first;
                packet.destination_known = true;
                packet.destination_port = target.ports.map(|ports| ports.first).or(packet.destination_port);
            }
            packet.destination_kind = Some(kind(packet.destination));
        }
        Ok(told)
    }
}

impl Shot {
    /// What tells a sender on the router itself goes out and comes in there, too.
    fn error(
        &self,
        firewall: &Firewall<'_>,
        packet: &Packet,
        told: &mut Told,
        grown: &BTreeSet<Named>,
    ) -> Result<()> {
        let mut error =
            Packet::new(packet.source, packet.source, if packet.source.is_ipv6() { 58 } else { 1 });
        error.state = PacketState::Related;
        error.outgoing = Some(Device::named("lo"));
        error.destination_kind = Some(AddressKind::Local);
        for hook in self.hooks() {
            let answer = firewall.pass(Layer::Network, *hook, &error);
            ensure!(
                answer.certainly_goes_on(),
                "what tells the sender is not certain to reach it: {answer:?}"
            );
            told.passed(firewall, &answer, grown, false)?;
        }
        Ok(())
    }
}

fn kind(address: IpAddr) -> AddressKind {
    if OWN.contains(&address.to_string().as_str()) { AddressKind::Local } else { AddressKind::Unicast }
}

fn named(place: &netobs::host::facts::firewall::Place<'_>) -> Named {
    (place.table().clone(), place.chain().to_owned(), place.rule.map_or(0, |rule| rule.handle))
}

#[derive(Debug, Default)]
struct Told {
    outcome: String,
    rules: BTreeSet<Named>,
    lines: Vec<String>,
}

impl Told {
    fn add(&mut self, firewall: &Firewall<'_>, end: &Ended<'_>) -> Result<()> {
        let word = match end.end {
            End::Accepted => "accept",
            End::Dropped => "drop",
            End::Rejected(_) => "reject",
            End::Handed => "hand",
        };
        let position = end.place.rule.map_or(0, |rule| rule.position);
        // The kernel numbers chains that stand in a rule.
        let chain = if end.place.chain().starts_with("__chain") { "__chain" } else { end.place.chain() };
        self.outcome = format!("{word} {chain} {position}");
        ensure!(!firewall.line_of(&end.place).is_empty(), "no line");
        if end.place.counter().is_some() {
            self.rules.insert(named(&end.place));
        }
        Ok(())
    }

    /// Where several are possible, the counters say which it was; one of them it must have been.
    fn passed(
        &mut self,
        firewall: &Firewall<'_>,
        answer: &Answer<'_>,
        grown: &BTreeSet<Named>,
        decides: bool,
    ) -> Result<()> {
        let kept = self.outcome.clone();
        for end in &answer.passed {
            if end.certain || grown.contains(&named(&end.place)) {
                self.add(firewall, end)?;
            }
        }
        if !decides || answer.goes_on.is_none() {
            self.outcome = kept;
        }
        Ok(())
    }
}

/// Rules that end the way of a packet and took one meanwhile, and policies that did, at these hooks.
fn grown(before: &Ruleset, after: &Ruleset, hooks: &[Hook]) -> Result<BTreeSet<Named>> {
    let mut grown = BTreeSet::new();
    let mut note = |named: Named, before: Option<Counter>, after: Option<Counter>| {
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        match after.packets - before.packets {
            0 => {}
            1 => drop(grown.insert(named)),
            more => anyhow::bail!("{named:?} took {more} packets"),
        }
        Ok(())
    };
    ensure!(before.rules.len() == after.rules.len(), "the rules changed meanwhile");
    for (before, after) in before.rules.iter().zip(&after.rules) {
        ensure!(before.handle == after.handle, "the rules changed meanwhile");
        if ends(after) {
            note((after.table.clone(), after.chain.clone(), after.handle), before.counter, after.counter)?;
        }
    }
    for (before, after) in before.chains.iter().zip(&after.chains) {
        if after.hook.is_some_and(|(number, _)| hooks.iter().any(|hook| hook.number() == number)) {
            note((after.table.clone(), after.name.clone(), 0), before.counter, after.counter)?;
        }
    }
    Ok(grown)
}

fn ends(rule: &Rule) -> bool {
    rule.steps.iter().any(|step| match step {
        Step::Verdict(verdict) => matches!(verdict, Verdict::Accept | Verdict::Drop),
        Step::Target(target) => matches!(
            target,
            Target::Reject(_)
                | Target::Dnat(_)
                | Target::Snat(_)
                | Target::Masquerade(_)
                | Target::Redirect(_)
                | Target::Netmap(_)
        ),
        Step::Reject(_) | Step::Nat { .. } | Step::Masquerade { .. } | Step::Redirect { .. } => true,
        _ => false,
    })
}
