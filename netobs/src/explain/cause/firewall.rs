//! A rule of a firewall drops or rejects the pair's packets: which one, of which chain, with its counter.
//!
//! What the kernel says of a dropped packet is that a rule did it, not which. The rules are asked with the packet as it
//! was where it was dropped, and whose counter took packets is told beside it.

use netobs_common::wire::Proto;

use super::{Case, Words, cause, packets};
use crate::{
    host::facts::{
        LinkKind,
        firewall::{
            AddressKind, Answer, Device, End, Ended, Firewall, Hook, Layer, Packet, PacketState, Port, family,
        },
        stack::{Stack, Way},
    },
    report::{Cause, CauseName, Confidence, DropRow, EvidenceKind, Path, ProtocolName},
};

/// What the kernel says of a packet that a rule drops, or rejects.
const REASON: &str = "netfilter_drop";

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let (drop, of_underlay) = match case.dropped(&[REASON]) {
        Some(drop) => (drop, false),
        None => (underlay(case)?, true),
    };
    let inside = drop.inside.is_some();
    let stack = if inside { stack_of(case, drop)? } else { case.stacks.host };
    let ruleset = stack.firewall.as_ref()?;
    let rules = Firewall::new(ruleset);
    let seen = if inside { within(case, drop) } else { on_host(case, drop, of_underlay) };
    let answers = asked(&rules, &seen);
    let Some(keeper) = keeper(&answers) else { return legacy(case, drop, of_underlay, &answers) };
    let name = name(keeper, seen.bridged, of_underlay);
    let command = rules.command_of(&keeper.place);
    Some(cause(
        name,
        if keeper.certain { Confidence::Certain } else { Confidence::Likely },
        Words {
            observed: observed(case, drop, of_underlay),
            configured: configured(&rules, keeper, drop.inside.as_deref(), name),
            advice: advice(name, &drop.destination.address.to_string(), keeper),
            check: if inside { format!("nsenter --net=/proc/PID/ns/net {command}") } else { command },
        },
    ))
}

/// The rule as its tool writes it, where it is, whose it is, and what it took.
fn configured(rules: &Firewall<'_>, keeper: &Ended<'_>, inside: Option<&str>, name: CauseName) -> String {
    let place = &keeper.place;
    let mut chains: Vec<&str> =
        place.via.iter().map(|rule| rule.chain.as_str()).chain([place.chain()]).collect();
    chains.dedup();
    let count = place.counter().map(|count| format!(", which took {}", packets(count.packets)));
    let by = if place.rule.is_some() { "the rule" } else { "the policy" };
    let whose = inside.map_or_else(|| "this host".to_owned(), |inside| format!("the stack of {inside}"));
    let more = match name {
        CauseName::BridgeNetfilter => {
            ", and net.bridge.bridge-nf-call-iptables sends frames of one bridge there"
        }
        _ => "",
    };
    format!(
        "{by} `{}` in table {}, chain {}, of {whose}{}{more}",
        rules.line_of(place),
        place.table().name,
        chains.join(" → "),
        count.unwrap_or_default(),
    )
}

fn observed(case: &Case<'_>, drop: &DropRow, of_underlay: bool) -> String {
    let what = if of_underlay {
        format!("{} to {}, which carry others,", packets(drop.packets), drop.destination.address)
    } else {
        packets(drop.packets)
    };
    let told =
        if case.evidence(EvidenceKind::IcmpError).is_some() { ", and the sender was told" } else { "" };
    format!("{what} dropped by a rule ({REASON}){told}")
}

/// What carries the pair's packets to another node, where a rule drops that.
fn underlay<'a>(case: &Case<'a>) -> Option<&'a DropRow> {
    let flow = case.flow.filter(|flow| flow.path == Path::Overlay)?;
    let port = case.stacks.host.facts.links.values().find_map(|link| match &link.kind {
        LinkKind::Vxlan(vxlan) if flow.hops.iter().any(|hop| hop.ifindex == link.index) => Some(vxlan.port),
        LinkKind::Geneve { port } if flow.hops.iter().any(|hop| hop.ifindex == link.index) => Some(*port),
        _ => None,
    })?;
    let node = flow.overlay.as_ref().and_then(|one| one.outer_destination);
    case.report.drops.iter().find(|one| {
        one.protocol == ProtocolName::Udp
            && one.destination.port == port
            && *one.reason == *REASON
            && node.is_none_or(|node| one.destination.address == node)
    })
}

