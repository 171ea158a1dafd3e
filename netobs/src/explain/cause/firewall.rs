//! A rule of a firewall drops or rejects the pair's packets: which one, of which chain, with its counter.
//!
//! What the kernel says of a dropped packet is that a rule did it, not which. The rules are asked with the packet as it
//! was where it was dropped, and whose counter took packets is told beside it.

use super::{Case, Words, cause, packets, places, places::Seen, underlay};
use crate::{
    host::facts::{
        firewall::{Answer, End, Ended, Firewall, Layer, PacketState, Place, Rule, Step, family},
        stack::Stack,
    },
    report::{Cause, CauseName, Confidence, DropRow, EvidenceKind},
};

/// What the kernel says of a packet that a rule drops, or rejects.
const REASON: &str = "netfilter_drop";

pub(super) fn find(case: &Case<'_>) -> Option<Cause> {
    let (drop, of_underlay) = match case.dropped(&[REASON]) {
        Some(drop) => (drop, false),
        None => (underlay::dropped(case, REASON)?, true),
    };
    let inside = drop.inside.is_some();
    let stack = if inside { stack_of(case, drop)? } else { case.stacks.host };
    let ruleset = stack.firewall.as_ref()?;
    let rules = Firewall::new(ruleset);
    let seen = if inside { places::within(case, drop) } else { places::on_host(case, drop, of_underlay) };
    let counted = Firewall::new(ruleset).counted();
    let (answers, idle) = (asked(&counted, &seen), asked(&rules, &seen));
    let possible = |end| Some((end, Confidence::Possible));
    let found = keeper(&answers)
        .or_else(|| possible(keeper(&idle)?.0))
        .or_else(|| possible(answers.iter().find_map(|answer| answer.kept.first())?));
    let Some((keeper, confidence)) = found else {
        return legacy(case, drop, of_underlay, &answers);
    };
    let name = name(keeper, seen.bridged, of_underlay);
    let command = rules.command_of(&keeper.place);
    Some(cause(
        name,
        confidence,
        Words {
            observed: observed(case, drop, of_underlay),
            configured: configured(&rules, keeper, drop, name),
            advice: advice(name, &drop.destination.address.to_string(), keeper),
            check: if inside { format!("nsenter --net=/proc/PID/ns/net {command}") } else { command },
        },
    ))
}

/// What the rules answer, place by place.
fn asked<'a>(rules: &Firewall<'a>, seen: &Seen) -> Vec<Answer<'a>> {
    let mut marks = None;
    let mut answers = Vec::new();
    for (layer, hook, packet) in &seen.places {
        let mut packet = packet.clone();
        // Addresses are those it had there; what else it may have got on the way.
        if let Some((mark, connection_mark, state)) = marks {
            (packet.mark, packet.connection_mark) = (mark, connection_mark);
            if state == PacketState::Untracked {
                packet.state = state;
            }
        }
        let answer = rules.pass(*layer, *hook, &packet);
        if let Some(after) = answer.after.as_ref().filter(|_| *layer == Layer::Network) {
            marks = Some((after.mark, after.connection_mark, after.state));
        }
        answers.push(answer);
    }
    answers
}

/// The rule, or policy, that keeps it, and how far that is proven: for certain where nothing asked before may have done
/// it, and all that is asked can be seen.
fn keeper<'s, 'a>(answers: &'s [Answer<'a>]) -> Option<(&'s Ended<'a>, Confidence)> {
    let mut is_seen = true;
    let mut first: Option<&Ended<'_>> = None;
    for answer in answers {
        is_seen &= answer.unseen.is_empty() && !answer.incomplete;
        // What a program drops is told with no such reason.
        for end in answer.kept.iter().filter(|end| end.end != End::Handed) {
            if end.certain {
                let alone = first.is_none() && is_seen;
                return Some((end, if alone { Confidence::Certain } else { Confidence::Likely }));
            }
            first = first.or(Some(end));
        }
    }
    Some((first?, Confidence::Likely))
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

/// The rule as its tool writes it, where it is, whose it is, and what it took.
fn configured(rules: &Firewall<'_>, keeper: &Ended<'_>, drop: &DropRow, name: CauseName) -> String {
    let place = &keeper.place;
    let mut chains: Vec<&str> =
        place.via.iter().map(|rule| rule.chain.as_str()).chain([place.chain()]).collect();
    chains.dedup();
    let count = place.counter().map(|count| format!(", which took {}", packets(count.packets)));
    let by = if place.rule.is_some() { "the rule" } else { "the policy" };
    let inside = drop.inside.as_deref();
    let whose = inside.map_or_else(|| "this host".to_owned(), |inside| format!("the stack of {inside}"));
    let more = match name {
        CauseName::BridgeNetfilter if drop.destination.address.is_ipv6() => {
            ", and net.bridge.bridge-nf-call-ip6tables = 1 sends frames of one bridge there"
        }
        CauseName::BridgeNetfilter => {
            ", and net.bridge.bridge-nf-call-iptables = 1 sends frames of one bridge there"
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
        let (from, to) = (drop.source.address, drop.destination.address);
        format!("{} from {from} to {to}, which carry others,", packets(drop.packets))
    } else {
        packets(drop.packets)
    };
    let told =
        if case.evidence(EvidenceKind::IcmpError).is_some() { ", and the sender was told" } else { "" };
    format!("{what} dropped by a rule ({REASON}){told}")
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

/// Chains that controllers make of NetworkPolicies: kube-router, Calico, Weave.
const POLICIES: [&str; 7] =
    ["KUBE-NWPLCY", "KUBE-POD-FW", "cali-pi-", "cali-po-", "cali-tw-", "cali-fw-", "WEAVE-NPC"];

fn name(keeper: &Ended<'_>, bridged: bool, of_underlay: bool) -> CauseName {
    let place = &keeper.place;
    let chains = || place.via.iter().map(|rule| rule.chain.as_str()).chain([place.chain()]);
    match keeper.end {
        _ if of_underlay => CauseName::UnderlayBlocked,
        _ if is_without_endpoints(place) => CauseName::ServiceWithoutEndpoints,
        _ if chains().any(|chain| POLICIES.iter().any(|prefix| chain.starts_with(prefix))) => {
            CauseName::NetworkPolicy
        }
        End::Rejected(_) => CauseName::FirewallReject,
        // Rules of the bridge's own are for bridged frames.
        _ if bridged && is_for_routed(place.table().family) => CauseName::BridgeNetfilter,
        _ => CauseName::FirewallDrop,
    }
}

const fn is_for_routed(of: u8) -> bool {
    matches!(of, family::INET | family::IPV4 | family::IPV6)
}

/// kube-proxy writes so beside the rule (pkg/proxy/iptables/proxier.go), or looks the Service up in a map of those
/// that have nobody behind them (pkg/proxy/nftables/proxier.go, Kubernetes 1.33).
fn is_without_endpoints(place: &Place<'_>) -> bool {
    let comment = place.rule.and_then(|rule| rule.comment.as_deref()).unwrap_or_default();
    let looks = |rule: &Rule| {
        let is_map =
            |step: &Step| matches!(step, Step::Lookup { set, .. } if set.starts_with("no-endpoint-"));
        rule.steps.iter().any(is_map)
    };
    let mut chains = place.via.iter().map(|rule| rule.chain.as_str()).chain([place.chain()]);
    let asks = chains.any(|chain| chain.ends_with("endpoints-check"));
    comment.contains("has no endpoints")
        || comment.contains("has no local endpoints")
        || place.table().name == "kube-proxy"
            && (asks || place.via.iter().copied().chain(place.rule).any(looks))
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
mod tests;