fn stack_of<'a>(case: &Case<'a>, drop: &DropRow) -> Option<&'a Stack> {
    let inside = drop.inside.as_ref()?;
    let endpoints = &case.report.endpoints;
    let is = |side: &crate::explain::Side| side.endpoint(endpoints).is_some_and(|one| one.id == *inside);
    if is(&case.asked.source) {
        case.stacks.source
    } else if is(&case.asked.destination) {
        case.stacks.destination
    } else {
        None
    }
}

/// A packet where it was dropped, and the hooks it passes there.
struct Seen {
    packet: Packet,
    hooks: Vec<Hook>,
    /// Whether it is switched within one bridge.
    bridged: bool,
}

/// What the rules answer at each hook; of a bridged packet, those of the bridge as well.
fn asked<'a>(rules: &Firewall<'a>, seen: &Seen) -> Vec<Answer<'a>> {
    let mut packet = seen.packet.clone();
    let mut answers = Vec::new();
    for hook in &seen.hooks {
        if seen.bridged {
            answers.push(rules.pass(Layer::Bridge, *hook, &packet));
        }
        let answer = rules.pass(Layer::Network, *hook, &packet);
        // Addresses are those it was dropped with; a mark it may have got on the way.
        if let Some(after) = &answer.after {
            packet.mark = after.mark;
        }
        answers.push(answer);
    }
    answers
}

/// What certainly keeps it; else what may, first of all that whose counter took something.
fn keeper<'s, 'a>(answers: &'s [Answer<'a>]) -> Option<&'s Ended<'a>> {
    let all = || answers.iter().flat_map(|answer| &answer.kept);
    let counted = |end: &&Ended<'_>| end.place.counter().is_none_or(|count| count.packets > 0);
    all().find(|end| end.certain).or_else(|| all().find(counted)).or_else(|| all().next())
}

/// Rules that cannot be seen may have done it.
fn legacy(case: &Case<'_>, drop: &DropRow, of_underlay: bool, answers: &[Answer<'_>]) -> Option<Cause> {
    let table = answers.iter().find_map(|answer| answer.unseen.first())?;
    let command = if drop.destination.address.is_ipv6() { "ip6tables-legacy" } else { "iptables-legacy" };
    Some(cause(
        CauseName::FirewallDrop,
        Confidence::Possible,
        Words {
            observed: observed(case, drop, of_underlay),
            configured: format!(
                "no rule that can be read does so, and table {} of {command} is in use, whose rules cannot be read",
                table.name
            ),
            advice: "look for the rule whose counter grows with each attempt".to_owned(),
            check: format!("{command} -t {} -nvxL", table.name),
        },
    ))
}

/// The packet where an endpoint's own stack dropped it.
fn within(case: &Case<'_>, drop: &DropRow) -> Seen {
    let side = if case.is_of_answer(drop) { &case.asked.destination } else { &case.asked.source };
    let of_sender = side.endpoint(&case.report.endpoints).map(|one| &one.id) == drop.inside.as_ref();
    let mut packet = packet(case, drop);
    let hooks = if of_sender {
        packet.source_kind = Some(AddressKind::Local);
        vec![Hook::Output, Hook::Postrouting]
    } else {
        packet.destination_kind = Some(AddressKind::Local);
        vec![Hook::Prerouting, Hook::Input]
    };
    Seen { packet, hooks, bridged: false }
}

/// The packet where the host dropped it.
fn on_host(case: &Case<'_>, drop: &DropRow, of_underlay: bool) -> Seen {
    let host = case.stacks.host;
    let mut packet = packet(case, drop);
    let [own_source, own_destination] =
        [drop.source.address, drop.destination.address].map(|address| host.facts.is_local(address));
    let kind = |own: bool| Some(if own { AddressKind::Local } else { AddressKind::Unicast });
    (packet.source_kind, packet.destination_kind) = (kind(own_source), kind(own_destination));
    let device = |name: &str| Some(Device::named(name));
    let leaves_by = |iif: Option<&str>| {
        let (source, destination) = (Some(drop.source.address), drop.destination.address);
        host.route(Way { source, destination, iif }).and_then(|route| host.name(route.link?)).and_then(device)
    };
    if own_source && (of_underlay || drop.last_hop.is_none()) {
        packet.outgoing = leaves_by(None);
        return Seen { packet, hooks: vec![Hook::Output, Hook::Postrouting], bridged: false };
    }
    let (from, to) = match case.is_of_answer(drop) && !of_underlay {
        true => (case.exit(), case.entry()),
        false => (case.entry(), case.exit()),
    };
    let from = from.filter(|_| !of_underlay);
    let seen = drop.last_hop.as_ref().and_then(|hop| host.facts.link_named(&hop.interface));
    let came = from.map(|(own, bridge)| bridge.unwrap_or(own)).or(seen);
    packet.incoming = came.and_then(|link| device(&link.name));
    if own_destination {
        return Seen { packet, hooks: vec![Hook::Prerouting, Hook::Input], bridged: false };
    }
    let hooks = vec![Hook::Prerouting, Hook::Forward, Hook::Postrouting];
    if let (Some((from, Some(one))), Some((to, Some(other)))) = (from, to)
        && one.index == other.index
    {
        packet.outgoing = device(&one.name);
        packet.incoming_port = Port::Named(from.name.clone());
        packet.outgoing_port = Port::Named(to.name.clone());
        return Seen { packet, hooks, bridged: true };
    }
    packet.outgoing = leaves_by(came.map(|link| link.name.as_str()));
    Seen { packet, hooks, bridged: false }
}

fn packet(case: &Case<'_>, drop: &DropRow) -> Packet {
    let protocol = match drop.protocol {
        ProtocolName::Tcp => Proto::TCP.0,
        ProtocolName::Udp => Proto::UDP.0,
        ProtocolName::Sctp => Proto::SCTP.0,
        ProtocolName::Icmp => Proto::ICMP.0,
        ProtocolName::Icmpv6 => Proto::ICMPV6.0,
        _ => 0,
    };
    let known = |port: u16| (port != 0).then_some(port);
    let reply = case.is_of_answer(drop);
    let both = [EvidenceKind::Handshake, EvidenceKind::SynAck, EvidenceKind::ReplyPacket];
    let answered = reply || both.iter().any(|kind| case.evidence(*kind).is_some());
    Packet {
        reply,
        state: if answered { PacketState::Established } else { PacketState::New },
        source_port: known(drop.source.port),
        destination_port: known(drop.destination.port),
        ..Packet::new(drop.source.address, drop.destination.address, protocol)
    }
}

/// Chains that controllers make for NetworkPolicies: kube-router, Calico, Weave, Canal, Cilium.
const POLICIES: [&str; 6] =
    ["KUBE-NWPLCY", "KUBE-POD-FW", "cali-", "WEAVE-NPC", "CILIUM", "KUBE-ROUTER-FORWARD"];

fn name(keeper: &Ended<'_>, bridged: bool, of_underlay: bool) -> CauseName {
    let place = &keeper.place;
    let chains = || place.via.iter().map(|rule| rule.chain.as_str()).chain([place.chain()]);
    let comment = place.rule.and_then(|rule| rule.comment.as_deref()).unwrap_or_default();
    match keeper.end {
        _ if of_underlay => CauseName::UnderlayBlocked,
        // kube-proxy writes so beside the rule (pkg/proxy/iptables/proxier.go).
        _ if comment.contains("has no endpoints") || comment.contains("has no local endpoints") => {
            CauseName::ServiceWithoutEndpoints
        }
        _ if chains().any(|chain| POLICIES.iter().any(|prefix| chain.starts_with(prefix))) => {
            CauseName::NetworkPolicy
        }
        End::Rejected(_) => CauseName::FirewallReject,
        // Rules of the bridge's own are for bridged frames.
        _ if bridged && place.table().family != family::BRIDGE => CauseName::BridgeNetfilter,
        _ => CauseName::FirewallDrop,
    }
}

fn advice(name: CauseName, destination: &str, keeper: &Ended<'_>) -> String {
    let chain = keeper.place.chain();
    match name {
        CauseName::ServiceWithoutEndpoints => {
            "look whether the Service selects pods that are ready: nobody is behind it".to_owned()
        }
        CauseName::NetworkPolicy => {
            format!("let a NetworkPolicy allow it, or change the one that chain {chain} was made for")
        }
        CauseName::BridgeNetfilter => format!(
            "accept frames of one bridge in chain {chain} (-i BRIDGE -o BRIDGE -j ACCEPT), or set \
             net.bridge.bridge-nf-call-iptables to 0 if no one relies on it"
        ),
        CauseName::UnderlayBlocked => {
            format!("accept UDP between the nodes' addresses in chain {chain}: it carries the overlay")
        }
        _ => format!(
            "accept it before in chain {chain}, or change the rule, if {destination} is to be reached"
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::explain::made_up::World;
    use crate::host::facts::firewall::{
        Chain, Counter, Reject, Rule, Step, Table, Verdict as Does, family,
        made_up::{chain, rule, ruleset, to},
    };
    use crate::report::{CauseName, Confidence};

    const FORWARD: (&str, (u32, i32)) = ("filter", (2, 0));
    const DROP: Step = Step::Verdict(Does::Drop);

    fn filter() -> Table {
        Table { family: family::IPV4, name: "filter".into() }
    }

    fn ending(chain: &str, steps: Vec<Step>, end: Step) -> Rule {
        let counter = Some(Counter { packets: 3, bytes: 180 });
        Rule { counter, ..rule(&filter(), chain, [steps, vec![Step::Counter, end]].concat()) }
    }

    fn jump(chain: &str, to: &str) -> Rule {
        rule(&filter(), chain, vec![Step::Verdict(Does::Jump(to.into()))])
    }

    fn with(world: &mut World, chains: &[&str], rules: Vec<Rule>) {
        let others = chains.iter().map(|name| chain(&filter(), name, None));
        let chains = [chain(&filter(), "FORWARD", Some(FORWARD))].into_iter().chain(others).collect();
        world.host.firewall = Some(ruleset(chains, rules));
        world.stops_at("br1", 3).dropped("netfilter_drop", "br1");
    }

    #[test]
    fn the_rule_is_named_with_its_chains_and_its_counter() {
        let mut world = World::routed();
        let rules = vec![jump("FORWARD", "MINE"), ending("MINE", to("10.2.0.3"), DROP)];
        with(&mut world, &["MINE"], rules);
        assert_eq!(world.first(), (CauseName::FirewallDrop, Confidence::Certain));
        let configured = &world.causes()[0].configured;
        assert!(configured.contains("-d 10.2.0.3/32 -j DROP` in table filter"), "{configured}");
        assert!(
            configured.contains("chain FORWARD → MINE, of this host, which took 3 packets"),
            "{configured}"
        );
    }

    #[test]
    fn rules_for_others_are_not_blamed() {
        let mut world = World::routed();
        with(&mut world, &[], vec![ending("FORWARD", to("10.2.0.4"), DROP)]);
        assert!(world.causes().is_empty(), "{:?}", world.causes());
    }

    #[test]
    fn of_the_answer_the_rule_for_the_answer_is_named() {
        let mut world = World::routed();
        let rules = vec![ending("FORWARD", to("10.2.0.3"), DROP), ending("FORWARD", to("10.1.0.2"), DROP)];
        with(&mut world, &[], rules);
        world.of_answer();
        let configured = &world.causes()[0].configured;
        assert!(configured.contains("-d 10.1.0.2/32"), "{configured}");
    }

    #[test]
    fn a_rejection_and_a_policy_for_pods_have_names_of_their_own() {
        let mut world = World::routed();
        with(&mut world, &[], vec![ending("FORWARD", to("10.2.0.3"), Step::Reject(Reject::TcpReset))]);
        assert_eq!(world.first().0, CauseName::FirewallReject);
        let mut world = World::routed();
        let pod = "KUBE-POD-FW-ABC";
        with(&mut world, &[pod], vec![jump("FORWARD", pod), ending(pod, to("10.2.0.3"), DROP)]);
        assert_eq!(world.first().0, CauseName::NetworkPolicy);
        let mut world = World::routed();
        let comment = Some("default/api:http has no endpoints".to_owned());
        with(&mut world, &[], vec![Rule { comment, ..ending("FORWARD", to("10.2.0.3"), DROP) }]);
        assert_eq!(world.first().0, CauseName::ServiceWithoutEndpoints);
    }

    #[test]
    fn a_policy_for_routed_packets_takes_bridged_ones() {
        let mut world = World::bridged();
        let policy = Chain {
            drops: Some(true),
            counter: Some(Counter { packets: 3, bytes: 180 }),
            ..chain(&filter(), "FORWARD", Some(FORWARD))
        };
        world.host.firewall = Some(ruleset(vec![policy], Vec::new()));
        world.stops_at("va", 2).dropped("netfilter_drop", "va");
        assert_eq!(world.first(), (CauseName::BridgeNetfilter, Confidence::Certain));
        assert!(
            world.causes()[0].configured.contains("the policy `-P FORWARD DROP`"),
            "{:?}",
            world.causes()
        );
    }

    #[test]
    fn rules_that_cannot_be_seen_are_only_possible() {
        let mut world = World::routed();
        with(&mut world, &[], Vec::new());
        assert!(world.causes().is_empty(), "{:?}", world.causes());
        if let Some(rules) = &mut world.host.firewall {
            rules.legacy.push(filter());
        }
        assert_eq!(world.first(), (CauseName::FirewallDrop, Confidence::Possible));
    }
}
